"""Landed rows into the lake: each hour and its quarantine are replaced as a whole.

`IngestStage` is the work on some hours of a table with all that it needs, so that it runs in this
process or, pickled, on a worker of a cluster. What it returns has no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.counts import count_words, sums_by_currency
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.eligibility import withheld_reason, without_match_data
from capi_assets.ingest.export_lines import LeftOut
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.hours import IngestedHour, keep_stored
from capi_assets.ingest.orders import ORDER_KEY, ingest_orders, keep_former_ids
from capi_assets.ingest.sources import FileProblem, Source
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.ingest.visits import VISIT_KEY, ingest_visits
from capi_assets.lake import Lake
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.processes import release_memory

CONTRACTS: dict[str, type[Contract]] = {"visits": Visits, "orders": Orders}
_KEYS = {"visits": VISIT_KEY, "orders": ORDER_KEY}


def quarantine_of(table: str) -> str:
    """The lake's name for a table's quarantine."""
    return f"quarantined_{table}"


@dataclass(frozen=True)
class StoredHour:
    """What was stored of one hour, in numbers.

    `dropped` and `quarantine_reasons` count rows by reason; `value` is the sum of orders by
    currency. The other fields are those of `IngestedHour`.
    """

    hour: datetime
    rows: int
    files: int
    quarantined: int
    repeats: int
    kept: int
    dropped: dict[str, int]
    quarantine_reasons: dict[str, int]
    value: dict[str, float]
    event_names: list[str]
    file_problems: list[FileProblem]
    left_out: list[LeftOut]

    @property
    def ids_hashed(self) -> int:
        """Ids with contact data, which are stored as their digest."""
        code = f":{Problem.CONTACT_HASHED.code}"
        return sum(count for reason, count in self.dropped.items() if reason.endswith(code))


@dataclass(frozen=True)
class Stored:
    """What was stored of a range; the names are those of `Ingested`."""

    hours: list[StoredHour] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def joined(parts: Iterable[Stored]) -> Stored:
    """The parts of a range as one, its hours in time order."""
    parts = list(parts)
    return Stored(
        sorted((hour for part in parts for hour in part.hours), key=lambda stored: stored.hour),
        *(
            sorted({text for part in parts for text in getattr(part, name)})
            for name in ("unknown_columns", "misplaced", "ignored")
        ),
    )


@dataclass(frozen=True)
class IngestStage:
    """Reads hours of `table` ("visits" or "orders") from `source` and stores them in `lake`.

    `lake` is an address as of `Lake.address`. `default_dataset_id` and `consent_required` concern
    orders. With `only_new`, hours that are stored by then are left as they are.

        IngestStage("visits", source, lake.address, HashPolicy()).run([hour], connection)
    """

    table: str
    source: Source
    lake: str
    policy: HashPolicy
    default_dataset_id: str = ""
    consent_required: bool = False
    tombstones: Tombstones = NONE
    only_new: bool = False

    def run(self, hours: Sequence[datetime], connection: duckdb.DuckDBPyConnection) -> Stored:
        """Replaces `hours` as a whole. The only way in which landed rows enter the lake.

        Stored rows of hours whose source is absent or cannot be read are kept: see `keep_stored`.

        Raises:
            SourceError: the source as a whole cannot be read.
            LakeError: the lake cannot be read or written.
        """
        parts = []
        for batch in self.source.batches(hours):
            parts.append(self._stored(batch, connection))
            release_memory()
        return joined(parts)

    def _stored(self, hours: Sequence[datetime], connection: duckdb.DuckDBPyConnection) -> Stored:
        """Hours that are in memory together."""
        lake, keys = Lake(self.lake), self.policy
        if self.table == "visits":
            ingested = ingest_visits(self.source, hours, keys, connection, self.tombstones)
        else:
            ingested = ingest_orders(
                self.source, hours, keys, self.default_dataset_id, connection, self.tombstones,
                self._as_needed,
            )  # fmt: skip
        wanted = ingested.hours
        if self.only_new:
            # Two runs may read the same hour: each writes the whole file, and the lake replaces it
            # at once. What the other has stored by now is not older than what was read here.
            stored = set(lake.stored(self.table, hours))
            wanted = [hour for hour in wanted if hour.hour not in stored]
        return Stored(
            [self._store(lake, hour) for hour in wanted],
            ingested.unknown_columns,
            ingested.misplaced,
            ingested.ignored,
        )

    def _store(self, lake: Lake, hour: IngestedHour) -> StoredHour:
        table, quarantine = self.table, quarantine_of(self.table)
        if hour.is_absent or hour.file_problems:
            stored = lake.read(table, [hour.hour], arrow_schema(CONTRACTS[table]))
            quarantined = lake.read(quarantine, [hour.hour], arrow_schema(Quarantine))
            hour = keep_stored(hour, stored, quarantined, _KEYS[table])
        in_numbers = _in_numbers(hour)
        if table == "orders" and in_numbers.ids_hashed:
            stored = lake.read(table, [hour.hour], arrow_schema(Orders))
            hour = keep_former_ids(hour, stored)
        lake.write(table, hour.hour, hour.rows)
        if hour.quarantine.num_rows or lake.path(quarantine, hour.hour).exists():
            lake.write(quarantine, hour.hour, hour.quarantine)
        return in_numbers

    def _as_needed(self, orders: pa.Table) -> pa.Table:
        """Withheld orders without match data: if they land again as confirmed, it lands again."""
        withheld = pc.is_valid(withheld_reason(orders, self.consent_required))
        return without_match_data(orders, withheld) if pc.any(withheld).as_py() else orders


def _in_numbers(hour: IngestedHour) -> StoredHour:
    rows, names = hour.rows, hour.rows.column_names
    return StoredHour(
        hour=hour.hour,
        rows=rows.num_rows,
        files=hour.files,
        quarantined=hour.quarantine.num_rows,
        repeats=hour.repeats,
        kept=hour.kept,
        dropped=count_words(rows.column("dropped_fields")),
        quarantine_reasons=count_words(hour.quarantine.column("reasons")),
        value=sums_by_currency(rows) if "value" in names else {},
        event_names=pc.unique(rows.column("event_name")).to_pylist()
        if "event_name" in names
        else [],
        file_problems=hour.file_problems,
        left_out=hour.left_out,
    )
