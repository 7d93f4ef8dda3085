"""Evidence leads to one cause, and every cause says what to do."""

from __future__ import annotations

import pytest

from capi_assets.delivery import reasons
from capi_assets.delivery.causes import DIAGNOSES, NOT_PLANNED, Cause, cause_of, diagnose
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.meta.graph.error_subcodes import SUBCODES
from capi_assets.order_identity import IDENTITY_CONFLICT


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
        # What older ledgers call by a broader word.
        ("pending", "permission_lost", 400, 368, None, Cause.BLOCKED),
        ("rejected", "refused_100", 400, 100, None, Cause.PAYLOAD),
        ("rejected", "outside_window", 400, 100, 2804004, Cause.PAYLOAD),
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
    assert Cause.TOKEN.headline_for(["token_expired"]) == "the access token has expired"
    assert Cause.TOKEN.headline_for(["token_invalid"]) == Cause.TOKEN.headline
    missing = Cause.TOKEN.headline_for(["no_access_configured", "throttled"])
    assert missing == "no access token is set up for the dataset"
    assert Cause.THROTTLED.headline_for([]) == Cause.THROTTLED.headline


def test_an_order_dated_in_the_future_is_not_called_unmaterialized() -> None:
    cause = Cause.NOT_MATERIALIZED
    assert cause.headline_for(["event_time_in_future"]) == "orders are dated in the future"
    assert "time zone" in cause.remedy_for(["event_time_in_future", "not_planned"])
    assert cause.remedy_for(["not_planned"]) == cause.remedy == cause.remedy_for([])


def test_of_several_reasons_the_commonest_that_has_the_cause_decides() -> None:
    blocked = Cause.BLOCKED.remedy_for(["token_expired", "app_blocked"])
    assert blocked == DIAGNOSES["app_blocked"].remedy


def test_a_broader_word_of_an_older_ledger_gets_the_remedy_of_its_code() -> None:
    old = {"stage": "pending", "http_status": 400, "subcode": None}
    assert diagnose(reason="token_invalid", code=104, **old).reason == "app_secret_wrong"
    assert diagnose(reason="throttled", code=613, **old).reason == "abuse_suspected"
    # A pause because of a limit that was near carries the code of another answer.
    assert diagnose(reason="throttled", code=100, **old).reason == "throttled"


def test_a_token_may_be_set_in_three_places_and_the_remedy_names_them() -> None:
    for place in ("CAPI_ACCESS_TOKEN ", "CAPI_ACCESS_TOKEN_FILE", "CAPI_DATASETS"):
        assert place in Cause.TOKEN.remedy


def test_an_event_that_the_token_lost_stays_lost_to_the_token_once_it_expired() -> None:
    found = cause_of(stage="expired", reason="too_late", http_status=401, code=190, subcode=463)
    assert found is Cause.TOKEN


def test_every_reason_of_delivery_that_waits_has_a_cause() -> None:
    delivered = {"PIXEL_REPORTED", "PIXEL_ASSUMED", "PAYLOAD_CHANGED", "FORMER_ID", "OTHER_HOUR"}
    words = {name: word for name, word in vars(reasons).items() if name.isupper()}
    assert {name for name, word in words.items() if word not in DIAGNOSES} == delivered


def test_every_cause_and_reason_says_what_happened_and_what_to_do() -> None:
    for one in (*Cause, *DIAGNOSES.values()):
        assert one.headline[0].islower() or one.headline.startswith("Meta")
        assert not one.headline.endswith(".")
        assert one.remedy.endswith(".")


def test_every_reason_of_the_table_is_a_word_that_something_writes() -> None:
    refused = {known.name for known in SUBCODES.values()} | set(REFUSAL_TEXTS)
    stored = {word for name, word in vars(reasons).items() if name.isupper()} | refused
    others = {
        NOT_PLANNED,
        IDENTITY_CONFLICT,
        "refused_together",
    }  # no delivery result; ledgers before 2026
    assert set(DIAGNOSES) - stored - others == set()
