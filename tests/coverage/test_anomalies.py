"""Signals that contradict each other flag an hour; signals that move together flag none."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from capi_assets.coverage.anomalies.detect import detect_anomalies
from capi_assets.coverage.anomalies.hour_signals import hour_signals
from capi_assets.coverage.flags import HISTORY, flag_hours
from capi_assets.coverage.gap_text import hour_sentence, incident_sentence
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.incidents import incident
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import HOUR
from tests.helpers.regular_weeks import (
    MONDAY,
    WEEK,
    during,
    flagged,
    hour_of,
    is_night,
    ordinary,
    weeks,
)

NOON = hour_of(4, 2, 12)


def causes(health: Any, **more: Any) -> dict[datetime, str]:
    return {hour: row["cause"] for hour, row in flagged(health, **more).items()}


def test_an_ordinary_shop_is_never_flagged() -> None:
    assert causes(weeks(5)) == {}


def test_orders_that_stop_while_visits_go_on_are_missing() -> None:
    found = flagged(weeks(5, during(NOON, 2, orders=0)))
    assert {hour: row["cause"] for hour, row in found.items()} == {
        NOON: "orders_missing",
        NOON + HOUR: "orders_missing",
    }
    row = found[NOON]
    assert (row["orders_expected_missing"], row["missing"]) == (40, 0)
    assert row["first_deadline"] == NOON + timedelta(days=6, hours=23, minutes=30)


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"orders": 0}, ["0 orders", "expected 40", "1,200 visits", "expected 1,200"]),
        ({"visits": 600, "matched": 20}, ["600 visits", "expected 1,200", "20 of 40", "80 %"]),
        ({"matched": 8}, ["8 of 40 orders", "80 %"]),
        ({"keys": {"em": 0.1}}, ["em on 4 of 40 orders", "90 %"]),
    ],
)
def test_evidence_has_what_was_seen_and_what_was_expected(
    change: dict[str, Any], numbers: list[str]
) -> None:
    evidence = flagged(weeks(5, during(NOON, 1, **change)))[NOON]["evidence"]
    assert [number for number in numbers if number not in evidence] == []


def test_a_shop_that_sells_less_because_fewer_visit_is_not_flagged() -> None:
    for share in (0.8, 0.5, 0.3):
        quiet = during(NOON, 8, visits=int(1200 * share), orders=int(40 * share))
        assert causes(weeks(5, quiet)) == {}, share


def test_a_shop_that_sells_nothing_and_is_hardly_visited_is_not_flagged() -> None:
    assert causes(weeks(5, during(NOON, 3, visits=360, orders=0))) == {}


def test_no_visits_and_no_orders_are_a_landing_that_stopped() -> None:
    found = flagged(weeks(5, during(NOON, 1, visits=0, orders=0)))
    assert [row["cause"] for row in found.values()] == ["landing_stopped"]


def test_a_slow_night_is_no_outage() -> None:
    tonight = hour_of(4, 2, 2)

    def slow_nights(at: datetime) -> dict[str, int] | None:
        if tonight <= at < tonight + 3 * HOUR:
            return {"visits": 0, "orders": 0}
        return {"visits": 6, "orders": 1} if is_night(at) else None

    assert causes(weeks(5, slow_nights)) == {}


def test_visits_that_halve_while_orders_go_on_are_missing() -> None:
    found = flagged(weeks(5, during(NOON, 2, visits=600, matched=20)))
    assert [row["cause"] for row in found.values()] == ["visits_missing"] * 2
    assert found[NOON]["unmatched"] == 12


def test_fewer_visits_that_match_as_many_orders_were_no_customers() -> None:
    assert causes(weeks(5, during(NOON, 6, visits=600))) == {}


def test_orders_that_match_no_visit_although_there_are_visits_lost_their_keys() -> None:
    found = flagged(weeks(5, during(NOON, 1, matched=8)))
    assert {hour: row["cause"] for hour, row in found.items()} == {NOON: "match_keys_lost"}


def test_a_key_that_orders_lose_is_named() -> None:
    found = flagged(weeks(5, during(NOON, 1, keys={"em": 0.1})))
    assert {hour: row["cause"] for hour, row in found.items()} == {NOON: "match_keys_lost"}
    assert found[NOON]["orders_with_fewer_keys"] == 32


def test_orders_of_another_kind_that_come_on_top_lose_nothing() -> None:
    # A branch uploads its orders: eighty without visits, e-mails or phones.
    batch = during(NOON, 1, orders=120, matched=32, keys={"em": 0.3, "ph": 0.17})
    assert causes(weeks(5, batch)) == {}


def test_test_orders_and_withdrawn_consent_change_nothing() -> None:
    for orders, withheld in ((100, 60), (40, 24)):
        matched = round(0.8 * (orders - withheld))
        odd = during(NOON, 4, orders=orders, withheld=withheld, matched=matched)
        assert causes(weeks(5, odd)) == {}


def test_a_sale_is_no_alarm_nor_is_the_day_after() -> None:
    assert causes(weeks(5, during(NOON, 12, visits=4_000, orders=200))) == {}


def test_robots_do_not_raise_the_expected_orders() -> None:
    assert causes(weeks(5, during(NOON, 5, visits=9_000))) == {}


def test_a_small_surge_proves_nothing_about_robots_that_come_after_it() -> None:
    def change(at: datetime) -> dict[str, int] | None:
        hours = int((at - NOON) / HOUR)
        if -4 <= hours < 0:
            return {"visits": 1_600, "orders": 52}
        return {"visits": 8_000, "orders": 42} if 0 <= hours < 5 else None

    assert causes(weeks(5, change)) == {}


def test_a_feed_that_loses_half_is_found_when_there_are_enough_orders() -> None:
    assert causes(weeks(5, during(NOON, 4, orders=20)))
    assert causes(weeks(5, half_of_little)) == {}


def half_of_little(at: datetime) -> dict[str, int]:
    """Four orders an hour, of which two are lost for one hour: nobody can tell."""
    return {"visits": 120, "orders": 2 if at == NOON else 4, "matched": 2 if at == NOON else 3}


def test_a_feed_that_stops_in_a_small_shop_is_found_within_days() -> None:
    def small(at: datetime) -> dict[str, int]:
        stopped = at >= hour_of(4, 0, 0)
        orders = int(at.hour in (9, 11, 14, 17, 20) and not stopped)
        return {"visits": 10, "orders": orders, "matched": orders}

    found = causes(weeks(5, small))
    assert set(found.values()) == {"orders_missing"}
    assert hour_of(4, 1, 0) < min(found) < hour_of(4, 4, 0)


def test_a_shop_that_has_no_visits_is_evaluated_by_its_orders_alone() -> None:
    def untracked(at: datetime) -> dict[str, int]:
        orders = ordinary(at)["orders"]
        if NOON <= at < NOON + 2 * HOUR:
            orders = 0
        elif at.date() == hour_of(4, 4, 0).date():
            orders //= 2  # a holiday
        return {"visits": 0, "orders": orders, "matched": 0}

    assert causes(weeks(5, untracked)) == {
        NOON: "orders_missing",
        NOON + HOUR: "orders_missing",
    }


def test_hours_after_an_outage_are_good_at_once() -> None:
    odd = during(NOON, 6, orders=0, matched=0)
    assert max(causes(weeks(5, odd))) == NOON + 5 * HOUR


def test_there_is_no_verdict_in_the_first_days() -> None:
    early = hour_of(0, 3, 12)
    assert causes(weeks(5, during(early, 3, orders=0))) == {}


def test_the_first_weekends_of_a_shop_that_closes_are_no_outage() -> None:
    def closed(at: datetime) -> dict[str, int] | None:
        return {"visits": 40, "orders": 0, "matched": 0} if at.weekday() >= 5 else None

    assert causes(weeks(4, closed)) == {}


def test_flagged_hours_are_not_learned_from() -> None:
    def twice(at: datetime) -> dict[str, int] | None:
        again = {hour_of(week, 2, h) for week in (1, 2, 3, 4) for h in range(8, 20)}
        return {"orders": 0} if at in again else None

    found = causes(weeks(5, twice))
    assert {hour for hour in found if hour >= hour_of(4, 0, 0)} == {
        hour_of(4, 2, h) for h in range(8, 20)
    }


def test_undelivered_hours_are_not_learned_from() -> None:
    lossy = during(hour_of(1, 0, 0), WEEK * 2, pending=10, main_reason_kind="token")
    signals = hour_signals([weeks(4, lossy)], hour_of(5, 0, 0))
    assert signals is not None
    assert detect_anomalies(signals, 0.95) == {}


def test_a_change_that_lasts_a_week_is_the_new_normal() -> None:
    # The shop drops the phone field.
    changed = during(hour_of(3, 0, 0), 4 * WEEK, keys={"ph": 0.0})
    found = causes(weeks(6, changed))
    assert set(found.values()) == {"match_keys_lost"}
    assert min(found) == hour_of(3, 0, 6)
    assert hour_of(3, 6, 0) < max(found) < hour_of(4, 2, 0)


def test_a_feed_that_is_dead_for_weeks_never_becomes_normal() -> None:
    found = causes(weeks(6, during(hour_of(3, 0, 0), 4 * WEEK, orders=0)))
    assert max(found) > hour_of(5, 6, 0)


def test_a_verdict_never_changes_when_later_hours_arrive() -> None:
    odd = during(NOON, 3, visits=600, matched=20)
    whole = hour_signals([weeks(5, odd)], hour_of(9, 0, 0))
    part = hour_signals([weeks(5, odd).slice(0, 4 * WEEK + 61 + 2)], hour_of(9, 0, 0))
    assert whole is not None
    assert part is not None
    later = detect_anomalies(whole, 0.95)
    at_once = detect_anomalies(part, 0.95)
    assert at_once
    assert {hour: later[hour] for hour in at_once} == at_once


def test_hours_that_may_still_grow_are_not_compared_with_full_ones() -> None:
    health = weeks(4.5, during(hour_of(4, 3, 11), 1, orders=0))
    end = hour_of(4, 3, 12)
    policy = CoveragePolicy()
    early = flag_hours(health, policy, end + policy.settle + policy.grace - timedelta(seconds=1))
    due = flag_hours(health, policy, end + policy.settle + policy.grace)
    assert not any(early["flagged"].to_pylist())
    assert sum(due["flagged"].to_pylist()) == 1


def test_the_past_is_learned_from_without_a_verdict_of_its_own() -> None:
    whole = weeks(5, during(NOON, 1, orders=0))
    history, health = whole.slice(0, 4 * WEEK).select(HISTORY), whole.slice(4 * WEEK)
    assert causes(health) == {}
    found = flagged(health, history=history)
    assert {hour: row["cause"] for hour, row in found.items()} == {NOON: "orders_missing"}


def test_hours_of_an_older_version_are_evaluated_by_what_they_have() -> None:
    def old(at: datetime) -> dict[str, Any]:
        told = {"matched_eligible": None, "match_keys": None}
        return {**told, "matched": 8} if at == NOON else told

    assert causes(weeks(5, old)) == {NOON: "match_keys_lost"}


def test_the_cause_that_costs_more_orders_is_named() -> None:
    beside = {"pending": 2, "main_reason": "throttled", "main_reason_kind": "throttled"}
    stopped = weeks(5, during(NOON, 1, orders=4, **beside))
    assert causes(stopped) == {NOON: "orders_missing"}
    mostly = {**beside, "pending": 30}
    assert causes(weeks(5, during(NOON, 1, orders=40, matched=8, **mostly))) == {NOON: "throttled"}


def test_a_gap_of_missing_orders_has_a_deadline_and_a_remedy() -> None:
    health = weeks(5, during(NOON, 3, orders=0))
    now = NOON + timedelta(hours=5)
    flags = flag_hours(health.slice(0, 4 * WEEK + 65), CoveragePolicy(), now)
    (gap,) = gaps(flags)
    assert (gap.cause, gap.orders_expected_missing, gap.orders) == (Cause.ORDERS_MISSING, 120, 0)
    assert gap.first_deadline == NOON + timedelta(days=6, hours=23, minutes=30)
    assert gap.recoverable == 0
    sentence = incident_sentence(incident([gap]), now)
    assert "about 120 orders" in sentence
    assert Cause.ORDERS_MISSING.remedy in sentence
    assert "Range: [2026-12-02-12:00...2026-12-02-14:00]" in sentence


def test_an_hour_that_lost_a_key_counts_the_orders() -> None:
    now = NOON + timedelta(hours=2)
    health = weeks(5, during(NOON, 1, keys={"em": 0.1})).slice(0, 4 * WEEK + 61)
    flags = flag_hours(health, CoveragePolicy(), now)
    (gap,) = gaps(flags)
    assert (gap.cause, gap.orders_expected_missing, gap.orders_with_fewer_keys) == (
        Cause.MATCH_KEYS_LOST,
        0,
        32,
    )
    assert "about 32" in hour_sentence(NOON, flags, now)
    assert "about 32 orders" in incident_sentence(incident([gap]), now)


@pytest.mark.parametrize("missing", [1, 30])
def test_holes_in_what_was_materialized_are_no_hours_without_orders(missing: int) -> None:
    health = weeks(5)
    holed = [row for n, row in enumerate(health.to_pylist()) if not 700 <= n < 700 + missing]
    found = flag_hours(
        type(health).from_pylist(holed, schema=health.schema),
        CoveragePolicy(),
        hour_of(6, 0, 0),
        expected_hours=[MONDAY + n * HOUR for n in range(5 * WEEK)],
    )
    rows = [row for row in found.to_pylist() if row["flagged"]]
    assert {row["cause"] for row in rows} == {"not_materialized"}
    assert len(rows) == missing
