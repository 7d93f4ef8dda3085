"""What is stored longer than it is needed: found, counted, and removed by the daily job.

An event can be sent until its deadline, and Meta removes duplicates for 48 hours more: until then
its payload and the match keys of its order are needed, and nothing of them afterwards. Withheld
orders need none. Whole hours go by age. `delete` of each function is false for a dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.delivery.identity import ORDER, order_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.eligibility import MATCH_DATA, without_match_data
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.lake import Lake
from capi_assets.meta.limits import DEDUP_WINDOW, WINDOW, WINDOW_PHYSICAL_STORE, deliver_until

VISITS = ("visits", "quarantined_visits")
ORDERS = ("orders", "matched_events", "delivery_results", "quarantined_orders")

_EVENTS, _ORDERS = arrow_schema(MatchedEvents), arrow_schema(Orders)
_PAYLOADS = ("payload", "match_keys")


@dataclass(frozen=True)
class RetentionPolicy:
    """How long data is kept: visits, orders with their events and results, ids in the ledger, and
    landing files, which are never deleted if None. `lookback` is that of matching."""

    visits: timedelta = timedelta(days=90)
    orders: timedelta = timedelta(days=90)
    ledger_ids: timedelta = timedelta(days=365)
    landing: timedelta | None = None
    lookback: timedelta = timedelta(hours=168)


@dataclass(frozen=True)
class Removed:
    """One line of the report: what was removed from a table, from data before `before`."""

    table: str
    what: str
    before: datetime
    rows: int
    bytes: int


@dataclass(frozen=True)
class LandingNeed:
    """The landing files of a table by whether a backfill can still need them.

    Hours before `needed_since` are not needed; `unneeded` are their files as (hour, path, bytes).
    """

    table: str
    needed_since: datetime
    unneeded: list[tuple[datetime, str, int]]
    needed_files: int


def remove_expired(
    lake: Lake, ledger: Ledger, policy: RetentionPolicy, now: datetime, *, delete: bool
) -> Iterator[Removed]:
    """Applies the policy to lake and ledger, a table at a time; `now` is aware UTC.

    Raises:
        LakeError: an hour cannot be read or written.
        LedgerError: the ledger cannot be read or written.
    """
    before = floor_hour(now - policy.visits)
    for table in VISITS:
        hours = [hour for hour in lake.hours(table) if hour < before]
        yield _remove_hours(lake, table, hours, before, delete)
    before = floor_hour(now - policy.orders)
    deadlines = _deadlines(lake, (h for h in lake.hours("matched_events") if h < before))
    open_hours = {hour for hour, until in deadlines.items() if until + DEDUP_WINDOW > now}
    for table in ORDERS:
        hours = [h for h in lake.hours(table) if h < before and h not in open_hours]
        yield _remove_hours(lake, table, hours, before, delete)
    settled = floor_hour(now - WINDOW - DEDUP_WINDOW)
    yield _edited(
        lake, "matched_events", _PAYLOADS, "payloads", settled, delete, _settled_events(now)
    )
    yield _edited(lake, "orders", MATCH_DATA, "match data", settled, delete, _settled_orders(now))
    yield _withheld_orders(lake, settled, now, delete)
    before = floor_hour(now - max(policy.ledger_ids, policy.orders))
    rows = ledger.without_ids_before(before, dry_run=not delete)
    yield Removed("ledger", "ids", before, rows, 0)


def landing_need(
    folder: LandingFolder, lake: Lake, lookback: timedelta, since: datetime, now: datetime
) -> LandingNeed:
    """Which landing files of the hours since `since` a backfill can still need.

    Orders are needed until the last of their hour can no longer be sent nor repeated; visits as
    long as orders that may match them are.

    Raises:
        LakeError: stored events cannot be read.
        OSError: the folder cannot be listed.
    """
    recent = hours_between(floor_hour(now - WINDOW_PHYSICAL_STORE - DEDUP_WINDOW), now)
    deadlines = _deadlines(lake, lake.stored("matched_events", recent))
    open_hours = {hour for hour, until in deadlines.items() if until + DEDUP_WINDOW > now}
    oldest = min({floor_hour(now - WINDOW - DEDUP_WINDOW), *open_hours})
    if folder.table == "visits":
        oldest = floor_hour(oldest - lookback)
    landing = folder.listing(hours_between(floor_hour(since), floor_hour(now) + HOUR))
    for _, error in landing.errors.values():
        raise error
    files = [(h, name, f.size) for h, found in landing.files.items() for name, f in found]
    unneeded = [file for file in files if file[0] < oldest]
    return LandingNeed(folder.table, oldest, unneeded, len(files) - len(unneeded))


def remove_landing(
    folder: LandingFolder, need: LandingNeed, before: datetime, *, delete: bool
) -> Removed:
    """Deletes the files of hours before `before` that no backfill needs.

    Raises:
        OSError: a file cannot be deleted.
    """
    files = [file for file in need.unneeded if file[0] < before]
    for _, name, _ in files if delete else ():
        (folder.root / name).unlink()
    size = sum(size for _, _, size in files)
    return Removed(f"landing/{need.table}", "files", before, len(files), size)


def _remove_hours(
    lake: Lake, table: str, hours: Sequence[datetime], before: datetime, delete: bool
) -> Removed:
    rows, size = lake.size(table, hours)
    if delete:
        lake.remove(table, hours)
    return Removed(table, "hours", before, rows, size)


def _deadlines(lake: Lake, hours: Iterable[datetime]) -> dict[datetime, datetime]:
    """The last deadline of each hour that has events."""
    latest = {
        hour: pc.max(lake.read("matched_events", [hour], _EVENTS, ["deliver_until"])[0]).as_py()
        for hour in hours
    }
    return {hour: until for hour, until in latest.items() if until}


def _edited(
    lake: Lake,
    table: str,
    columns: Sequence[str],
    what: str,
    before: datetime,
    delete: bool,
    change: Callable[[pa.Table], pa.Table],
) -> Removed:
    """Changes the hours before `before` that have values in any of `columns`."""
    schema = _EVENTS if table == "matched_events" else _ORDERS
    rows = size = 0
    for hour in lake.hours(table):
        if hour < before and lake.has_values(table, hour, columns):
            stored = lake.read(table, [hour], schema)
            rows += _changed_rows(stored, change(stored), columns)
            size += lake.edit(table, hour, schema, change) if delete else 0
    return Removed(table, what, before, rows, size)


def _changed_rows(before: pa.Table, after: pa.Table, columns: Sequence[str]) -> int:
    changed = pa.chunked_array([pa.repeat(False, before.num_rows)])
    for name in columns:
        emptied = pc.and_(pc.is_valid(before[name]), pc.is_null(after[name]))
        changed = pc.or_(changed, emptied)
    return int(pc.sum(changed).as_py() or 0)


def _is_settled(until: pa.ChunkedArray, now: datetime) -> pa.ChunkedArray:
    return pc.less(until, pa.scalar(now - DEDUP_WINDOW, UTC_MICROSECONDS))


def _settled_events(now: datetime) -> Callable[[pa.Table], pa.Table]:
    def change(events: pa.Table) -> pa.Table:
        settled = _is_settled(events["deliver_until"], now)
        return without_match_data(events, settled, _PAYLOADS)

    return change


def _settled_orders(now: datetime) -> Callable[[pa.Table], pa.Table]:
    def change(orders: pa.Table) -> pa.Table:
        seconds = pc.divide(orders["occurred_at"].cast(pa.int64()), 1_000_000)
        until = deliver_until(seconds, orders["action_source"])
        return without_match_data(orders, _is_settled(until, now))

    return change


def _withheld_orders(lake: Lake, since: datetime, now: datetime, delete: bool) -> Removed:
    """Orders that were withheld after they were stored, as after a withdrawal of consent."""
    rows = size = 0
    for hour in lake.stored("orders", hours_between(since, floor_hour(now) + HOUR)):
        events = lake.read("matched_events", [hour], _EVENTS, [*ORDER, "verdict"])
        events = events.filter(pc.equal(events["verdict"], "withheld"))
        if not events.num_rows or not lake.has_values("orders", hour, MATCH_DATA):
            continue
        withheld = order_of(events).combine_chunks()

        def change(orders: pa.Table, withheld: pa.Array = withheld) -> pa.Table:
            return without_match_data(orders, pc.is_in(order_of(orders), value_set=withheld))

        stored = lake.read("orders", [hour], _ORDERS)
        rows += _changed_rows(stored, change(stored), MATCH_DATA)
        size += lake.edit("orders", hour, _ORDERS, change) if delete else 0
    return Removed("orders", "match data of withheld orders", now, rows, size)
