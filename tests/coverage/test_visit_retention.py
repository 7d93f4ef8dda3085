"""What is matched again has two clocks: Meta's, and that of the visits that lend match keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.coverage.alerting.alert_message import message
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alert_text import alert_text
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gap_text import hour_sentence, incident_sentence, incidents_sentence
from capi_assets.coverage.gaps import Gap, gaps, merged
from capi_assets.coverage.incidents import incident
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.tables import incidents_table, remedies_table
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.hours import HOUR, floor_hour
from tests.helpers.gap_samples import through_cursor
from tests.helpers.order_records import H, OrderRecords, hour

THREE_DAYS = VisitRetention(lookback=timedelta(hours=24), retention=timedelta(days=3))
POLICY = CoveragePolicy(visits=THREE_DAYS)
OLDEST_GO = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)  # those of the 19th at 13:00
LAST_GO = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)  # those of H
WINDOW = timedelta(days=6, hours=23, minutes=30)


def never_run(now: datetime, policy: CoveragePolicy = POLICY, hours: int = 1) -> Gap:
    """So many hours from H on that nobody materialized."""
    expected = [hour(n) for n in range(hours)]
    (gap,) = gaps(flag_hours(OrderRecords().health(), policy, now, expected_hours=expected))
    return gap


def refused(now: datetime, reason: str, status: str, policy: CoveragePolicy = POLICY) -> Gap:
    books = OrderRecords().order(status=status, reason=reason, times=5)
    (gap,) = gaps(flag_hours(books.health(), policy, now))
    return gap


@given(
    hours=st.integers(0, 5_000),
    lookback=st.integers(1, 200),
    spare=st.integers(0, 90),
    now=st.integers(0, 200_000),
)
def test_visits_are_left_exactly_as_long_as_no_night_has_deleted_them(
    hours: int, lookback: int, spare: int, now: int
) -> None:
    at, moment = hour(hours), H + timedelta(minutes=now)
    kept = VisitRetention(
        timedelta(hours=lookback), timedelta(hours=lookback) + timedelta(days=spare)
    )
    night = datetime.combine(moment.date(), datetime.min.time(), UTC) + timedelta(hours=3.5)
    night -= timedelta(days=night > moment)
    before = floor_hour(night - kept.retention)  # as defs/automation/visit_retention.py deletes
    reach = [at - n * HOUR for n in range(lookback + 1)]
    stored = [h for h in reach if h >= before]
    expected = "all" if len(stored) == len(reach) else "some" if stored else "none"
    assert kept.remaining(at, moment) == expected
    loss = kept.next_loss(at, moment)
    assert (loss is None) == (expected == "none")
    assert loss is None or loss > moment


def test_the_earlier_of_metas_clock_and_that_of_the_visits_counts() -> None:
    gap = never_run(hour(4))
    assert (gap.first_deadline, gap.visits_until) == (H + WINDOW, OLDEST_GO)
    assert gap.clock == OLDEST_GO
    assert (gap.severity, gap.fewer_visits) == ("warn", 0)
    assert never_run(OLDEST_GO - timedelta(hours=24)).severity == "error"
    fading = never_run(OLDEST_GO)
    assert (fading.visits_until, fading.fewer_visits) == (LAST_GO, 1)
    gone = never_run(LAST_GO)
    assert (gone.visits_until, gone.clock, gone.no_visits) == (None, H + WINDOW, 1)


def test_visits_that_outlive_metas_window_are_no_clock() -> None:
    policy = CoveragePolicy(visits=VisitRetention(timedelta(hours=168), timedelta(days=90)))
    gap = never_run(hour(4), policy)
    assert (gap.visits_until, gap.clock, gap.fewer_visits) == (None, H + WINDOW, 0)
    assert "visits" not in incident_sentence(incident([gap]), hour(4))
    assert never_run(hour(4), CoveragePolicy()).visits_until is None


def test_orders_of_physical_stores_outlive_their_visits() -> None:
    policy = CoveragePolicy(visits=VisitRetention(timedelta(hours=168), timedelta(days=30)))
    books = OrderRecords()
    until = H + timedelta(days=61)
    books.order(status="rejected", reason="invalid_parameter", times=5, deliver_until=until)
    books.order(status="pending", reason="throttled", deliver_until=until)
    (gap,) = gaps(flag_hours(books.health(), policy, hour(100)))
    assert gap.first_deadline == until
    assert gap.visits_until == datetime(2026, 12, 14, 3, 30, tzinfo=UTC)


def test_visits_never_kept_for_a_day_longer_are_no_alarm_of_every_hour() -> None:
    tight = CoveragePolicy(visits=VisitRetention(timedelta(hours=72), timedelta(days=3)))
    gap = never_run(hour(4), tight)
    assert gap.visits_until == datetime(2026, 11, 21, 3, 30, tzinfo=UTC)
    assert gap.severity == "warn"
    assert never_run(LAST_GO - timedelta(hours=3), tight).severity == "error"


@pytest.mark.parametrize(
    ("reason", "status", "again"),
    [
        ("token_expired", "pending", False),
        ("time_budget", "pending", False),
        ("invalid_parameter", "rejected", True),
    ],
)
def test_only_what_is_matched_again_needs_its_visits(reason: str, status: str, again: bool) -> None:
    gap = refused(hour(4), reason, status)
    assert gap.matched_again is again
    assert (gap.visits_until is not None) is again
    late = refused(OLDEST_GO, reason, status)
    said = incident_sentence(incident([late]), OLDEST_GO)
    assert ("materialize only delivery_results and attribution_health" in said) is not again
    assert ("The oldest visits are already deleted" in said) is again
    alert = Alert("opened", late.id, incident([late]), (late.partition_range,))
    link = message(alert, OLDEST_GO, "http://ui").document["link"]
    assert (link is not None) is again, "the link would match what is stored again"


def test_what_can_no_longer_be_saved_needs_no_visits() -> None:
    gap = never_run(H + timedelta(days=8))
    assert (gap.visits_until, gap.fewer_visits, gap.no_visits) == (None, 0, 0)


def test_merged_gaps_keep_the_earliest_clock() -> None:
    one, two = never_run(LAST_GO), never_run(LAST_GO, hours=15)
    both = merged([one, two])
    assert both.visits_until == two.visits_until == LAST_GO + timedelta(days=1)
    assert (one.no_visits, two.no_visits, both.no_visits) == (1, 14, 15)
    assert (two.fewer_visits, both.fewer_visits) == (1, 1)


def test_every_text_says_until_when_and_what_is_lost() -> None:
    now = hour(4)
    gap, flags = (
        never_run(now),
        flag_hours(OrderRecords().health(), POLICY, now, expected_hours=[H]),
    )
    assert (
        "They can be delivered until 2026-11-27 12:30 UTC (in 6 d 19 h). The oldest visits that"
        " could supply match keys are deleted from 2026-11-23 03:30 UTC (in 2 d 10 h) on"
        " (CAPI_RETENTION_DAYS)."
    ) in incident_sentence(incident([gap]), now)
    assert hour_sentence(H, flags, now).endswith(
        "; the oldest of their visits are deleted 2026-11-23 03:30 UTC (in 2 d 10 h)."
    )
    ((*_, until),) = incidents_table([incident([gap])], now).rows
    assert str(until).endswith("; visits until 2026-11-23 03:30 UTC (in 2 d 10 h)")
    ((*_, until),) = incidents_table([incident([never_run(LAST_GO)])], LAST_GO).rows
    assert str(until).endswith("; visits are deleted")
    assert (
        "All visits are already deleted (CAPI_RETENTION_DAYS): orders that came from them are sent"
        " with only their own match keys."
    ) in incident_sentence(incident([never_run(LAST_GO)]), LAST_GO)
    apart = [never_run(LAST_GO), replace(never_run(LAST_GO, hours=30), id="other")]
    assert incidents_sentence([incident([gap]) for gap in apart], LAST_GO).endswith(
        "; visits needed for matching are deleted from 2026-11-25 03:30 UTC (in 1 d) on."
    )
    ((_, remedy, _),) = remedies_table(apart, LAST_GO).rows
    assert "Orders whose visits are deleted (CAPI_RETENTION_DAYS) are sent with only" in str(remedy)
    long = incident_sentence(incident([never_run(LAST_GO, hours=40)]), LAST_GO)
    assert "The oldest visits of 38 hours, and all visits of 14 hours, are already deleted" in long
    assert "More visits that could supply match keys are deleted from" in long


def test_deletion_and_deadline_are_reported_once_each_and_the_end_admits_it() -> None:
    state, told = AlertState(), []
    for n in (4, 38, 39, 40, 63, 64, 86, 87, 100, 143, 144, 145):
        alerts, state = decide(through_cursor(state), [never_run(hour(n))], hour(n))
        told += [(n, alert) for alert in alerts]
    assert [(n, alert.kind) for n, alert in told] == [
        (4, "opened"),
        (39, "about_to_expire"),  # 24 hours before 23 November, 03:30
        (144, "about_to_expire"),
    ]
    visits, deadline = (alert_text(alert, hour(n)) for n, alert in told[1:])
    assert visits.startswith(
        "Visits of an incident are about to be deleted (error), 2026-11-20 13:00"
    )
    assert deadline.startswith("Incident is about to expire (error), 2026-11-20 13:00")
    assert "are sent with only their own match keys" in deadline
    ((over,), _) = decide(state, [], hour(150))
    assert alert_text(over, hour(150)).endswith(
        "Coverage of these hours is good again, but some visits were deleted before"
        " (CAPI_RETENTION_DAYS), so orders that came from them were sent with only their own match"
        " keys."
    )


def test_programs_get_both_clocks() -> None:
    gap = never_run(hour(4))
    document = message(
        Alert("opened", gap.id, incident([gap]), (gap.partition_range,)), hour(4)
    ).document
    assert document["deadline"] == "2026-11-27T12:30:00+00:00"
    assert document["visits_until"] == "2026-11-23T03:30:00+00:00"
    assert document["hours_short_of_visits"] == 0
