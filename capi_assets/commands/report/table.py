"""Tables of the report, and how wide they are: where one does not fit, its rows become blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHORT = 30
"""Characters of a text up to which it should stay on one line; longer ones wrap."""

_PADDING = 2


@dataclass(frozen=True, slots=True)
class Table:
    """What `table.html` draws: the first `texts` columns are texts, the others numbers."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int

    @property
    def characters(self) -> int:
        return characters_of(self.header, self.rows)


def characters_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """How many characters wide a table is, at least; names in its header wrap between words."""
    columns = zip(header, *rows, strict=True)
    return sum(
        max([0, *map(len, name.split()), *(min(len(cell), _SHORT) for cell in cells)]) + _PADDING
        for name, *cells in columns
    )
