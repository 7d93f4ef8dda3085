"""Whatever Meta answers, all readers name the same cause and ask for the same: run log, waterfall,
gap, alert, `explain`, preflight and doctor, automatic recovery."""

from __future__ import annotations

from datetime import timedelta

import pytest

from capi_assets.commands.explain.next_step import next_step
from capi_assets.coverage.access_health.findings import (
    AccessStatus,
    access,
    preflight_cause,
    preflight_text,
)
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alert_text import alert_text
from capi_assets.coverage.alerting.alerts import decide as decide_alerts
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.recovery.decisions import (
    datasets_to_ask,
    decide_recovery,
    note_blocks,
    savable_hours,
)
from capi_assets.coverage.recovery.state import RecoveryState
from capi_assets.delivery.causes import Diagnosis, EndedBy, diagnose
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.sending.responses import NextStep, decide
from capi_assets.delivery.sending.summary import Stop
from capi_assets.meta.graph.client import Answer, DatasetAccess
from capi_assets.meta.graph.preflight import Preflight, preflight
from capi_assets.meta.graph.versions import version_outlook
from tests.helpers.meta_answers import (
    ALL_CASES,
    CONTENT_CASES,
    LATER_CASES,
    PASSING_CASES,
    SETUP_CASES,
    Case,
)
from tests.helpers.order_records import H, OrderRecords, hour

NOW = hour(24)
STAGES = {"refused": "pending"}
ACTIONS = {"pending": "send", "unknown": "send"}


def outcome_of(case: Case) -> Outcome:
    """Of a request that held one event."""
    decision = decide(case.answer, 10)
    return decision.alone or decision.outcome


def stage_of(outcome: Outcome) -> str:
    return STAGES.get(outcome.state, outcome.state)


def stored(case: Case) -> tuple[str, Diagnosis]:
    """The waterfall's stage of the event, and what its stored columns lead to."""
    outcome = outcome_of(case)
    found = diagnose(
        stage=stage_of(outcome),
        reason=outcome.reason,
        http_status=outcome.http_status,
        code=outcome.code,
        subcode=outcome.subcode,
    )
    return stage_of(outcome), found


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_an_answer_has_one_reason_one_cause_and_one_end(case: Case) -> None:
    _, found = stored(case)
    assert outcome_of(case).reason == case.reason
    assert (found.cause, found.ended_by) == (case.cause, case.ended_by)


@pytest.mark.parametrize("case", SETUP_CASES, ids=str)
def test_an_answer_about_the_set_up_stops_the_dataset_and_settles_nothing(case: Case) -> None:
    assert decide(case.answer, 10).then is NextStep.STOP
    assert outcome_of(case).state == "refused"


@pytest.mark.parametrize("case", [*CONTENT_CASES, *LATER_CASES], ids=str)
def test_an_answer_about_events_settles_those_that_nothing_but_data_can_help(case: Case) -> None:
    assert decide(case.answer, 10).then is NextStep.SPLIT
    settled = outcome_of(case).state in ("rejected", "expired")
    assert settled is (case in CONTENT_CASES)


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_gap_alert_and_explain_say_what_the_run_log_says(case: Case) -> None:
    outcome, (stage, found) = outcome_of(case), stored(case)
    answer = {n: getattr(outcome, n) for n in ("http_status", "code", "subcode")}
    if stage in ("pending", "unknown"):
        log = str(Stop("d1", outcome))
        assert found.headline in log
        assert found.remedy in log

    records = OrderRecords().order(status=stage, reason=outcome.reason, times=60, **answer)
    health = records.health()
    assert set(health["main_reason_kind"].to_pylist()) == {str(found.cause)}
    (gap,) = gaps(flag_hours(health, CoveragePolicy(), NOW))
    assert (gap.cause, gap.headline, gap.remedy) == (found.cause, found.headline, found.remedy)

    ((alert,), _) = decide_alerts(AlertState(), [gap], NOW)
    text = alert_text(alert, NOW)
    assert found.headline in text
    assert found.remedy in text

    step = next_step(
        H,
        NOW,
        event={"verdict": "ready", "occurred_at": H},
        planned={
            "action": ACTIONS.get(stage, stage),
            "reason": outcome.reason,
            "deliver_until": H + timedelta(days=7),
        },
        known={**answer, "delivered_at": None},
    )
    assert found.remedy in step


class Answering:
    """A Meta that gives one answer."""

    access = DatasetAccess("d1", "token")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def body(self, events: object) -> bytes:
        return b"{}"

    def post(self, body: bytes) -> Answer:
        return self.answer


def flown(case: Case) -> Preflight:
    return preflight(Answering(case.answer), NOW)


@pytest.mark.parametrize("case", [*SETUP_CASES, *PASSING_CASES], ids=str)
def test_preflight_and_doctor_say_it_without_hours(case: Case) -> None:
    _, found = stored(case)
    text = preflight_text(flown(case))
    assert preflight_cause(flown(case)) is found.cause
    assert found.headline in text
    assert text.endswith(found.action)
    status = AccessStatus("d1", NOW, version_outlook("v26.0", NOW), canary=flown(case))
    assert access(status).words == text


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_recovery_does_not_knock_where_only_a_person_or_data_can_help(case: Case) -> None:
    outcome, (stage, found) = outcome_of(case), stored(case)
    answer = {n: getattr(outcome, n) for n in ("http_status", "code", "subcode")}
    records = OrderRecords().order(status=stage, reason=outcome.reason, times=60, **answer)
    health = records.health()
    flags = flag_hours(health, CoveragePolicy(), NOW)
    savable = savable_hours(flags, gaps(flags), health, NOW)
    state = note_blocks(RecoveryState(), savable, health, NOW)
    asked = datasets_to_ask(state, savable, NOW, ())
    assert bool(asked) is (found.ended_by in (EndedBy.WAITING, EndedBy.SETUP))
    launches = decide_recovery(state, savable, NOW, {}, ()).launches
    assert bool(launches) is (found.ended_by is EndedBy.RUN)
