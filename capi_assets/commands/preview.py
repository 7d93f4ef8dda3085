"""`capi-assets preview`: what an hour or a file would give, without lake, ledger or a run.

for seen in preview_hours(settings, hours, ["visits", "orders"]):
    seen.rows, seen.refusals, seen.dropped, seen.unknown_columns, seen.payload
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.text import refused_words
from capi_assets.commands.rich_table import rich_table
from capi_assets.commands.terminal import Terminal
from capi_assets.contracts.base import Contract, arrow_schema, columns
from capi_assets.contracts.landing import LandedOrders, LandedVisits
from capi_assets.contracts.visits import Visits
from capi_assets.coverage.formatting import count
from capi_assets.coverage.tables import Table
from capi_assets.eligibility import WITHHELD_TEXTS, matched_events_of
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import key_ranges
from capi_assets.ingest.hours import Ingested
from capi_assets.ingest.landing_folder import LandingFolder, ignored_text, misplaced_text
from capi_assets.ingest.one_file import OneFile
from capi_assets.ingest.orders import ingest_orders
from capi_assets.ingest.sources import Source, SqlModel
from capi_assets.ingest.validation import near_column
from capi_assets.ingest.visits import ingest_visits
from capi_assets.matching import match
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.policies import (
    event_policy,
    hash_policy,
    orders_columns,
    orders_source,
    visits_columns,
    visits_source,
)
from capi_assets.settings import Settings

PLACES = 3
"""Rows of a reason that are named."""


@dataclass(frozen=True)
class Reason:
    """Rows, or fields, with one reason (`column:code`); `places` are the first of them."""

    reason: str
    text: str
    count: int
    places: list[str]


@dataclass(frozen=True)
class Preview:
    """What a source would give to one table.

    Attributes:
        source, table, hours: what was read, the hours as ranges of partition keys.
        rows, repeated, further_lines, sum_lines: rows that would be stored, and lines that would
            not, since they are an order again or no order of their own.
        refusals, dropped: what would go to quarantine, and fields that would be left empty.
        unknown_columns: each with the most similar column of ours, or None.
        file_problems, misplaced, ignored: files that are not read.
        verdicts: of orders, how many would be sent, withheld and invalid, with their reasons.
        payload: the first event that would be sent, masked as `explain` does.
    """

    source: str
    table: str
    hours: list[str]
    rows: int
    repeated: int
    further_lines: int
    sum_lines: int
    refusals: list[Reason]
    dropped: list[Reason]
    unknown_columns: dict[str, str | None]
    file_problems: list[str]
    misplaced: list[str]
    ignored: list[str]
    verdicts: list[Reason]
    payload: dict[str, Any] | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is refused and no file is unread."""
        return not (self.refusals or self.file_problems or self.misplaced)


def preview_hours(
    settings: Settings, hours: Sequence[datetime], tables: Sequence[str]
) -> list[Preview]:
    """What the configured sources would give for `hours`; orders find visits of these hours only.

    Raises:
        SourceError: a source cannot be read.
    """
    with open_duckdb() as connection:
        seen, visits = [], None
        for table in ("visits", "orders"):
            if table in tables:
                source = visits_source(settings) if table == "visits" else orders_source(settings)
                ingested = _ingest(settings, table, source, hours, connection)
                if table == "visits":
                    visits = _rows(ingested)
                name = _name(source)
                unknown = ingested.unknown_columns
                preview = _preview(settings, table, name, ingested, unknown, visits, connection)
                seen.append(preview)
        return seen


def preview_file(settings: Settings, path: Path, table: str, now: datetime) -> Preview:
    """What `path` would give: rows of its own hour in the landing folder, of any hour elsewhere.

    Raises:
        UnreadableFile, OSError: it cannot be read.
    """
    contract, found = _CONTRACTS[table], _COLUMNS[table](settings)
    with open_duckdb() as connection:
        root = Path(settings.landing)
        source = OneFile(path, root, table, contract, found, connection, now)
        ingested = _ingest(settings, table, source, source.hours, connection)
        unknown = source.unknown_columns
        return _preview(settings, table, str(path), ingested, unknown, None, connection)


_CONTRACTS: dict[str, type[Contract]] = {"visits": LandedVisits, "orders": LandedOrders}
_COLUMNS = {"visits": visits_columns, "orders": orders_columns}


def _ingest(
    settings: Settings,
    table: str,
    source: Source,
    hours: Sequence[datetime],
    connection: duckdb.DuckDBPyConnection,
) -> Ingested:
    policy = hash_policy(settings)
    if table == "visits":
        return ingest_visits(source, hours, policy, connection)
    return ingest_orders(source, hours, policy, settings.dataset_id, connection)


def _name(source: Source) -> str:
    if isinstance(source, LandingFolder):
        return f"{source.root}/{source.table}"
    return str(source.path) if isinstance(source, SqlModel) else ""


def _rows(ingested: Ingested) -> pa.Table:
    return pa.concat_tables([hour.rows for hour in ingested.hours])


def _preview(
    settings: Settings,
    table: str,
    source: str,
    ingested: Ingested,
    unknown: Sequence[str],
    visits: pa.Table | None,
    connection: duckdb.DuckDBPyConnection,
) -> Preview:
    rows = _rows(ingested)
    left_out = [each for hour in ingested.hours for each in hour.left_out]
    verdicts: list[Reason] = []
    payload = None
    if table == "orders" and rows.num_rows:
        verdicts, payload = _events(settings, rows, visits, connection)
    ours = [column.name for column in columns(_CONTRACTS[table])]
    ranges = key_ranges(hour.hour for hour in ingested.hours)
    return Preview(
        source=source,
        table=table,
        hours=[first if first == last else f"{first}...{last}" for first, last in ranges],
        rows=rows.num_rows,
        repeated=sum(hour.repeats for hour in ingested.hours),
        further_lines=sum(each.further_lines for each in left_out),
        sum_lines=sum(len(each.sum_lines) for each in left_out),
        refusals=_refusals(ingested),
        dropped=_dropped(rows),
        unknown_columns={name: near_column(name, ours) for name in unknown},
        file_problems=[
            f"{problem.source}: {problem.detail}"
            for hour in ingested.hours
            for problem in hour.file_problems
        ],
        misplaced=ingested.misplaced,
        ignored=ingested.ignored,
        verdicts=verdicts,
        payload=payload,
    )


def _refusals(ingested: Ingested) -> list[Reason]:
    places: dict[str, list[str]] = {}
    for hour in ingested.hours:
        for row in hour.quarantine.to_pylist():
            line = "" if row["line"] is None else f" line {row['line']}"
            for reason in row["reasons"].split():
                if not reason.startswith("file:"):
                    column = reason.partition(":")[0]
                    shape = orjson.loads(row["shapes"]).get(column)
                    shown = f" ({shape})" if shape else ""
                    places.setdefault(reason, []).append(f"{row['source']}{line}{shown}")
    return _counted({name: (len(at), at[:PLACES]) for name, at in places.items()})


def _dropped(rows: pa.Table) -> list[Reason]:
    entries = (text.split() for text in rows["dropped_fields"].drop_null().to_pylist())
    counts = Counter(entry for each in entries for entry in each)
    return _counted({name: (number, []) for name, number in counts.items()})


def _counted(reasons: dict[str, tuple[int, list[str]]]) -> list[Reason]:
    listed = [Reason(name, refused_words(name), *found) for name, found in reasons.items()]
    return sorted(listed, key=lambda reason: (-reason.count, reason.reason))


def _events(
    settings: Settings,
    orders: pa.Table,
    visits: pa.Table | None,
    connection: duckdb.DuckDBPyConnection,
) -> tuple[list[Reason], dict[str, Any] | None]:
    """How many events would be sent and why others not, and the first of them, masked."""
    visits = arrow_schema(Visits).empty_table() if visits is None else visits
    matched = match(orders, visits, settings.lookback, DuckDBEngine(connection))
    events = matched_events_of(matched, event_policy(settings))
    pairs = zip(events["verdict"].to_pylist(), events["reason"].to_pylist(), strict=True)
    texts = WITHHELD_TEXTS | REFUSAL_TEXTS
    verdicts = [
        Reason(f"{verdict}:{why}" if why else verdict, texts.get(why, ""), number, [])
        for (verdict, why), number in Counter(pairs).most_common()
    ]
    payloads = events["payload"].drop_null()
    first = masking.payload(orjson.loads(payloads[0].as_py())) if len(payloads) else None
    return verdicts, first


def as_json(seen: Preview) -> dict[str, Any]:
    """The preview for programs."""
    return asdict(seen)


def show(seen: Preview, console: Terminal) -> None:
    """The preview for people."""
    refused = sum(reason.count for reason in seen.refusals)
    hours = f"{', '.join(seen.hours[:3])}{' …' if len(seen.hours) > 3 else ''}"
    counts = f"{count(seen.rows, 'row')} of {seen.table} in {hours}"
    also = {
        "refusal": refused,
        "repeated row": seen.repeated,
        "further line": seen.further_lines,
        "sum line": seen.sum_lines,
    }
    more = ", ".join(count(number, what) for what, number in also.items() if number)
    console.print(f"{seen.source}: {counts}{f'; {more}' if more else ''}.", soft_wrap=True)
    for problem in seen.file_problems:
        console.print(f"Cannot be read: {problem}.", soft_wrap=True)
    if seen.misplaced:
        console.print(misplaced_text(seen.misplaced), soft_wrap=True)
    if seen.ignored:
        console.print(f"CAPI_IGNORE_FILES: {ignored_text(seen.ignored)}.", soft_wrap=True)
    if seen.unknown_columns:
        names = (
            f"{name} (did you mean {near}?)" if near else name
            for name, near in seen.unknown_columns.items()
        )
        console.print(f"Columns that are not known, and not read: {', '.join(names)}.")
    for title, what, reasons in (
        ("Refused, to quarantine", "rows", seen.refusals),
        ("Fields left empty", "fields", seen.dropped),
        ("Events", "orders", seen.verdicts),
    ):
        if reasons:
            rows = [(each.reason, each.count, _text(each)) for each in reasons]
            console.print(rich_table(Table(["reason", what, "text"], rows), title=title))
    if seen.payload is not None:
        console.print("The first event, with digests cut and addresses as their shape:")
        console.print_json(orjson.dumps(seen.payload).decode())


def _text(reason: Reason) -> str:
    return f"{reason.text} {'; '.join(reason.places)}".strip()
