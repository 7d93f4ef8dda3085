"""One incident is one story: kinds of trouble as the sensor sees them, tick by tick, over days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import ENDS, Alert, decide
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.landing_delays import LandingDelays
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR
from tests.helpers.gap_samples import through_cursor
from tests.helpers.order_records import health_row
from tests.helpers.regular_weeks import weeks

START = datetime.fromisoformat("2026-11-09T08:00+00:00")  # a Monday
WINDOW = timedelta(days=6, hours=23, minutes=30)
MINUTE = timedelta(minutes=1)
ORDERS = 40

Seen = dict[str, Any] | None
"""What `attribution_health` holds of an hour, as far as it differs; None if it is not there."""


@dataclass
class Story:
    """What the sensor reports while `seen` says, by hour from START and by time, what is stored."""

    seen: Callable[[int, datetime], Seen]
    policy: CoveragePolicy = field(default_factory=CoveragePolicy)
    past: pa.Table | None = None

    def told(self, hours: int) -> list[Alert]:
        """The alerts of so many hours, of a sensor that looks when an hour has settled and when
        its retries are over; after a day, every six hours."""
        state, alerts = AlertState(), []
        for n in (*range(1, min(hours, 24)), *range(24, hours, 6)):
            for minute in (6, 47):
                new, state = self.look(START + n * HOUR + minute * MINUTE, state)
                alerts += new
        return alerts

    def look(self, now: datetime, state: AlertState) -> tuple[list[Alert], AlertState]:
        hours = range(int((now - START) / HOUR))
        known = [(n, self.seen(n, now)) for n in hours]
        rows = [health_row(START + n * HOUR, **columns) for n, columns in known if columns]
        flags = flag_hours(
            pa.Table.from_pylist(rows, schema=ATTRIBUTION_HEALTH),
            self.policy,
            now,
            expected_hours=[START + n * HOUR for n in hours],
            history=self.past,
        )
        alerts, state = decide(through_cursor(state), gaps(flags), now, policy=self.policy)
        return alerts, state


def hour_with(
    n: int, lost: int = 0, cause: Cause | None = None, *, orders: int = ORDERS, **more: Any
) -> dict[str, Any]:
    """An hour that lost orders on their way to Meta."""
    return {
        "orders": orders,
        "eligible": orders,
        "matched": round(0.8 * orders),
        "matched_eligible": round(0.8 * orders),
        "visits": 30 * ORDERS,
        "delivered": orders - lost,
        "pending": lost,
        "first_deadline": START + n * HOUR + WINDOW if lost else None,
        "main_reason": "reason" if lost else None,
        "main_reason_kind": cause and str(cause),
        **more,
    }


def ended(n: int, now: datetime) -> datetime:
    """How long ago an hour ended, as a time after START."""
    return START + (now - (START + (n + 1) * HOUR))


def lost_between(
    first: int, last: int, causes: tuple[Cause, ...], fixed: int | None = None
) -> Callable[[int, datetime], Seen]:
    """Orders of hours first to last wait, each hour for the next of `causes`; from `fixed` on
    everything is delivered."""

    def seen(n: int, now: datetime) -> Seen:
        if not first <= n <= last or (fixed is not None and now >= START + fixed * HOUR):
            return hour_with(n)
        return hour_with(n, ORDERS, causes[n % len(causes)])

    return seen


def retried(n: int, now: datetime) -> Seen:
    """Meta fails for two causes in turn; each hour is delivered by a run 40 minutes later."""
    cause = (Cause.META_DOWN, Cause.THROTTLED)[n % 2]
    is_lost = 2 <= n < 14 and ended(n, now) < START + 40 * MINUTE
    return hour_with(n, 12 if is_lost else 0, cause if is_lost else None)


def other_answer_each_time(n: int, now: datetime) -> Seen:
    """Every run gets another error for all hours of the outage, until it is over."""
    if not 2 <= n < 14 or now >= START + 15 * HOUR:
        return hour_with(n)
    return hour_with(n, 12, (Cause.META_DOWN, Cause.THROTTLED)[now.minute // 40])


def every_other_hour(n: int, now: datetime) -> Seen:
    """Half of the hours fail, and are delivered a little later."""
    is_lost = 2 <= n < 14 and n % 2 == 0 and ended(n, now) < START + 40 * MINUTE
    return hour_with(n, 12 if is_lost else 0, Cause.META_DOWN if is_lost else None)


def dead_dataset(n: int, now: datetime) -> Seen:
    """One dataset of few orders: those of the day are seen, those of the night are too few."""
    by_day = 8 <= (START + n * HOUR).hour < 20
    lost = 3 if by_day and n % 3 else 1
    return hour_with(n, lost, Cause.PERMISSION)


def weak_keys(n: int, now: datetime) -> Seen:
    """Orders without match keys: they could be corrected for seven days, and nobody does."""
    if not 2 <= n < 8:
        return hour_with(n)
    return hour_with(n, 0, Cause.PAYLOAD, delivered=ORDERS - 10, rejected=10)


def not_run(n: int, now: datetime) -> Seen:
    """The daemon stops for five hours; then the hours are run one after the other."""
    stopped = 2 <= n < 7
    if stopped and now < START + 7 * HOUR + (n - 1) * 20 * MINUTE:
        return None
    return hour_with(n)


@pytest.mark.parametrize(
    ("seen", "hours", "end"),
    [
        pytest.param(retried, 20, "recovered", id="Meta fails in two ways, each hour is retried"),
        pytest.param(other_answer_each_time, 20, "recovered", id="other errors at each try"),
        pytest.param(every_other_hour, 20, "recovered", id="every other hour fails"),
        pytest.param(
            lost_between(2, 7, (Cause.THROTTLED, Cause.META_DOWN, Cause.UNKNOWN_OUTCOME), 8),
            14,
            "recovered",
            id="three causes in turn",
        ),
        pytest.param(lost_between(2, 4, (Cause.TOKEN,), 5), 10, "recovered", id="token renewed"),
        pytest.param(not_run, 14, "recovered", id="hours not run"),
        pytest.param(dead_dataset, 72, None, id="a dead dataset of few orders"),
        pytest.param(weak_keys, 24 * 7 + 12, "closed", id="never corrected"),
    ],
)
def test_an_incident_opens_once_and_ends_once(
    seen: Callable[[int, datetime], Seen], hours: int, end: str | None
) -> None:
    alerts = Story(seen).told(hours)
    kinds = Counter(alert.kind for alert in alerts)
    assert len({alert.incident_id for alert in alerts}) == 1
    assert kinds["opened"] == 1
    assert kinds["reopened"] == 0
    assert {kind: kinds[kind] for kind in ENDS if kinds[kind]} == ({end: 1} if end else {})
    sizes = [alert.incident.total.orders for alert in alerts if alert.kind in ("opened", "worse")]
    assert all(2 * before <= after for before, after in pairwise(sizes))
    unchanged = kinds.total() - sum(
        kinds[kind] for kind in ("worse", "cause_changed", "about_to_expire")
    )
    assert unchanged <= 2


def without_tracker(at: datetime) -> dict[str, Any] | None:
    """Six hours without visits; who buys after them has no visit either for a while."""
    n = int((at - START) / HOUR)
    if 2 <= n < 8:
        return {"visits": 0, "orders": ORDERS, "matched": 3}
    if 8 <= n < 14:
        return {"matched": 24}
    return None


def test_six_hours_without_a_tracker_are_one_incident_that_ends_without_being_fixed() -> None:
    past, table = weeks(1), weeks(1.2, without_tracker).to_pylist()
    rows = {row["hour"]: row for row in table}
    story = Story(lambda n, now: rows[START + n * HOUR], past=_before_start(past))
    alerts = story.told(22)
    assert [alert.kind for alert in alerts if alert.kind != "worse"] == ["opened", "closed"]
    assert len({alert.incident_id for alert in alerts}) == 1
    assert alerts[-1].causes[0].cause is Cause.VISITS_MISSING


def _before_start(table: pa.Table) -> pa.Table:
    return table.filter(pa.compute.less(table["hour"], pa.scalar(START, table["hour"].type)))


def landing_late(hours: int, every: int) -> Callable[[int, datetime], Seen]:
    """Orders land `hours` after their hour, or with an export every so many hours."""

    def seen(n: int, now: datetime) -> Seen:
        lands = START + (-(-(n + 1) // every) * every + hours) * HOUR + 3 * MINUTE
        return hour_with(n) if now >= lands else hour_with(n, orders=0)

    return seen


@pytest.mark.parametrize(
    ("seen", "delay"),
    [
        pytest.param(landing_late(0, 3), timedelta(hours=2, minutes=3), id="an export of 3 hours"),
        pytest.param(landing_late(2, 1), timedelta(hours=2, minutes=3), id="always 2 hours late"),
    ],
)
def test_a_shop_whose_files_land_late_is_quiet_once_that_is_known(
    seen: Callable[[int, datetime], Seen], delay: timedelta
) -> None:
    past = _before_start(weeks(1))
    patient = CoveragePolicy(delays=LandingDelays(orders=delay))
    assert Story(seen, patient, past).told(10) == []
    unaware = Story(seen, past=past).told(10)
    assert [alert.kind for alert in unaware if alert.kind != "worse"] == ["opened"]


def test_a_late_shop_whose_feed_stops_is_told_so() -> None:
    late = landing_late(2, 1)
    patient = CoveragePolicy(delays=LandingDelays(orders=timedelta(hours=2, minutes=3)))
    stopped = Story(
        lambda n, now: late(n, min(now, START + 5 * HOUR)), patient, _before_start(weeks(1))
    )
    alerts = stopped.told(10)
    assert [(alert.kind, alert.causes[0].cause) for alert in alerts[:1]] == [
        ("opened", Cause.ORDERS_MISSING)
    ]
    assert Counter(alert.kind for alert in alerts)["opened"] == 1
