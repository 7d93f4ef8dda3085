"""Tables as Dagster metadata."""

import re
from collections.abc import Sequence
from typing import Any

import dagster as dg

from capi_assets.coverage.tables import Cell, Table

MAX_ROWS = 200
"""Rows of a table that are stored: a week of hours and their total; every materialization and
check keeps its own copy in Dagster's database."""


def table_metadata(name: str, table: Table) -> dict[str, Any]:
    """A metadata entry that the UI shows as a table, and the number of rows left out, if any.

    Empty for a table without rows. Cells are data, never markup.

    Example:
        `metadata |= table_metadata("plan", plan_table(rows, now))`
    """
    if not table.rows:
        return {}
    kept = table.rows[:MAX_ROWS]
    left_out = len(table.rows) - len(kept)
    columns = list(zip(*kept, strict=True))
    value = dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(table.columns, row, strict=True))) for row in kept],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn(name, type=_type(cells))
                for name, cells in zip(table.columns, columns, strict=True)
            ]
        ),
    )
    return {name: value, **({f"{name}_rows_left_out": left_out} if left_out else {})}


def markdown_text(text: str) -> str:
    """A description that has data in it, for the UI, which reads descriptions as Markdown.

    Links, images, HTML and emphasis stay text; `code` of our own sentences stays code.
    """
    return _MARKUP.sub(r"\\\g<0>", text)


_MARKUP = re.compile(r"[\\\[\]<>*~|!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def _type(cells: Sequence[Cell]) -> str:
    types = {dg.TableMetadataValue.infer_column_type(cell) for cell in cells if cell is not None}
    return types.pop() if len(types) == 1 else "string"
