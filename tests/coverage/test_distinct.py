"""The axes of the grids are the sorted distinct rows."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.coverage.anomalies.distinct import distinct

words = st.text("ab", max_size=2)


@given(st.lists(st.tuples(words, words, words)))
def test_each_row_has_the_place_of_its_words(rows: list[tuple[str, ...]]) -> None:
    columns = [
        pa.chunked_array([[row[n] for row in part] for part in (rows[:2], rows[2:])], pa.string())
        for n in range(3)
    ]
    found, place = distinct(*columns)
    assert found == sorted(set(rows))
    assert [found[at] for at in place] == rows
