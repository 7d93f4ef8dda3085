"""What follows from each answer: booked as what, and then what."""

from __future__ import annotations

import pytest

from capi_assets.delivery.sending.responses import NextStep, decide
from capi_assets.meta.graph.client import Answer, RequestOutcome
from tests.helpers.meta_answers import HTML, answered, refusal

TABLE = [
    # what came back, sent 10                           booked as, reason, what next
    (answered(200, '{"events_received":10}', 10), "delivered", None, NextStep.DONE),
    (answered(201, '{"events_received":10}', 10), "delivered", None, NextStep.DONE),
    (answered(200, '{"events_received":9}', 9), "unknown", "unexpected_answer", NextStep.LEAVE),
    (answered(200, '{"success":true}'), "unknown", "unexpected_answer", NextStep.LEAVE),
    (answered(200, '{"events_rec'), "unknown", "meta_down", NextStep.RETRY),
    (answered(200, HTML), "unknown", "meta_down", NextStep.RETRY),
    (answered(200, "Service Unavailable"), "unknown", "meta_down", NextStep.RETRY),
    (answered(200, ""), "unknown", "meta_down", NextStep.RETRY),
    (
        Answer(RequestOutcome.NOT_SENT, fault="ConnectTimeout"),
        "refused",
        "no_connection",
        NextStep.RETRY,
    ),
    (Answer(RequestOutcome.NO_ANSWER, fault="ReadTimeout"), "unknown", "no_answer", NextStep.RETRY),
    (answered(302, HTML), "refused", "redirected", NextStep.STOP),
    (answered(308), "refused", "redirected", NextStep.STOP),
    (answered(408), "refused", "meta_down", NextStep.RETRY),
    (answered(429), "refused", "throttled", NextStep.RETRY),
    (refusal(400, 4), "refused", "throttled", NextStep.RETRY),
    (refusal(400, 17, 2446079), "refused", "throttled", NextStep.RETRY),
    (refusal(403, 613), "refused", "abuse_suspected", NextStep.RETRY),
    (refusal(400, 80004), "refused", "throttled", NextStep.RETRY),
    (refusal(500, 1), "unknown", "meta_down", NextStep.RETRY),
    (refusal(503, 2, is_transient=True), "unknown", "meta_down", NextStep.RETRY),
    (refusal(400, 2), "refused", "meta_down", NextStep.RETRY),
    (answered(502, HTML), "unknown", "meta_down", NextStep.RETRY),
    (answered(503), "unknown", "meta_down", NextStep.RETRY),
    (answered(403, HTML), "refused", "meta_down", NextStep.RETRY),
    (refusal(401, 190, 463), "refused", "token_expired", NextStep.STOP),
    (refusal(401, 190), "refused", "token_invalid", NextStep.STOP),
    (refusal(400, 104), "refused", "app_secret_wrong", NextStep.STOP),
    (refusal(403, 10), "refused", "permission_lost", NextStep.STOP),
    (refusal(403, 200), "refused", "permission_lost", NextStep.STOP),
    (refusal(403, 299), "refused", "permission_lost", NextStep.STOP),
    (refusal(400, 100, 33), "refused", "permission_lost", NextStep.STOP),
    (refusal(400, 368), "refused", "app_blocked", NextStep.STOP),
    (refusal(400, 100, 2804050), "refused", "weak_match_keys", NextStep.SPLIT),
    (refusal(400, 100, 2899999), "refused", "subcode_2899999", NextStep.SPLIT),
    (refusal(400, 100), "refused", "setup_refused", NextStep.STOP),
    (refusal(400, 2500), "refused", "wrong_address", NextStep.STOP),
    (refusal(400, 100, message="data[3] is odd"), "refused", "refused_100", NextStep.SPLIT),
    (refusal(400, 100, 2804004), "refused", "event_time_in_future", NextStep.SPLIT),
    (refusal(400, 100, 2804133), "refused", "messaging_not_linked", NextStep.SPLIT),
    (refusal(500, 1, 99), "unknown", "meta_down", NextStep.RETRY),
    (refusal(400, 100, 2804003), "refused", "expired", NextStep.SPLIT),
    (answered(413, HTML), "refused", "request_too_large", NextStep.SPLIT),
    (refusal(400, 98765), "refused", "unrecognised_code", NextStep.RETRY),
    (refusal(200, 190, 463), "refused", "token_expired", NextStep.STOP),
]


@pytest.mark.parametrize(("answer", "state", "reason", "then"), TABLE)
def test_the_answer_table(answer: Answer, state: str, reason: str | None, then: NextStep) -> None:
    ruling = decide(answer, 10)
    assert (ruling.outcome.state, ruling.outcome.reason, ruling.then) == (state, reason, then)
    assert ruling.outcome.http_status == answer.http_status


def test_a_guilty_event_alone_is_rejected_or_too_old() -> None:
    bad = decide(refusal(400, 100, 2804050), 1).alone
    old = decide(refusal(400, 100, 2804003), 1).alone
    assert bad is not None
    assert old is not None
    assert (bad.state, bad.reason, bad.subcode) == ("rejected", "weak_match_keys", 2804050)
    assert (old.state, old.reason) == ("expired", "expired")


@pytest.mark.parametrize("subcode", [2804004, 2804065, 2804131, 2804132, 2804133])
def test_an_event_that_meta_may_accept_later_is_not_settled(subcode: int) -> None:
    assert decide(refusal(400, 100, subcode), 1).alone is None


def test_metas_title_and_blame_are_kept_but_not_its_message() -> None:
    answer = refusal(
        400,
        100,
        error_user_title="Server Side Api Parameter Error",
        error_user_msg="Unexpected key for jane@example.com",
        message="Invalid parameter jane@example.com",
        error_data={"blame_field_specs": [["data", "3", "user_data"]]},
    )
    outcome = decide(answer, 10).outcome
    assert outcome.message == "Server Side Api Parameter Error; fields: data, 3, user_data"
    assert "jane" not in repr(outcome)


def test_an_event_that_meta_points_at_is_suspected_first() -> None:
    pointed = refusal(400, 100, error_data={"blame_field_specs": ["data[3].user_data"]})
    assert decide(pointed, 10).suspect_index == 3
