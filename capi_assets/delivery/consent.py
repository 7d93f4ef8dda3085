"""Consent as of now: events of orders and people who withdrew it are withheld, whatever is stored.

`matched_events` asks when it writes an hour, and delivery each time it plans: a withdrawal that was
read, or a later visit with consent false, stops every event that has not left.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.visits import Visits
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.schema import WITHDRAWAL
from capi_assets.eligibility import withhold
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.order_identity import CONSENT_WITHDRAWN, marks_of

Micros = npt.NDArray[np.int64]

REFUSED_VISITS = """
SELECT visit_id, occurred_at, external_id, em, ph, fbp FROM visits WHERE consent = false
"""


def withhold_withdrawn(events: pa.Table, ledger: Ledger, lake: Lake, now: datetime) -> pa.Table:
    """`events` with those withheld that may not be sent as of `now` (aware UTC), and without those
    of erased people.

    `events` has columns of `matched_events`. A withdrawal (`Ledger.withdrawals`) withholds what was
    ordered before it, and what was ordered after it unless consent is true, given by the order or
    by a visit after the withdrawal. A stored visit with consent false withholds what its person, or
    its browser, ordered before it.

    Raises:
        LakeError: stored visits cannot be read.
        LedgerError: the ledger cannot be read.
        TombstoneError: people were erased, and the key of their tombstones is missing.
    """
    events = ledger.tombstones().without(events)
    ready = pc.equal(events["verdict"], "ready")
    if not pc.any(ready).as_py():
        return events
    since = pc.min(events["occurred_at"].filter(ready)).as_py()
    return withhold_known(events, ledger.withdrawals(), refused_visits(lake, since, now))


def withhold_known(events: pa.Table, withdrawn: pa.Table, refused: pa.Table) -> pa.Table:
    """`withhold_withdrawn` by `Ledger.withdrawals` and `refused_visits` that were read before; both
    have the columns of `schema.WITHDRAWAL`, and may have more than these events need."""
    if not withdrawn.num_rows and not refused.num_rows:
        return events
    ready = pc.equal(events["verdict"], "ready")
    marks = marks_of(events)
    row = marks["row"].to_numpy()
    ordered = _micros(events["occurred_at"])[row]
    latest = _latest(withdrawn, marks)
    is_withdrawn = latest >= ordered
    consented = _consented_at(events)[row]
    is_withdrawn |= (latest > 0) & (consented <= latest)
    is_withdrawn |= _latest(refused, marks) >= ordered
    withheld = np.zeros(events.num_rows, bool)
    withheld[row[is_withdrawn]] = True
    return withhold(events, pc.and_(ready, pa.array(withheld)), CONSENT_WITHDRAWN)


def refused_visits(lake: Lake, since: datetime, now: datetime) -> pa.Table:
    """The marks of visits with consent false since an hour, with their times.

    Raises:
        LakeError: stored visits cannot be read.
    """
    paths = lake.paths("visits", hours_between(floor_hour(since), floor_hour(now) + HOUR))
    if not paths:
        return WITHDRAWAL.empty_table()
    with open_duckdb() as connection:
        engine = DuckDBEngine(connection)
        engine.register("visits", paths, arrow_schema(Visits))
        visits = engine.query(REFUSED_VISITS)
    if not visits.num_rows:
        return WITHDRAWAL.empty_table()
    marks = marks_of(visits)
    at = visits["occurred_at"].cast(UTC_MICROSECONDS).take(marks["row"])
    return pa.table([marks["mark"], at], schema=WITHDRAWAL)


def _consented_at(events: pa.Table) -> Micros:
    """When consent was given, in microseconds; 0 where it was not or is not recorded."""
    ordered = _micros(events["occurred_at"])
    age = pc.fill_null(events["visit_age_seconds"], 0).to_numpy()
    of_visit = pc.match_substring_regex(pc.fill_null(events["lent"], ""), r"\bconsent\b")
    at = np.where(of_visit.to_numpy(), ordered - age * 1_000_000, ordered)
    return np.where(pc.fill_null(events["consent"], False).to_numpy(), at, 0)


def _latest(withdrawals: pa.Table, marks: pa.Table) -> Micros:
    """For each mark the latest time, in microseconds, at which it was withdrawn; 0 if never."""
    latest = withdrawals.group_by("mark").aggregate([("withdrawn_at", "max")])
    place = pc.index_in(marks["mark"], value_set=latest["mark"].combine_chunks())
    times = latest["withdrawn_at_max"].cast(pa.int64()).take(place)
    return np.asarray(pc.fill_null(times, 0).to_numpy(), np.int64)


def _micros(times: pa.ChunkedArray) -> Micros:
    return np.asarray(times.cast(pa.int64()).to_numpy(), np.int64)
