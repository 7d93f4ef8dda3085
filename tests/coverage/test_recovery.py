"""Recovery launches what a run can save, once its cause is gone, and knows when to give up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.recovery.decisions import (
    COOL_DOWN,
    MAX_LAUNCHES,
    MAX_RANGES_PER_TICK,
    NEEDS_PREFLIGHT,
    ONLY_LAUNCH,
    Recovery,
    SavableHour,
    datasets_to_ask,
    decide_recovery,
    note_blocks,
    savable_hours,
)
from capi_assets.coverage.recovery.state import RecoveryState
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import H, OrderRecords, hour

WINDOW = timedelta(days=6, hours=23, minutes=30)
MINUTE = timedelta(minutes=1)
UP: dict[str, Cause | None] = {"d1": None}
DOWN: dict[str, Cause | None] = {"d1": Cause.TOKEN}


def savable(
    *hours: int, orders: int | None = 10, cause: Cause = Cause.TOKEN, gap: str | None = "g"
) -> list[SavableHour]:
    return [
        SavableHour(hour(n), cause, orders, hour(n) + WINDOW, frozenset({"d1"}), gap) for n in hours
    ]


class RecoverySequence:
    """Ticks one after the other; the state goes through the sensor's cursor each time."""

    def __init__(self) -> None:
        self.state = RecoveryState()

    def asks(
        self, now: datetime, found: list[SavableHour], under_way: Collection[datetime] = ()
    ) -> list[str]:
        return datasets_to_ask(self.state, found, now, under_way)

    def look(
        self,
        now: datetime,
        found: list[SavableHour],
        preflights: Mapping[str, Cause | None] | None = None,
        under_way: Collection[datetime] = (),
    ) -> Recovery:
        recovery = decide_recovery(self.state, found, now, preflights or {}, under_way)
        cursor = SensorState(recovery=recovery.state).to_json()
        self.state = SensorState.from_json(cursor).recovery
        assert self.state == recovery.state
        return recovery

    def launched(self, *args: object, **more: object) -> list[list[tuple[str, str]]]:
        return [launch.ranges for launch in self.look(*args, **more).launches]  # type: ignore[arg-type]


def keys(first: int, last: int) -> tuple[str, str]:
    return f"{hour(first):%Y-%m-%d-%H:%M}", f"{hour(last):%Y-%m-%d-%H:%M}"


def test_exactly_the_savable_hours_are_launched_once_the_preflight_passes() -> None:
    story = RecoverySequence()
    found = savable(0, 1, 3)
    assert story.asks(hour(9), found) == ["d1"]
    assert story.launched(hour(9), found, DOWN) == []
    assert story.launched(hour(9) + MINUTE, found, UP) == [[keys(0, 1), keys(3, 3)]]


def test_nothing_is_launched_twice_while_a_run_is_under_way_or_cooling_down() -> None:
    story = RecoverySequence()
    found = savable(0, 1)
    assert story.launched(hour(9), found, UP)
    assert story.asks(hour(9) + MINUTE, found) == []
    assert story.launched(hour(9) + MINUTE, found, UP) == []
    later = hour(9) + COOL_DOWN
    assert story.launched(later, found, UP, under_way={hour(0)}) == [[keys(1, 1)]]
    assert story.launched(later, found, UP, under_way={hour(0), hour(1)}) == []


def test_an_hour_that_others_work_on_is_never_launched() -> None:
    story = RecoverySequence()
    assert story.asks(hour(9), savable(0), {hour(0)}) == []
    assert story.launched(hour(9), savable(0, 1), UP, under_way={hour(0)}) == [[keys(1, 1)]]


def test_the_most_urgent_go_first_and_the_rest_at_the_next_look() -> None:
    story = RecoverySequence()
    found = [
        *savable(*range(20, 40, 2), gap="young"),
        *savable(0, 1, gap="old", cause=Cause.NOT_MATERIALIZED, orders=None),
    ]
    first = story.look(hour(60), found, UP)
    assert [launch.gap for launch in first.launches] == ["old", "young"]
    assert sum(len(launch.ranges) for launch in first.launches) == MAX_RANGES_PER_TICK
    second = story.look(hour(60) + MINUTE, found, UP)
    third = story.look(hour(60) + 2 * MINUTE, found, UP)
    launched = [
        h for look in (first, second, third) for launch in look.launches for h in launch.hours
    ]
    assert len(launched) == len(set(launched)) == len(found)
    young = [h for h in launched if h >= hour(20)]
    assert young == sorted(young)


def test_a_failing_preflight_is_asked_less_and_less_often() -> None:
    story = RecoverySequence()
    now, asked = hour(9), []
    for _ in range(60 * 4):
        if story.asks(now, savable(0)):
            asked.append(now)
            story.look(now, savable(0), DOWN)
        else:
            story.look(now, savable(0))
        now += MINUTE
    pauses = [(b - a) // MINUTE for a, b in pairwise(asked)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert set(pauses[6:]) == {30}
    assert story.launched(now + timedelta(hours=1), savable(0), UP)
    assert story.asks(now + timedelta(hours=2), savable(0)) == ["d1"]


def test_what_only_lacks_a_run_needs_no_preflight() -> None:
    story = RecoverySequence()
    found = savable(0, cause=Cause.NOT_MATERIALIZED, orders=None)
    assert story.asks(hour(9), found) == []
    assert story.launched(hour(9), found) == [[keys(0, 0)]]


@pytest.mark.parametrize("cause", sorted(set(Cause) - NEEDS_PREFLIGHT - ONLY_LAUNCH))
def test_what_other_input_or_a_person_must_cure_is_never_launched(cause: Cause) -> None:
    story = RecoverySequence()
    found = savable(0, cause=cause)
    assert story.asks(hour(9), found) == []
    assert story.launched(hour(9), found, UP) == []


def test_fruitless_hours_are_given_up_once_and_told_once() -> None:
    story = RecoverySequence()
    now, launches, stopped = hour(9), [], []
    for _ in range(60 * 24):
        found = story.look(now, savable(0, 1), UP)
        launches += [now for _ in found.launches]
        stopped += [launch.hours for launch in found.stopped]
        now += MINUTE
    pauses = [(b - a) // MINUTE for a, b in pairwise(launches)]
    assert pauses == [15, 30, 60]
    assert len(launches) == MAX_LAUNCHES
    assert stopped == [(hour(0), hour(1))]


def test_an_hour_that_gets_better_is_not_given_up() -> None:
    story = RecoverySequence()
    now = hour(9)
    for orders in range(20, 0, -1):
        found = story.look(now, savable(0, orders=orders), UP)
        assert found.launches, orders
        assert not found.stopped
        now += COOL_DOWN


def test_what_was_given_up_is_taken_up_again_for_another_cause() -> None:
    story = RecoverySequence()
    now = hour(9)
    for _ in range(10):
        story.look(now, savable(0), UP)
        now += timedelta(hours=4)
    assert story.launched(now, savable(0), UP) == []
    assert story.launched(now, savable(0, cause=Cause.TIME_BUDGET)) == [[keys(0, 0)]]


def test_a_recovered_hour_is_forgotten_and_starts_anew() -> None:
    story = RecoverySequence()
    story.look(hour(9), savable(0), UP)
    assert story.look(hour(10), []).state == RecoveryState()
    assert story.launched(hour(10) + MINUTE, savable(0), UP) == [[keys(0, 0)]]


def test_young_hours_are_left_to_their_schedules_and_expired_ones_alone() -> None:
    story = RecoverySequence()
    assert story.launched(hour(1) + 29 * MINUTE, savable(0), UP) == []
    assert story.launched(hour(0) + WINDOW, savable(0), UP) == []
    assert story.launched(hour(1) + 30 * MINUTE, savable(0), UP)


def test_one_dataset_of_two_is_enough() -> None:
    both = [SavableHour(H, Cause.TOKEN, 5, H + WINDOW, frozenset({"d1", "d2"}), "g")]
    story = RecoverySequence()
    assert story.asks(hour(9), both) == ["d1", "d2"]
    assert story.launched(hour(9), both, {**DOWN, "d2": None}) == [[keys(0, 0)]]
    other = savable(1)
    assert story.launched(hour(9), other, {"d2": None}) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sets(st.integers(0, 12)),
            st.booleans(),
            st.sets(st.integers(0, 12)),
        ),
        max_size=25,
    )
)
def test_no_hour_is_launched_again_within_its_cool_down(
    looks: list[tuple[int, set[int], bool, set[int]]],
) -> None:
    story = RecoverySequence()
    now = hour(20)
    last: dict[datetime, datetime] = {}
    for minutes, hours, passes, busy in looks:
        now += minutes * MINUTE
        under_way = {hour(n) for n in busy}
        found = savable(*hours)
        recovery = story.look(now, found, {"d1": passes}, under_way)
        launched = [h for launch in recovery.launches for h in launch.hours]
        assert set(launched) <= {h.hour for h in found} - under_way
        assert passes or not launched
        for h in [h for h in last if h not in {f.hour for f in found}]:
            del last[h]  # it was good in between
        for h in launched:
            assert h not in last or now - last[h] >= COOL_DOWN
            last[h] = now


def books() -> OrderRecords:
    found = OrderRecords().order(H, status="pending", reason="token_expired", times=5)
    found.order(hour(1), times=99).order(hour(1), status="pending", reason="token_expired")
    found.order(hour(2), status="rejected", reason="payload", times=9, subcode=2804019)
    found.order(hour(3), times=5)
    found.order(hour(4), times=99).order(hour(4), status="unknown", reason="held")
    return found


def test_savable_hours_come_from_flags_with_their_datasets_and_causes() -> None:
    now = hour(9)
    health = books().health()
    flags = flag_hours(health, CoveragePolicy(), now, expected_hours=[hour(5)])
    found = {h.hour: h for h in savable_hours(flags, gaps(flags), health, now)}
    assert (found[H].cause, found[H].orders) == (Cause.TOKEN, 5)
    assert found[H].datasets == {"d1"}
    assert found[H].gap == "token-2026-11-20T13"
    # Too few to be flagged, but lost all the same if nobody sent them.
    assert (found[hour(1)].cause, found[hour(1)].orders) == (Cause.TOKEN, 1)
    assert found[hour(1)].gap is None
    assert found[hour(5)].cause is Cause.NOT_MATERIALIZED
    assert found[hour(5)].orders is None
    # Good, cured by data, and held for a person.
    assert not {hour(3), hour(2), hour(4)} & found.keys()
    later = hour(9) + WINDOW
    assert savable_hours(flag_hours(health, CoveragePolicy(), later), [], health, later) == []


def blocked_then(delivered: int | None = None) -> OrderRecords:
    """An hour that Meta blocked, an hour whose run never came, and perhaps a later delivery."""
    records = OrderRecords().order(H, status="pending", reason="app_blocked", times=30)
    records.order(hour(1), status=None, times=30)
    return records if delivered is None else records.order(hour(delivered), times=30)


def seen(records: OrderRecords, now: datetime, state: RecoveryState) -> tuple[RecoveryState, list]:
    health = records.health()
    flags = flag_hours(health, CoveragePolicy(), now)
    found = savable_hours(flags, gaps(flags), health, now)
    return note_blocks(state, found, health, now), found


def test_a_blocked_dataset_is_left_alone_until_a_later_delivery_succeeded() -> None:
    state = RecoveryState()
    for now in (hour(9), hour(12), hour(30)):
        state, found = seen(blocked_then(delivered=5), now, state)
        assert {hour.cause for hour in found} == {Cause.BLOCKED, Cause.NOT_MATERIALIZED}
        assert datasets_to_ask(state, found, now, ()) == []
        assert decide_recovery(state, found, now, {}, ()).launches == ()
        state = SensorState.from_json(SensorState(recovery=state).to_json()).recovery
    state, found = seen(blocked_then(delivered=20), hour(31), state)
    assert datasets_to_ask(state, found, hour(31), ()) == ["d1"]
    assert len(decide_recovery(state, found, hour(31), UP, ()).launches) == 2


def test_a_preflight_that_is_told_of_a_block_is_the_last_one() -> None:
    found = savable(0)
    blocked = decide_recovery(RecoveryState(), found, hour(9), {"d1": Cause.BLOCKED}, ()).state
    for later in (hour(10), hour(40)):
        kept = note_blocks(blocked, found, OrderRecords().order().health(), later)
        assert datasets_to_ask(kept, found, later, ()) == []
