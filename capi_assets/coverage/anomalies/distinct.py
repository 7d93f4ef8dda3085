"""The distinct rows of text columns, and which of them each row is: the axes of the grids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from capi_assets.coverage.anomalies.count_models import Positions


def distinct(*columns: pa.ChunkedArray) -> tuple[list[tuple[str, ...]], Positions]:
    """The distinct rows in order, and the place of each row among them; no column has nulls.

    distinct(pa.chunked_array([["b", "a", "b"]]))  # [("a",), ("b",)], [1, 0, 1]
    """
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    words = []
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode()
        words.append(encoded.dictionary.to_pylist())
        codes = codes * len(words[-1]) + encoded.indices.to_numpy()
    found, of_row = np.unique(codes, return_inverse=True)
    rows = []
    for code in found.tolist():
        row = []
        for of_column in reversed(words):
            code, place = divmod(code, len(of_column))
            row.append(of_column[place])
        rows.append(tuple(reversed(row)))
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return [rows[place] for place in order], np.argsort(order)[of_row]
