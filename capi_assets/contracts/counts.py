"""What is counted of stored rows: the words of their lists, and money by currency."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc


def sums_by_currency(rows: pa.Table) -> dict[str, float]:
    """The sum of `value` by `currency`, to the cent; rows that lack either are left out."""
    sums = rows.group_by("currency").aggregate([("value", "sum")]).to_pylist()
    return {
        row["currency"]: round(row["value_sum"], 2)
        for row in sorted(sums, key=lambda row: row["currency"] or "")
        if row["currency"] and row["value_sum"] is not None
    }


def count_words(lists: pa.ChunkedArray) -> dict[str, int]:
    """How often each word occurs in a column of words separated by spaces."""
    counts = Counter[str]()
    for entry in pc.value_counts(lists.drop_null()).to_pylist():
        for word in entry["values"].split():
            counts[word] += entry["counts"]
    return dict(counts)
