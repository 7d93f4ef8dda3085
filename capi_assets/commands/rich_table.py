"""Tables of coverage/tables.py on the terminal."""

from __future__ import annotations

from typing import Literal

from rich.table import Table as RichTable
from rich.text import Text

from capi_assets.coverage.tables import Table


def rich_table(table: Table, title: str | None = None) -> RichTable:
    """The same rows as the Dagster UI shows; numbers are set right, a last row `total` is bold."""
    drawn = RichTable(title=title, title_justify="left")
    for name, *column in zip(table.columns, *table.rows, strict=True):
        numeric = bool(column) and all(isinstance(cell, int | float | None) for cell in column)
        justify: Literal["right", "left"] = "right" if numeric else "left"
        drawn.add_column(name, justify=justify, no_wrap=name == "hour", overflow="fold")
    for row in table.rows:
        cells = [f"{c:,}" if isinstance(c, int) else "" if c is None else str(c) for c in row]
        if is_total := row[0] == "total":
            drawn.add_section()
        # Text, not str: cells are data, and brackets in them no markup.
        drawn.add_row(*map(Text, cells), style="bold" if is_total else None)
    return drawn
