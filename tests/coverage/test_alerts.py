"""Alerts speak on change of state only, once, and never call an incident recovered that is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.delivery.causes import Cause
from tests.helpers.gap_samples import sample_gap, through_cursor
from tests.helpers.order_records import H, hour

WINDOW = timedelta(days=6, hours=23, minutes=30)


def gap(
    hours: Mapping[int, int | None],
    cause: Cause = Cause.TOKEN,
    *,
    severity: str = "warn",
    savable: bool = True,
) -> Gap:
    """A gap of these hours (counted from H) with these missing orders at ten EUR each."""
    first, last = hour(min(hours)), hour(max(hours))
    orders = sum(n or 0 for n in hours.values())
    money = {"EUR": orders * 10.0} if orders else {}
    return sample_gap(
        cause,
        id=f"{cause}-{first:%Y-%m-%dT%H}",
        severity=severity,
        first_hour=first,
        last_hour=last,
        missing={hour(n): count for n, count in hours.items()},
        money=money,
        recoverable=orders if savable else 0,
        recoverable_money=money if savable else {},
        first_deadline=first + WINDOW if savable else None,
        last_deadline=last + WINDOW if savable else None,
        reasons={"token_expired": orders},
    )


class AlertSequence:
    """A sequence of ticks; the state goes through the sensor's cursor each time."""

    def __init__(self) -> None:
        self.state = AlertState()

    def look(
        self, now: datetime, *gaps: Gap, watched_from: datetime | None = None
    ) -> list[tuple[str, str]]:
        return [(a.kind, a.incident_id) for a in self.alerts(now, *gaps, watched_from=watched_from)]

    def alerts(
        self, now: datetime, *gaps: Gap, watched_from: datetime | None = None
    ) -> list[Alert]:
        alerts, state = decide(self.state, gaps, now, watched_from=watched_from)
        self.state = through_cursor(state)
        assert self.state == state
        return alerts


ID = "token-2026-11-20T13"


def test_a_gap_is_reported_when_it_opens_and_when_it_is_over_and_not_between() -> None:
    story = AlertSequence()
    assert story.look(hour(2), gap({0: 10})) == [("opened", ID)]
    assert story.look(hour(2), gap({0: 10})) == []
    assert story.look(hour(3), gap({0: 10, 1: 2})) == []
    assert story.look(hour(4)) == [("recovered", ID)]
    assert story.look(hour(5)) == []


def test_a_gap_that_grows_stays_the_same_and_is_reported_at_each_doubling() -> None:
    story = AlertSequence()
    told = [story.look(hour(n + 2), gap(dict.fromkeys(range(n + 1), 10))) for n in range(9)]
    assert [[kind for kind, _ in look] for look in told] == [
        ["opened"],
        ["worse"],
        [],
        ["worse"],
        [],
        [],
        [],
        ["worse"],
        [],
    ]
    assert {i for look in told for _, i in look} == {ID}


def test_doubling_from_one_order_to_two_is_not_reported() -> None:
    story = AlertSequence()
    story.look(hour(2), gap({0: 1}))
    assert story.look(hour(2), gap({0: 5})) == []
    assert story.look(hour(2), gap({0: 6})) == [("worse", ID)]


def test_hours_that_are_not_materialized_grow_worse_by_number() -> None:
    story, kinds = AlertSequence(), []
    for n in range(9):
        missing = gap(dict.fromkeys(range(n + 1)), Cause.NOT_MATERIALIZED)
        kinds.append([kind for kind, _ in story.look(hour(n + 2), missing)])
    assert kinds == [["opened"], [], [], ["worse"], [], [], [], ["worse"], []]


def test_a_new_severity_is_reported_once_even_if_it_flickers() -> None:
    story = AlertSequence()
    story.look(hour(2), gap({0: 10}))
    assert story.look(hour(3), gap({0: 10}, severity="error")) == [("worse", ID)]
    assert story.look(hour(4), gap({0: 10})) == []
    assert story.look(hour(5), gap({0: 10}, severity="error")) == []


def test_a_gap_about_to_expire_is_reported_once_then_as_expired() -> None:
    story, deadline = AlertSequence(), H + WINDOW
    story.look(hour(2), gap({0: 10}))
    day_before = deadline - timedelta(hours=24)
    assert story.look(day_before - timedelta(minutes=1), gap({0: 10})) == []
    assert story.look(day_before, gap({0: 10}, severity="error")) == [("about_to_expire", ID)]
    assert story.look(day_before + timedelta(hours=9), gap({0: 10}, severity="error")) == []
    assert story.look(deadline, gap({0: 10}, savable=False)) == [("expired", ID)]
    assert story.look(deadline + timedelta(hours=1), gap({0: 10}, savable=False)) == []


def test_a_gap_that_opens_late_is_not_reported_twice() -> None:
    story, late = AlertSequence(), H + WINDOW - timedelta(hours=2)
    assert story.look(late, gap({0: 10}, severity="error")) == [("opened", ID)]
    assert story.look(late, gap({0: 10}, severity="error")) == []


def test_hours_recovered_at_the_front_or_in_the_middle_do_not_make_a_new_gap() -> None:
    story = AlertSequence()
    story.look(hour(9), gap(dict.fromkeys(range(6), 10)))
    assert story.look(hour(9), gap({3: 10, 4: 10, 5: 10})) == []
    assert story.look(hour(9), gap({0: 10}), gap({5: 10})) == []
    assert story.look(hour(9), gap({2: 1})) == []
    assert story.look(hour(10)) == [("recovered", ID)]


def test_gaps_of_one_cause_that_grow_together_end_as_one() -> None:
    story = AlertSequence()
    assert len(story.look(hour(60), gap({0: 40}), gap({40: 40}))) == 2
    assert story.look(hour(60), gap({0: 40, 20: 1, 40: 40})) == []
    assert story.look(hour(60)) == [("recovered", ID)]


def test_another_fault_is_another_incident_even_in_the_same_hours() -> None:
    story = AlertSequence()
    story.look(hour(4), gap({0: 10, 1: 10}))
    told = story.look(hour(4), gap({0: 10}), gap({1: 30}, Cause.PAYLOAD))
    assert told == [("opened", "payload-2026-11-20T14")]


def test_a_cause_that_gives_way_to_another_is_the_same_incident() -> None:
    story, opened = AlertSequence(), "not_materialized-2026-11-20T13"
    story.look(hour(4), gap({0: None, 1: None}, Cause.NOT_MATERIALIZED))
    (alert,) = story.alerts(hour(4), gap({0: 10, 1: 10}))
    assert (alert.kind, alert.incident_id) == ("worse", opened)
    assert [turn.cause for turn in alert.causes] == [Cause.NOT_MATERIALIZED, Cause.TOKEN]
    assert story.look(hour(5), gap({0: 10, 1: 10})) == []
    assert story.look(hour(6)) == [("recovered", opened)]


def test_hours_that_another_fault_takes_over_are_not_called_recovered() -> None:
    story, refused = AlertSequence(), gap({0: 10, 1: 9}, Cause.PAYLOAD)
    story.look(hour(6), gap({0: 10, 1: 10}))
    assert story.look(hour(6), refused) == []
    (alert,) = story.alerts(hour(7), refused)
    assert (alert.kind, alert.incident_id) == ("cause_changed", ID)
    assert [turn.cause for turn in alert.causes] == [Cause.TOKEN, Cause.PAYLOAD]
    assert story.look(hour(9), refused) == []


def test_another_cause_with_another_remedy_is_reported_once_it_lasts() -> None:
    story = AlertSequence()
    story.look(hour(2), gap({0: 10}))
    grown = (gap({0: 3}), gap({1: 8}, Cause.PERMISSION))
    assert story.look(hour(3), *grown) == []
    assert story.look(hour(3) + timedelta(minutes=59), *grown) == []
    assert story.look(hour(4), *grown) == [("cause_changed", ID)]
    assert story.look(hour(6), *grown) == []


def test_a_gap_whose_orders_are_mostly_back_is_recovered_though_a_few_fail_otherwise() -> None:
    story = AlertSequence()
    story.look(hour(4), gap({0: 10, 1: 10}))
    few = gap({1: 3}, Cause.PAYLOAD)
    told = story.alerts(hour(4), few)
    assert [(a.kind, a.incident_id, a.still) for a in told] == [
        ("recovered", ID, 3),
        ("opened", "payload-2026-11-20T14", 0),
    ]


def test_causes_that_take_turns_are_reported_once_each() -> None:
    story = AlertSequence()
    token, down = gap({0: 10}), gap({0: 10}, Cause.META_DOWN)
    told = [story.look(hour(2) + timedelta(minutes=10 * n), (token, down)[n % 2]) for n in range(9)]
    assert [kind for look in told for kind, _ in look] == ["opened"]


def test_hours_that_became_too_late_are_expired_not_recovered() -> None:
    story = AlertSequence()
    story.look(hour(4), gap({0: None}, Cause.NOT_MATERIALIZED))
    after = H + WINDOW + timedelta(hours=3)
    late = gap({0: 10}, Cause.TOO_LATE, savable=False)
    assert story.look(after, late) == [("expired", "not_materialized-2026-11-20T13")]
    assert story.look(after + timedelta(hours=1), late) == []


def test_an_incident_that_leaves_the_watched_hours_is_closed_not_recovered() -> None:
    story = AlertSequence()
    lost = gap({0: 10, 1: 10}, Cause.PAYLOAD, savable=False)
    story.look(hour(3), lost)
    assert story.look(hour(4), watched_from=hour(2)) == [("closed", "payload-2026-11-20T13")]
    assert story.state == AlertState()


@pytest.mark.parametrize("cause", [Cause.VISITS_MISSING, Cause.MATCH_KEYS_LOST, Cause.PAYLOAD])
def test_what_nothing_can_fix_is_closed_once_and_not_again(cause: Cause) -> None:
    story, lost = AlertSequence(), gap({0: 10, 1: 10}, cause, savable=False)
    incident_id = f"{cause}-2026-11-20T13"
    assert story.look(hour(3), lost) == [("opened", incident_id)]
    assert story.look(hour(5), lost) == []
    assert story.look(hour(6), lost) == [("closed", incident_id)]
    for n in range(7, 200, 7):  # its hours stay flagged as long as they are watched
        assert story.look(hour(n), lost) == []
    assert story.look(hour(201), watched_from=hour(9)) == []
    assert story.look(hour(202), watched_from=hour(9)) == []
    assert story.state == AlertState()


def test_what_can_be_corrected_is_not_closed() -> None:
    story = AlertSequence()
    lost = replace(gap({0: 10}, Cause.PAYLOAD, savable=False), correctable=10)
    story.look(hour(3), lost)
    assert story.look(hour(20), lost) == []


def test_hours_flagged_again_after_the_end_open_the_same_incident_again() -> None:
    story = AlertSequence()
    story.look(hour(2), gap({0: 10}))
    assert story.look(hour(5)) == [("recovered", ID)]
    assert story.look(hour(7), gap({5: 10})) == [("reopened", ID)]
    assert story.look(hour(10)) == []  # three good hours were not enough before
    assert story.look(hour(13)) == [("recovered", ID)]


def test_what_is_added_to_a_remaining_rest_is_reported_as_worse() -> None:
    story = AlertSequence()
    story.look(hour(2), gap({0: 400}))
    assert story.look(hour(5), gap({0: 3})) == []  # the others were recovered
    assert story.look(hour(12), gap({0: 3}), gap({10: 200})) == [("worse", ID)]


def test_a_gap_that_leaves_the_watched_hours_unsaved_is_reported_as_expired() -> None:
    story = AlertSequence()
    story.look(hour(4), gap({0: 10}))
    assert story.look(H + timedelta(days=8), watched_from=hour(30)) == [("expired", ID)]


def test_the_state_stays_small() -> None:
    gaps = [gap({n * 30: 10, n * 30 + 1: 10}) for n in range(50)]
    _, state = decide(AlertState(), gaps, hour(200))
    assert len(SensorState(alerts=state).to_json()) < 50 * 900


@pytest.mark.parametrize("cursor", [None, "", "nonsense", "[]", "null", '{"alerts":{"v":1}}'])
def test_a_cursor_that_cannot_be_read_starts_anew(cursor: str | None) -> None:
    assert SensorState.from_json(cursor) == SensorState()


def test_the_open_gaps_of_a_former_cursor_go_on_as_incidents() -> None:
    known = {
        "id": ID, "cause": "token", "headline": "the access token has expired",
        "severity": "warn", "first_hour": H.isoformat(), "last_hour": hour(1).isoformat(),
        "reported_orders": 20, "reported_hours": 0, "orders": 20, "money": {"EUR": 200.0},
        "deadline": (hour(1) + WINDOW).isoformat(), "expiry_reported": False,
        "visits_reported": False, "fewer_visits": 0, "gone_since": None,
        "recovery_launched": True,
    }  # fmt: skip
    later = {"id": "token-2026-11-20T16", "first_hour": hour(3).isoformat()}
    again = {**known, **later, "last_hour": hour(3).isoformat(), "reported_orders": 10}
    record = {"version": 2, "alerts": {"open_gaps": [known, again]}, "flagged": {}}
    record["flagged"] = {H.isoformat(): ["token", "warn", 10]}
    state = SensorState.from_json(json.dumps(record))
    assert state.flagged == {H: ("token", "warn", 10)}
    story = AlertSequence()
    story.state = state.alerts
    assert story.look(hour(5), gap({0: 10, 1: 10}), gap({3: 10})) == []
    (alert,) = story.alerts(hour(8))
    assert (alert.kind, alert.incident_id, alert.automatic) == ("recovered", ID, True)


def test_a_cursor_of_another_version_reports_incidents_once_more() -> None:
    former = '{"alerts":"{}","flagged":{},"judged":7,"launched":[],"rejudged":{},"unsent":{}}'
    assert SensorState.from_json(former) == SensorState()
    later = SensorState().to_json().replace('"version":3', '"version":4')
    assert SensorState.from_json(later) == SensorState()
    assert [a.kind for a in decide(SensorState.from_json(former).alerts, [gap({0: 9})], H)[0]] == [
        "opened"
    ]


def test_a_gap_that_recovery_launched_says_so_when_it_is_over() -> None:
    story = AlertSequence()
    story.look(hour(4), gap({0: 10, 1: 10}))
    story.state = through_cursor(story.state.recovering({ID}))
    assert story.look(hour(5), gap({1: 10})) == []
    (alert,) = story.alerts(hour(7))
    assert (alert.kind, alert.automatic) == ("recovered", True)


def test_an_alert_names_the_ranges_to_materialize() -> None:
    story = AlertSequence()
    story.look(hour(9), gap({0: 1, 1: 1, 2: 1}))
    (alert,) = story.alerts(hour(9), gap({2: 90}), gap({0: 90}))
    assert alert.ranges == (
        "2026-11-20-13:00...2026-11-20-13:00",
        "2026-11-20-15:00...2026-11-20-15:00",
    )
    assert alert.incident.total.orders == 180
