"""Which hours are bad: no gap stays unseen, and a quiet hour is not an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from capi_assets.coverage.flags import FLAGS, flag_hours
from capi_assets.coverage.gap_text import hour_sentence
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from tests.helpers.order_records import HOUR, H, OrderRecords, health_row, hour
from tests.helpers.regular_weeks import flagged, hour_of, weeks

POLICY = CoveragePolicy()
LATER = H + timedelta(hours=2)


def flags_of(books: OrderRecords, now: datetime = LATER, **more: Any) -> list[dict[str, Any]]:
    flags = flag_hours(books.health(), POLICY, now, **more)
    return [with_finding(row) for row in flags.to_pylist(maps_as_pydicts="strict")]


def with_finding(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what its first finding says."""
    return {**row, **(row["findings"][0] if row["findings"] else {})}


def flag_of(books: OrderRecords, now: datetime = LATER, **more: Any) -> dict[str, Any]:
    (row,) = flags_of(books, now, **more)
    return row


def from_rows(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ATTRIBUTION_HEALTH)


def test_a_token_outage_is_flagged_with_count_money_cause_and_deadline() -> None:
    books = OrderRecords().order(times=6).order(status="pending", reason="token_expired", times=4)
    books.order(status="pending", reason="token_expired", currency="USD", value=5)
    row = flag_of(books)
    assert row["flagged"]
    assert (row["cause"], row["severity"], row["missing"]) == ("token", "warn", 5)
    assert row["missing_money"] == {"EUR": 40.0, "USD": 5.0}
    assert row["recoverable"] == 5
    assert row["first_deadline"] == H + timedelta(days=6, hours=23, minutes=30)
    assert row["reasons"] == {"token_expired": 5}
    assert row["coverage"] == 6 / 11


def test_an_hour_at_the_threshold_is_good_and_below_it_is_not() -> None:
    assert not flag_of(OrderRecords().order(times=95).order(status="pending", times=5))["flagged"]
    assert flag_of(OrderRecords().order(times=94).order(status="pending", times=6))["flagged"]


def test_withheld_orders_are_no_loss() -> None:
    books = OrderRecords().order(times=2)
    books.order(status="withheld", verdict="withheld", reason="no_consent", times=50)
    assert not flag_of(books)["flagged"]


def test_an_hour_is_not_judged_before_it_has_settled() -> None:
    books = OrderRecords().order(status="pending", reason="throttled", times=9)
    early = flag_of(books, H + HOUR + POLICY.settle - timedelta(seconds=1))
    due = flag_of(books, H + HOUR + POLICY.settle)
    assert (early["judged"], early["flagged"]) == (False, False)
    assert (due["judged"], due["flagged"]) == (True, True)


def test_a_refused_token_is_seen_while_the_hour_is_still_open() -> None:
    books = OrderRecords().order(status="pending", reason="token_expired", times=4)
    row = flag_of(books, H + timedelta(minutes=20))
    assert (row["flagged"], row["judged"], row["cause"]) == (True, True, "token")


def test_a_trickle_of_broken_rows_is_no_alarm_but_a_run_of_them_is() -> None:
    trickle = OrderRecords()
    for n in range(24):
        trickle.order(hour(n), times=40)
    for n in (3, 15):
        trickle.quarantine(hour(n)).quarantine(hour(n))
    now = hour(30)
    assert not any(row["flagged"] for row in flags_of(trickle, now))
    for _ in range(6):
        trickle.quarantine(hour(5))
    assert [r["hour"] for r in flags_of(trickle, now) if r["flagged"]] == [hour(5)]


def test_a_file_that_cannot_be_read_flags_its_hour_whatever_the_share() -> None:
    books = OrderRecords().order(times=99)
    assert not flag_of(books.quarantine(reasons="line:broken_csv"))["flagged"]
    for _ in range(3):  # more rows are refused than files
        books.quarantine(reasons="line:broken_csv")
    row = flag_of(books.quarantine(reasons="file:broken_csv"))
    assert row["coverage"] is not None
    assert (row["flagged"], row["cause"], row["severity"]) == (True, "quarantine", "warn")
    assert row["evidence"] == "a landed file cannot be read; the number of its orders is unknown"
    assert "unreadable_file" in row["reasons"]
    # It may still be landing while the hour is open.
    assert not flag_of(books, H + timedelta(minutes=30))["flagged"]


def test_a_small_shop_whose_orders_are_all_refused_is_flagged_within_a_day() -> None:
    books = OrderRecords()
    for n in range(6):
        books.order(hour(n * 4), status="invalid", verdict="invalid", subcode=2804009)
    flagged = [row["hour"] for row in flags_of(books, hour(40)) if row["flagged"]]
    assert flagged == [hour(n * 4) for n in range(6)]


@pytest.mark.parametrize("stage", ["quarantined", "rejected", "invalid"])
@pytest.mark.parametrize(
    ("hours", "orders", "days"),
    [((9, 18), 1, 4), ((9, 18), 1, 35), ((9,), 1, 35), (range(24), 4, 10), (range(24), 40, 35)],
)
def test_a_shop_that_loses_every_order_never_gets_used_to_it(
    hours: Iterable[int], orders: int, days: int, stage: str
) -> None:
    def all_lost(at: datetime) -> dict[str, Any]:
        lost = orders if at.hour in hours else 0
        reason = {"main_reason": "refused", "main_reason_kind": "payload"} if lost else {}
        return {"orders": lost, "delivered": 0, stage: lost, **reason}

    health = weeks(days / 7, all_lost)
    lossy = set(health.filter(pc.field("eligible") > 0)["hour"].to_pylist())
    assert flagged(health).keys() == lossy


def test_most_of_few_orders_lost_is_flagged_with_the_second_and_until_then_never_good() -> None:
    first, second = hour(0), hour(9)
    books = OrderRecords().order(first, status="rejected", subcode=2804009)
    (row,) = flags_of(books, hour(2))
    assert not row["flagged"]
    text = hour_sentence(first, flag_hours(books.health(), POLICY, hour(2)), hour(2))
    assert text.startswith("2026-11-20-13:00 is inconclusive: 0 of 1 eligible order delivered")
    books.order(second, status="rejected", subcode=2804009)
    for n in range(10, 200):  # good orders afterwards do not make up for the lost ones
        books.order(hour(n), times=5)
    lost = [row["hour"] for row in flags_of(books, hour(210)) if row["flagged"]]
    assert lost == [first, second]


def test_every_second_order_lost_is_found_within_two_weeks_at_two_a_day() -> None:
    def half_lost(at: datetime) -> dict[str, Any]:
        if at.hour not in (9, 18):
            return {"orders": 0}
        lost = {"invalid": 1, "main_reason": "refused", "main_reason_kind": "payload"}
        return {"orders": 1, **(lost if at.hour == 9 else {})}

    assert min(flagged(weeks(5, half_lost))) < hour_of(2, 0, 0)


def test_a_lost_order_now_and_then_is_no_alarm_however_few_there_are() -> None:
    def one_a_week(at: datetime) -> dict[str, Any]:
        lost = {"invalid": 1, "main_reason": "refused", "main_reason_kind": "payload"}
        few = at.hour % 5 == 0
        return {"orders": int(few), **(lost if at.weekday() == 2 and at.hour == 10 else {})}

    assert not flagged(weeks(5, one_a_week))


def test_a_fault_of_ours_needs_one_order_even_beside_broken_rows() -> None:
    books = OrderRecords().order(times=2).quarantine().quarantine()
    books.order(status="pending", reason="token_expired")
    assert flag_of(books)["cause"] == "token"


def test_the_cause_is_the_one_that_costs_most_orders() -> None:
    books = OrderRecords().order(status="pending", reason="throttled", times=3)
    books.order(status="rejected", reason="missing_value", subcode=2804009, times=2)
    books.order(status="rejected", reason="bad_lead_id", subcode=2804036, times=2)
    assert flag_of(books)["cause"] == "throttled"


def test_severity_rises_as_the_clock_runs_down() -> None:
    books = OrderRecords().order(times=9).order(status="pending", reason="throttled", times=3)
    deadline = H + timedelta(days=6, hours=23, minutes=30)
    assert flag_of(books, deadline - timedelta(hours=24, seconds=1))["severity"] == "warn"
    assert flag_of(books, deadline - timedelta(hours=24))["severity"] == "error"


def test_an_hour_that_delivered_nothing_is_an_error_but_one_lone_order_is_not() -> None:
    assert flag_of(OrderRecords().order(status="pending", reason="meta_down", times=3))[
        "severity"
    ] == ("error")
    assert flag_of(OrderRecords().order(status="pending", reason="meta_down"))["severity"] == "warn"


def test_what_is_past_its_deadline_is_missing_but_not_recoverable() -> None:
    books = OrderRecords().order(status="pending", reason="token_expired", times=2)
    row = flag_of(books, H + timedelta(days=8))
    assert (row["missing"], row["recoverable"], row["first_deadline"]) == (2, 0, None)
    assert row["recoverable_money"] == {}


def test_refused_and_quarantined_orders_can_be_corrected_for_seven_days() -> None:
    books = OrderRecords().order(status="rejected", subcode=2804009, times=2).quarantine(value=7)
    row = flag_of(books)
    refused, quarantined = row["findings"]
    assert [(f["cause"], f["recoverable"], f["correctable"]) for f in (refused, quarantined)] == [
        ("payload", 0, 2),
        ("quarantine", 0, 1),
    ]
    assert refused["correctable_money"] == {"EUR": 20.0}
    assert quarantined["correctable_money"] == {"": 7.0}
    assert flag_of(books, H + timedelta(days=7))["correctable"] == 0


def test_an_expected_hour_that_is_not_there_is_flagged_with_unknown_loss() -> None:
    now = hour(5)
    flags = flag_hours(
        OrderRecords().order().health(), POLICY, now, expected_hours=[H, hour(1), hour(4)]
    ).to_pylist()
    assert [(f["hour"], f["flagged"], f["cause"]) for f in flags] == [
        (H, False, None),
        (hour(1), True, "not_materialized"),
        (hour(4), False, None),  # its run is given time
    ]
    assert flags[1]["missing"] is None
    assert flags[1]["first_deadline"] == hour(1) + timedelta(days=6, hours=23, minutes=30)


def test_an_hour_nobody_materialized_becomes_an_error_before_it_is_too_late() -> None:
    def severity(now: datetime) -> tuple[str, bool]:
        (row,) = flag_hours(from_rows(), POLICY, now, expected_hours=[H]).to_pylist()
        return row["severity"], row["first_deadline"] is not None

    assert severity(hour(2)) == ("warn", True)
    assert severity(H + timedelta(days=6, hours=12)) == ("error", True)
    assert severity(H + timedelta(days=7)) == ("warn", False)


def ordinary_day(silent: int = 12, visits: int = 0, matched: int = 0) -> list[dict[str, Any]]:
    """A day of 200 visits and ten orders an hour, eight of them matched, but for one hour."""
    return [
        health_row(
            hour(n),
            visits=visits if n == silent else 200,
            orders=10,
            eligible=10,
            delivered=10,
            matched=matched if n == silent else 8,
        )
        for n in range(24)
    ]


def test_missing_visits_are_flagged_although_everything_was_delivered() -> None:
    rows = flag_hours(from_rows(*ordinary_day()), POLICY, hour(30)).to_pylist()
    (row,) = [with_finding(r) for r in rows if r["flagged"]]
    assert (row["hour"], row["cause"], row["missing"]) == (hour(12), "visits_missing", 0)
    assert row["unmatched"] == 10
    assert row["evidence"] == "0 visits where 200 are usual, 10 of 10 orders have no visit"


@pytest.mark.parametrize(("visits", "matched"), [(0, 6), (150, 0), (21, 2)])
def test_a_quiet_hour_alone_or_poor_matching_alone_accuses_no_tracker(
    visits: int, matched: int
) -> None:
    rows = ordinary_day(visits=visits, matched=matched)
    assert not any(flag_hours(from_rows(*rows), POLICY, hour(30))["flagged"].to_pylist())


def test_a_dataset_that_never_has_visits_is_not_accused() -> None:
    rows = [health_row(hour(n), orders=10, eligible=10, delivered=10, visits=0) for n in range(24)]
    assert not any(flag_hours(from_rows(*rows), POLICY, hour(30))["flagged"].to_pylist())


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("missing_client_user_agent", "visits_missing"), ("contents_without_id", "payload")],
)
def test_what_a_visit_would_have_lent_is_missed_by_the_visits(reason: str, cause: str) -> None:
    rows = ordinary_day()
    rows[12] |= {
        "delivered": 3,
        "invalid": 7,
        "main_reason": reason,
        "main_reason_kind": "payload",
    }
    flags = flag_hours(from_rows(*rows), POLICY, hour(30)).to_pylist()
    (row,) = [with_finding(r) for r in flags if r["flagged"]]
    assert (row["cause"], row["missing"], row["correctable"]) == (cause, 7, 7)


def test_weak_match_keys_are_blamed_on_the_visits_where_these_are_missing() -> None:
    lost = {
        "delivered": 4,
        "invalid": 6,
        "main_reason": "weak_match_keys",
        "main_reason_kind": "match_keys_lost",
    }
    rows = ordinary_day()
    rows[12] |= lost
    rows[18] |= lost
    flagged = [
        (r["hour"], r["cause"])
        for r in flag_hours(from_rows(*rows), POLICY, hour(30)).to_pylist()
        if r["flagged"]
    ]
    assert flagged == [(hour(12), "visits_missing"), (hour(18), "match_keys_lost")]


def test_an_hour_without_orders_is_good() -> None:
    row = flag_hours(OrderRecords().health(H), POLICY, LATER).to_pylist()[0]
    assert (row["judged"], row["flagged"], row["coverage"]) == (True, False, None)


def test_a_kind_of_a_later_version_is_flagged_as_unexplained() -> None:
    row = health_row(H, orders=9, eligible=9, pending=9, main_reason_kind="ghosts")
    assert flag_hours(from_rows(row), POLICY, LATER).to_pylist()[0]["cause"] == "unexplained"


def test_nothing_in_nothing_out() -> None:
    assert flag_hours(from_rows(), POLICY, LATER).equals(FLAGS.empty_table())
