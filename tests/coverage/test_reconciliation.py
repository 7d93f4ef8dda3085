"""Meta's hourly counts and ours: when they agree, and when they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.base import conform
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.coverage.reconciliation.compare import (
    TOO_OLD,
    Reconciliation,
    Tolerance,
    reconcile,
)
from capi_assets.coverage.reconciliation.our_deliveries import OUR_DELIVERIES, our_deliveries
from capi_assets.hours import HOUR

D, NAME = "1234", "Purchase"
START = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = [START + i * HOUR for i in range(5 * 24)]
NOW = WEEK[-1] + 4 * HOUR
_T = pa.timestamp("us", tz="UTC")
_PIXEL = pa.schema([(n, pa.string()) for n in ("dataset_id", "event_name", "event_id")])
_META = pa.schema(
    [("dataset_id", pa.string()), ("hour", _T), ("event_name", pa.string()), ("events", pa.int64())]
)
_RESULTS = pa.schema(
    [
        ("dataset_id", pa.string()),
        ("event_name", pa.string()),
        ("event_id", pa.string()),
        ("occurred_at", _T),
        ("status", pa.string()),
        ("attempts", pa.int64()),
        ("first_attempt_at", _T),
        ("last_attempt_at", _T),
        ("delivered_at", _T),
    ]
)


def result(
    number: int,
    at: datetime,
    delivered: datetime | None = None,
    *,
    status: str = "delivered",
    attempts: int = 1,
    first: datetime | None = None,
    name: str = NAME,
) -> dict[str, Any]:
    delivered = delivered or at + timedelta(minutes=5)
    return {
        "dataset_id": D,
        "event_name": name,
        "event_id": f"{at:%d%H}-{number}",
        "occurred_at": at,
        "status": status,
        "attempts": attempts,
        "first_attempt_at": first or delivered,
        "last_attempt_at": delivered,
        "delivered_at": delivered if status == "delivered" else None,
    }


def deliver_hourly(count: int, **given: Any) -> list[dict[str, Any]]:
    return [result(i, hour, **given) for hour in WEEK for i in range(count)]


def meta_of(counts: dict[datetime, int], name: str = NAME) -> pa.Table:
    rows = [
        {"dataset_id": D, "hour": h, "event_name": name, "events": n} for h, n in counts.items()
    ]
    return pa.Table.from_pylist(rows, _META)


def compare(
    results: list[dict[str, Any]],
    meta: pa.Table,
    hours: list[datetime] | None = None,
    *,
    why: str | None = None,
    now: datetime = NOW,
    pixel: list[dict[str, str]] | None = None,
    materialized: list[datetime] | None = None,
    tolerance: Tolerance | None = None,
) -> Reconciliation:
    ours = our_deliveries(
        pa.Table.from_pylist(results, _RESULTS), pa.Table.from_pylist(pixel or [], _PIXEL)
    )
    told = reconcile(
        WEEK if hours is None else hours,
        WEEK,
        ours,
        meta,
        {D: why},
        WEEK if materialized is None else materialized,
        now,
        tolerance or Tolerance(),
    )
    conform(told.rows, MetaStats)
    return told


def verdicts(told: Reconciliation) -> dict[datetime, tuple[str, bool]]:
    return {r["hour"]: (r["verdict"], r["sustained"]) for r in told.rows.to_pylist()}


def test_equal_counts_agree() -> None:
    told = compare(deliver_hourly(20), meta_of(dict.fromkeys(WEEK, 20)))
    assert set(verdicts(told).values()) == {("agree", False)}
    assert set(told.rows["difference"].to_pylist()) == {0}
    assert told.rows.num_rows == len(WEEK)


@pytest.mark.parametrize(("count", "verdict"), [(5, "meta_has_less"), (40, "meta_has_more")])
def test_only_two_differing_hours_in_a_row_are_sustained(count: int, verdict: str) -> None:
    counts = dict.fromkeys(WEEK, 20)
    odd = counts | {WEEK[30]: count}
    found = verdicts(compare(deliver_hourly(20), meta_of(odd)))
    assert found[WEEK[30]] == (verdict, False)
    assert {v for h, v in found.items() if h != WEEK[30]} == {("agree", False)}
    found = verdicts(compare(deliver_hourly(20), meta_of(odd | {WEEK[31]: count})))
    assert [h for h, v in found.items() if v == (verdict, True)] == WEEK[30:32]


def test_a_difference_too_small_for_an_hour_shows_in_the_day() -> None:
    day = WEEK[24:48]
    counts = dict.fromkeys(WEEK, 20) | dict.fromkeys(day, 17)
    found = verdicts(compare(deliver_hourly(20), meta_of(counts)))
    assert {found[hour] for hour in day} == {("meta_has_less", True)}
    assert {v for h, v in found.items() if h not in day} == {("agree", False)}


def test_the_basis_that_fits_is_found() -> None:
    outage = WEEK[20:26]
    late = outage[-1] + 90 * timedelta(minutes=1)
    results = [
        result(i, hour, late if hour in outage else None) for hour in WEEK for i in range(20)
    ]
    by_receipt = dict.fromkeys(WEEK, 20) | dict.fromkeys(outage, 0)
    by_receipt[late.replace(minute=0)] += 20 * len(outage)
    told = compare(results, meta_of(by_receipt))
    assert told.fits[D].basis == "receipt_time"
    assert told.fits[D].by_receipt_time == 0 < told.fits[D].by_event_time
    assert set(verdicts(told).values()) == {("agree", False)}
    told = compare(results, meta_of(dict.fromkeys(WEEK, 20)))
    assert told.fits[D].basis == "event_time"
    assert set(verdicts(told).values()) == {("agree", False)}


def test_an_hour_waits_until_meta_has_counted() -> None:
    results = deliver_hourly(20)
    late_hour = WEEK[40]
    results += [result(100 + i, late_hour, NOW - timedelta(hours=1)) for i in range(50)]
    counts = dict.fromkeys(WEEK, 20) | {WEEK[-1]: 0, WEEK[-2]: 0}
    found = verdicts(compare(results, meta_of(counts), now=WEEK[-1] + 3 * HOUR))
    assert found[WEEK[-1]] == ("too_early", False)
    assert found[late_hour] == ("too_early", False)
    assert found[WEEK[-2]][0] == "meta_has_less"


def test_unknown_outcomes_and_retries_explain_a_difference() -> None:
    hour = WEEK[50]
    results = deliver_hourly(20)
    unknown = [
        result(200 + i, hour, status="unknown", attempts=1, first=hour + HOUR / 2)
        for i in range(30)
    ]
    repeated = [result(300 + i, hour, attempts=2) for i in range(10)]
    counts = dict.fromkeys(WEEK, 20)
    for more in (10, 20, 50):
        told = compare(results + unknown + repeated, meta_of(counts | {hour: 20 + more}))
        assert verdicts(told)[hour] == ("agree", False), more
    told = compare(results, meta_of(counts | {hour: 30}))
    assert verdicts(told)[hour] == ("meta_has_more", False)


def test_what_the_pixel_reported_may_be_counted_as_the_pixels() -> None:
    hours = WEEK[50:52]
    results = deliver_hourly(20)
    both = [
        {"dataset_id": D, "event_name": NAME, "event_id": r["event_id"]}
        for r in results
        if r["occurred_at"] in hours
    ]
    meta = meta_of(dict.fromkeys(WEEK, 20) | dict.fromkeys(hours, 2))
    assert {verdicts(compare(results, meta))[h] for h in hours} == {("meta_has_less", True)}
    found = verdicts(compare(results, meta, pixel=both))
    assert {found[h] for h in hours} == {("agree", False)}


def test_rejected_and_pending_events_are_not_expected_at_meta() -> None:
    results = deliver_hourly(20)
    for status in ("pending", "rejected", "invalid", "withheld", "future_dated"):
        results += [result(ord(status[0]) * 100 + i, WEEK[9], status=status) for i in range(50)]
    told = compare(results, meta_of(dict.fromkeys(WEEK, 20)))
    assert set(told.rows["may_be_more"].to_pylist()) == {0}
    assert set(verdicts(told).values()) == {("agree", False)}


def test_counts_that_cannot_be_read_are_no_alarm() -> None:
    told = compare(deliver_hourly(20), meta_of({}), why="it may not")
    assert set(verdicts(told).values()) == {("cannot_read", False)}
    assert set(told.rows["why"].to_pylist()) == {"it may not"}
    assert set(told.rows["meta_events"].to_pylist()) == {None}
    assert told.fits == {}


def test_hours_older_than_meta_keeps_are_not_compared() -> None:
    old = START - 30 * HOUR
    told = compare(deliver_hourly(20), meta_of(dict.fromkeys(WEEK, 20)), [old, WEEK[3]])
    assert verdicts(told) == {old: ("cannot_read", False), WEEK[3]: ("agree", False)}
    assert told.rows["why"].to_pylist() == [TOO_OLD, None]


def test_an_hour_without_results_is_not_compared() -> None:
    gone = WEEK[33]
    results = [r for r in deliver_hourly(20) if r["occurred_at"] != gone]
    materialized = [hour for hour in WEEK if hour != gone]
    told = compare(results, meta_of(dict.fromkeys(WEEK, 20)), materialized=materialized)
    assert verdicts(told)[gone] == ("not_materialized", False)
    assert told.fits[D].by_event_time == 0


def test_an_event_name_that_we_never_send_is_listed_and_not_compared() -> None:
    meta = pa.concat_tables(
        [meta_of(dict.fromkeys(WEEK, 20)), meta_of(dict.fromkeys(WEEK, 900), "PageView")]
    )
    told = compare(deliver_hourly(20), meta)
    assert told.foreign == {D: ("PageView",)}
    assert set(told.rows["event_name"].to_pylist()) == {NAME}


def test_an_hour_without_events_has_a_row_that_says_so() -> None:
    told = compare(deliver_hourly(20)[:-20], meta_of(dict.fromkeys(WEEK[:-1], 20)), WEEK[-1:])
    [row] = told.rows.to_pylist()
    assert (row["event_name"], row["meta_events"], row["verdict"]) == ("", 0, "agree")


def test_without_any_delivery_there_is_nothing_to_disagree_about() -> None:
    told = compare([], meta_of({WEEK[0]: 7}), WEEK[:2])
    assert told.foreign == {D: (NAME,)}
    assert {row["verdict"] for row in told.rows.to_pylist()} == {"agree"}


counts = st.integers(0, 60)


@settings(max_examples=25, deadline=None)
@given(st.lists(counts, min_size=6, max_size=6), st.lists(counts, min_size=6, max_size=6))
def test_a_small_difference_is_never_a_verdict_and_a_large_one_always(
    ours: list[int], theirs: list[int]
) -> None:
    hours = WEEK[:6]
    results = [result(i, h) for h, n in zip(hours, ours, strict=True) for i in range(n)]
    meta = meta_of(dict(zip(hours, theirs, strict=True)))
    told = compare(results, meta, hours, materialized=hours)  # too few for a day's sum
    sides = dict(zip(hours, zip(ours, theirs, strict=True), strict=True))
    for row in told.rows.to_pylist():
        mine, its = sides[row["hour"]]
        if not sum(ours) or abs(mine - its) <= 3:
            assert row["verdict"] == "agree"
        elif abs(mine - its) > 3 + 0.4 * max(mine, its):
            assert row["verdict"] == ("meta_has_less" if its < mine else "meta_has_more")
        if row["verdict"].startswith("meta"):
            assert abs(row["unexplained"]) > row["tolerance"]
            assert row["difference"] == its - mine


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),  # hour of the event
            st.integers(0, 300),  # minutes to the first attempt
            st.integers(0, 120),  # minutes from there to the answer
            st.sampled_from(["delivered", "unknown", "pending", "rejected"]),
            st.booleans(),  # whether the first attempt was taken
        ),
        max_size=40,
    )
)
def test_whatever_meta_may_count_lies_within_our_bounds(events: list[Any]) -> None:
    results = []
    by_event: dict[datetime, list[int]] = {}
    by_receipt: dict[datetime, list[int]] = {}

    def count(into: dict[datetime, list[int]], at: datetime) -> None:
        into.setdefault(at.replace(minute=0), []).append(1)

    for number, (back, wait, answer, status, taken) in enumerate(events):
        at = WEEK[back]
        first = at + timedelta(minutes=wait)
        last = first + timedelta(minutes=answer)
        attempts = 2 if answer else 1
        results.append(result(number, at, last, status=status, attempts=attempts, first=first))
        if status == "delivered" or (status == "unknown" and taken):
            received = first if taken else last
            count(by_event, at)
            count(by_receipt, received)
    ours = our_deliveries(pa.Table.from_pylist(results, _RESULTS), _PIXEL.empty_table())
    assert ours.schema == OUR_DELIVERIES
    rows = {(r["basis"], r["hour"]): r for r in ours.to_pylist()}
    for basis, honest in (("event_time", by_event), ("receipt_time", by_receipt)):
        for hour in {*honest, *(h for b, h in rows if b == basis)}:
            row = rows.get((basis, hour), {"delivered": 0, "may_be_more": 0, "may_be_fewer": 0})
            seen = len(honest.get(hour, []))
            low = row["delivered"] - row["may_be_fewer"]
            assert low <= seen <= row["delivered"] + row["may_be_more"], (basis, hour)
