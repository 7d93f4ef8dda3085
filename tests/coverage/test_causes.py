"""Evidence leads to one cause, and every cause says what to do."""

from __future__ import annotations

import pytest

from capi_assets.delivery import reasons
from capi_assets.delivery.causes import Cause, cause_of


@pytest.mark.parametrize(
    ("stage", "reason", "http_status", "code", "subcode", "cause"),
    [
        ("pending", "token_expired", 401, 190, 463, Cause.TOKEN),
        ("pending", "a_word_of_a_later_version", 401, 190, None, Cause.TOKEN),
        ("pending", "permission_lost", 400, 100, 33, Cause.PERMISSION),
        ("pending", "no_access_configured", None, None, None, Cause.TOKEN),
        ("pending", None, 403, 200, None, Cause.PERMISSION),
        ("pending", "throttled", 400, 4, None, Cause.THROTTLED),
        ("pending", None, 429, None, None, Cause.THROTTLED),
        ("pending", "meta_down", None, None, None, Cause.META_DOWN),
        ("unknown", "no_answer", None, None, None, Cause.META_DOWN),
        ("unknown", None, 503, None, None, Cause.META_DOWN),
        ("unknown", "held_after_48_hours", 503, None, None, Cause.UNKNOWN_OUTCOME),
        ("unknown", None, None, None, None, Cause.UNKNOWN_OUTCOME),
        ("pending", "time_budget", None, None, None, Cause.TIME_BUDGET),
        ("pending", "not_planned", None, None, None, Cause.NOT_MATERIALIZED),
        ("future_dated", "event_time_in_future", None, None, None, Cause.NOT_MATERIALIZED),
        ("rejected", "missing_value", 400, 100, 2804009, Cause.PAYLOAD),
        ("rejected", "weak_match_keys", 400, 100, 2804050, Cause.MATCH_KEYS_LOST),
        ("invalid", "weak_match_keys", None, None, 2804050, Cause.MATCH_KEYS_LOST),
        ("invalid", "expired", None, None, 2804003, Cause.TOO_LATE),
        ("invalid", "throttled", None, None, None, Cause.PAYLOAD),
        ("quarantined", "quarantined", None, None, None, Cause.QUARANTINE),
        ("expired", "too_late", None, None, None, Cause.TOO_LATE),
        ("pending", "unrecognised_code", 400, 99999, None, Cause.UNEXPLAINED),
        ("pending", None, None, None, None, Cause.UNEXPLAINED),
    ],
)
def test_evidence_leads_to_its_cause(
    stage: str,
    reason: str | None,
    http_status: int | None,
    code: int | None,
    subcode: int | None,
    cause: Cause,
) -> None:
    found = cause_of(
        stage=stage, reason=reason, http_status=http_status, code=code, subcode=subcode
    )
    assert found is cause


def test_a_token_that_is_missing_is_not_called_refused() -> None:
    assert Cause.TOKEN.headline_for(["token_expired"]) == "the access token is not accepted"
    missing = Cause.TOKEN.headline_for(["no_access_configured", "throttled"])
    assert missing == "no access token is set up for the dataset"
    assert Cause.THROTTLED.headline_for([]) == Cause.THROTTLED.headline


def test_an_order_dated_in_the_future_is_not_called_unmaterialized() -> None:
    cause = Cause.NOT_MATERIALIZED
    assert cause.headline_for(["event_time_in_future"]) == "orders are dated in the future"
    assert "time zone" in cause.remedy_for(["event_time_in_future", "not_planned"])
    assert cause.remedy_for(["not_planned"]) == cause.remedy == cause.remedy_for([])


def test_a_token_may_be_set_in_three_places_and_the_remedy_names_them() -> None:
    for place in ("CAPI_ACCESS_TOKEN ", "CAPI_ACCESS_TOKEN_FILE", "CAPI_DATASETS"):
        assert place in Cause.TOKEN.remedy


def test_an_event_that_the_token_lost_stays_lost_to_the_token_once_it_expired() -> None:
    found = cause_of(stage="expired", reason="too_late", http_status=401, code=190, subcode=463)
    assert found is Cause.TOKEN


def test_every_reason_of_delivery_that_waits_has_a_cause() -> None:
    settled = {"TOO_LATE", "DUPLICATE", "UNSTORABLE", "PIXEL_REPORTED", "PIXEL_ASSUMED"}
    settled |= {"PAYLOAD_CHANGED"}
    by_answer = {"UNRECOGNISED"}
    for name, word in vars(reasons).items():
        if not name.isupper() or name in settled | by_answer:
            continue
        stage = "future_dated" if name == "FUTURE" else "pending"
        found = cause_of(stage=stage, reason=word, http_status=None, code=None, subcode=None)
        assert found is not Cause.UNEXPLAINED, name


def test_every_cause_says_what_happened_and_what_to_do() -> None:
    for cause in Cause:
        assert cause.headline[0].islower() or cause.headline.startswith("Meta")
        assert not cause.headline.endswith(".")
        assert cause.remedy.endswith(".")
