"""Tables keep their data as data: in Dagster's metadata and on the terminal."""

from __future__ import annotations

import io

import dagster as dg
from rich.console import Console

from capi_assets.commands.rich_table import rich_table
from capi_assets.coverage.tables import Table
from capi_assets.defs.metadata import MAX_ROWS, table_metadata

ODD = "a|b\n<img src=x> [red]x[/red]"


def test_cells_are_stored_as_they_are_with_the_type_of_their_column() -> None:
    metadata = table_metadata("events", Table(["event", "orders"], [[ODD, 3], ["Lead", None]]))
    assert list(metadata) == ["events"]
    value = metadata["events"]
    assert isinstance(value, dg.TableMetadataValue)
    assert [record.data for record in value.records] == [
        {"event": ODD, "orders": 3},
        {"event": "Lead", "orders": None},
    ]
    assert [(c.name, c.type) for c in value.schema.columns] == [
        ("event", "string"),
        ("orders", "int"),
    ]


def test_rows_beyond_the_limit_are_counted() -> None:
    metadata = table_metadata("hours", Table(["n"], [[n] for n in range(MAX_ROWS + 7)]))
    assert len(metadata["hours"].records) == MAX_ROWS
    assert metadata["hours_rows_left_out"] == 7


def test_a_table_without_rows_is_no_metadata() -> None:
    assert table_metadata("hours", Table(["n"], [])) == {}


def test_brackets_in_data_are_no_markup_on_the_terminal() -> None:
    screen = io.StringIO()
    table = Table(["event", "orders"], [["[red]x[/red]", 1_204], ["total", 1_204]])
    Console(file=screen, width=80).print(rich_table(table, title="Plan"))
    assert "[red]x[/red]" in screen.getvalue()
    assert "1,204" in screen.getvalue()
