"""Hours and their keys: UTC, no hour lost or doubled, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from capi_assets.hours import floor_hour, hour_key, hour_range, hours_between, key_hour, key_ranges
from capi_assets.partitions import Partitions
from tests.helpers.factories import HOUR, H

moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, ZoneInfo("Europe/Lisbon"), ZoneInfo("Asia/Kathmandu")]),
)


@given(moments)
def test_every_moment_lies_in_exactly_one_hour(moment: datetime) -> None:
    hour = floor_hour(moment)
    assert hour <= moment < hour + HOUR
    assert hour.tzinfo is UTC
    assert key_hour(hour_key(moment)) == hour


def test_the_hour_that_comes_twice_in_autumn_has_two_keys() -> None:
    lisbon = ZoneInfo("Europe/Lisbon")
    first, second = (datetime(2026, 10, 25, 1, 30, tzinfo=lisbon, fold=fold) for fold in (0, 1))
    assert [hour_key(first), hour_key(second)] == ["2026-10-25-00:00", "2026-10-25-01:00"]


def test_hours_between_are_half_open() -> None:
    assert hours_between(H, H + 2 * HOUR) == [H, H + HOUR]
    assert hours_between(H, H) == []
    assert hours_between(H + HOUR, H) == []
    assert hours_between(H + timedelta(minutes=59), H + timedelta(minutes=61)) == [H]


@given(st.sets(st.integers(0, 200)))
def test_ranges_hold_the_same_hours_as_were_given(numbers: set[int]) -> None:
    hours = {H + n * HOUR for n in numbers}
    ranges = key_ranges(hours)
    held = [
        hour
        for first, last in ranges
        for hour in hours_between(key_hour(first), key_hour(last) + HOUR)
    ]
    assert held == sorted(hours)
    for (_, last), (first, _) in pairwise(ranges):
        assert key_hour(first) - key_hour(last) > HOUR


def test_a_span_holds_all_hours_whatever_their_order() -> None:
    assert hour_range([H + 3 * HOUR, H, H + HOUR]) == (H, H + 4 * HOUR)


def test_the_open_hour_is_a_partition_and_the_next_is_not() -> None:
    keys = Partitions.since(H).hourly.get_partition_keys(current_time=H + timedelta(minutes=90))
    assert keys == [hour_key(H), hour_key(H + HOUR)]
