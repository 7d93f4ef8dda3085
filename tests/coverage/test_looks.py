"""A look that does again only what changed finds what a look without any memory finds."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage import stored_health
from capi_assets.coverage.anomalies.unusual_hours import unusual_hours
from capi_assets.coverage.flags import FLAGS, flag_hours, moments_of_change
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.landing_delays import LandingDelays
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.stored_health import NEIGHBOURS, WATCH_WINDOW, find_gaps
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.hours import floor_hour, hours_between
from capi_assets.lake import Lake, LakeError
from tests.helpers.health_rows import health
from tests.helpers.order_records import HOUR, health_row, hour

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
POLICIES = [
    CoveragePolicy(),
    CoveragePolicy(visits=VisitRetention(timedelta(days=2), timedelta(days=5))),
    CoveragePolicy(delays=LandingDelays(visits=timedelta(hours=2), orders=timedelta(hours=1))),
]
STREAMS = (("1", "Purchase"), ("1", "Lead"), ("2", "Purchase"))


def without_memory(lake: Lake, policy: CoveragePolicy, now: datetime) -> tuple[pa.Table, list[Gap]]:
    """What `find_gaps` says it finds, all of it read and computed."""
    start, end = floor_hour(now - WATCH_WINDOW), floor_hour(now) + HOUR
    schema = arrow_schema(AttributionHealth)
    hours = hours_between(start - NEIGHBOURS, end)
    learnt = hours_between(hours[0] - stored_health.TRAINING_WINDOW, hours[0])
    stored = [schema.empty_table(), *(_readable(lake, hour, schema) for hour in hours)]
    first = lake.hours("attribution_health")[0]
    flags = flag_hours(
        pa.concat_tables(stored),
        policy,
        now,
        expected_hours=hours_between(max(start, first), end),
        history=lake.read("attribution_health", learnt, schema, stored_health.HISTORY),
    )
    return flags, [gap for gap in gaps(flags) if gap.last_hour >= start]


def _readable(lake: Lake, hour: datetime, schema: pa.Schema) -> pa.Table:
    try:
        return lake.read("attribution_health", [hour], schema)
    except LakeError:  # damaged
        return schema.empty_table()


class Shop:
    """An hourly lake whose hours are written, written again, removed and damaged by chance."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.lake, self.random = Lake(folder), random.Random(seed)
        self.now = hour(24 * 7) + 20 * MINUTE
        for at in hours_between(hour(0), self.now):
            self.write(at, good=True)

    def write(self, at: datetime, good: bool = False) -> None:
        rows = [self._row(at, good, *names) for names in STREAMS]
        self.lake.write("attribution_health", at, health(*rows))

    def _row(self, at: datetime, good: bool, dataset: str, event: str) -> dict[str, Any]:
        orders = self.random.randint(15, 25)
        lost = 0 if good else self.random.choice([0, 0, 4, orders])
        stage, reason, kind = self.random.choice(
            [("pending", "token_expired", "token"), ("rejected", "missing_value", "payload")]
        )
        return health_row(
            at, dataset_id=dataset, event_name=event, currency="EUR", visits=600, orders=orders,
            eligible=orders, delivered=orders - lost, matched=orders // 2,
            matched_eligible=orders // 2, value_orders=10.0 * orders,
            value_delivered=10.0 * (orders - lost), **{stage: lost, f"value_{stage}": 10.0 * lost},
            main_reason=reason if lost else None, main_reason_kind=kind if lost else None,
            first_deadline=at + 6 * DAY + self.random.randint(0, 90) * MINUTE
            if lost and stage == "pending" else None,
            match_keys=f'{{"em":{self.random.randint(10, 15)}}}', action_sources=None,
            withheld_reasons="{}",
        )  # fmt: skip

    def happen(self) -> str:
        """Lets time pass, and mostly something happen."""
        self.now += self.random.choice([MINUTE, 7 * MINUTE, 7 * MINUTE, 50 * MINUTE])
        back = self.random.choice([0, 1, 2, 30, 140, 150])
        at = floor_hour(self.now) - back * HOUR
        what = self.random.choice(["nothing", "nothing", "write", "write", "remove", "damage"])
        if what == "write":
            self.write(at)
        elif what == "remove":
            self.lake.remove("attribution_health", [at])
        elif what == "damage" and self.lake.stored("attribution_health", [at]):
            self.lake.path("attribution_health", at).write_bytes(b"no Parquet")
        return what


@pytest.mark.parametrize("seed", [1, 2])
def test_looks_after_any_changes_find_what_a_look_without_memory_finds(
    tmp_path: Path, seed: int
) -> None:
    shop, policy, flagged = Shop(tmp_path, seed), POLICIES[0], 0
    for step in range(12):
        what = shop.happen()
        if step % 5 == 4:
            policy = shop.random.choice(POLICIES)
        found = find_gaps(shop.lake, policy, shop.now)
        flags, expected = without_memory(shop.lake, policy, shop.now)
        assert found.flags.equals(flags), (step, what)
        assert found.gaps == expected, (step, what)
        flagged += len(expected)
    assert flagged


def test_a_look_at_which_nothing_has_changed_computes_and_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, seed=3)
    first = find_gaps(shop.lake, POLICIES[0], shop.now)
    with monkeypatch.context() as patched:
        for name in ("_verdicts", "unusual_hours", "flags_beside", "moments_of_change"):
            patched.setattr(stored_health, name, lambda *_: 1 / 0)
        assert find_gaps(shop.lake, POLICIES[0], shop.now + MINUTE) is first
    shop.write(floor_hour(shop.now))
    with monkeypatch.context() as patched:
        # The open hour is none that is judged against others.
        patched.setattr(stored_health, "unusual_hours", lambda *_: 1 / 0)
        assert find_gaps(shop.lake, POLICIES[0], shop.now + MINUTE) is not first


def test_a_look_that_begins_while_another_computes_waits_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, begun, calls = Shop(tmp_path, seed=3), Event(), []

    def slow(*given: Any) -> Any:
        calls.append(given)
        begun.set()
        time.sleep(0.3)
        return unusual_hours(*given)

    monkeypatch.setattr(stored_health, "unusual_hours", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(find_gaps, shop.lake, POLICIES[0], shop.now)
        assert begun.wait(60)
        # Dagster has given up the first, whose thread goes on.
        second = pool.submit(find_gaps, shop.lake, POLICIES[0], shop.now + MINUTE)
        assert second.result() is first.result()
    assert len(calls) == 1


def test_two_lakes_are_told_apart(tmp_path: Path) -> None:
    shop, empty = Shop(tmp_path / "a", seed=3), Lake(tmp_path / "b")
    assert find_gaps(shop.lake, POLICIES[0], shop.now).flags.num_rows
    assert find_gaps(empty, POLICIES[0], shop.now).flags.equals(FLAGS.empty_table())


def missing(at: int, pending: int, rejected: int, minutes: int | None, kind: str) -> dict[str, Any]:
    """A row of 20 orders, the first of which can be delivered until so many minutes later."""
    return health_row(
        hour(at), orders=20, eligible=20, delivered=20 - pending - rejected, pending=pending,
        rejected=rejected, visits=100, matched=10, matched_eligible=10, main_reason="why",
        main_reason_kind=kind, first_deadline=hour(at) + minutes * MINUTE if minutes else None,
    )  # fmt: skip


KINDS = ["token", "payload", "match_keys_lost", "meta_down", "visits_missing"]
COUNTS = st.integers(0, 10)
DEADLINES = st.none() | st.integers(1, 12_000)
ROWS = st.lists(
    st.builds(missing, st.integers(0, 30), COUNTS, COUNTS, DEADLINES, st.sampled_from(KINDS)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=80)
@given(ROWS, st.sampled_from(POLICIES), st.data())
def test_flags_change_by_themselves_at_the_listed_moments_only(
    rows: list[dict[str, Any]], policy: CoveragePolicy, data: st.DataObject
) -> None:
    stored, expected = health(*rows), [hour(3), hour(40)]
    moments = moments_of_change(stored, policy, expected)
    place = data.draw(st.integers(0, len(moments) - 1))
    begins = moments[place]
    ends = moments[place + 1] if place + 1 < len(moments) else begins + 900 * DAY
    first, last = (
        flag_hours(stored, policy, now, expected_hours=expected)
        for now in (begins, ends - timedelta(microseconds=1))
    )
    assert first.equals(last)


def test_a_deadline_that_passes_between_two_looks_is_noticed(tmp_path: Path) -> None:
    lake, due = Lake(tmp_path), hour(0) + 5 * DAY
    lost = {"orders": 20, "eligible": 20, "pending": 20, "first_deadline": due}
    reason = {"main_reason": "token_expired", "main_reason_kind": "token"}
    lake.write("attribution_health", hour(0), health(health_row(hour(0), **lost, **reason)))
    for after, recoverable in ((-MINUTE, 20), (0 * MINUTE, 0)):
        found = find_gaps(lake, POLICIES[0], due + after)
        assert [gap.recoverable for gap in found.gaps if gap.cause == "token"] == [recoverable]
