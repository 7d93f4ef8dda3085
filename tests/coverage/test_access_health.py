"""Foresight: what stops delivery is known before it does, told once, and in words that help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from capi_assets.coverage.access_health.alerts import access_alerts, previous_alerts
from capi_assets.coverage.access_health.findings import (
    AccessStatus,
    access,
    check_access,
    row,
    step,
    table,
    token_end,
    words_of,
)
from capi_assets.delivery.datasets import Datasets
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.meta.graph.debug_token import TokenFacts
from capi_assets.meta.graph.errors import Body, MetaError, classify
from capi_assets.meta.graph.preflight import Preflight
from capi_assets.meta.graph.versions import version_outlook

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
FOREVER = TokenFacts(True, never_expires=True)
UNTOLD = TokenFacts(None, why_unknown="Meta does not let this token ask about itself")
DEAD = TokenFacts(False, code=190, subcode=463)


def ending(days: float) -> TokenFacts:
    return TokenFacts(True, expires_at=NOW + days * DAY)


def outlook(facts: TokenFacts | None = FOREVER, **changed: Any) -> AccessStatus:
    values: dict[str, Any] = {
        "dataset_id": "42",
        "checked_at": NOW,
        "version": version_outlook("v26.0", NOW),
        "facts": facts,
    }
    return AccessStatus(**{**values, **changed})


def canary(reason: str | None, code: int | None = 100) -> Preflight:
    problem = None if reason is None else classify(400, MetaError(Body.HTML, code))
    assert reason == (problem and problem.reason)
    return Preflight("42", problem, 400, code, 2804003 if problem is None else None)


@pytest.mark.parametrize(
    ("days", "verdict", "mark"),
    [
        (400, "ok", "ok"),
        (31.5, "ok", "ok"),
        (30, "warning", "ends_in_30"),
        (14.9, "warning", "ends_in_14"),
        (8, "warning", "ends_in_14"),
        (7.9, "error", "ends_in_7"),
        (3, "error", "ends_in_3"),
        (0.5, "error", "ends_in_1"),
        (0, "error", "ended"),
        (-2, "error", "ended"),
    ],
)
def test_the_end_of_a_token_is_told_ahead(days: float, verdict: str, mark: str) -> None:
    said = token_end(outlook(ending(days)))
    assert (said.verdict, said.mark) == (verdict, mark)
    assert ("Create a new one" in said.words) == (verdict != "ok")


def test_a_token_without_end_is_good_and_one_that_is_not_told_is_not_blamed() -> None:
    assert token_end(outlook(FOREVER)).verdict == "ok"
    said = token_end(outlook(UNTOLD))
    assert said.verdict == "unknown"
    assert "ask about itself" in said.words


def test_the_end_of_data_access_is_no_end_of_the_token() -> None:
    facts = TokenFacts(True, never_expires=True, data_access_expires_at=NOW + 5 * DAY)
    said = token_end(outlook(facts))
    assert (said.verdict, said.mark) == ("warning", "data_access_ends")
    later = TokenFacts(True, never_expires=True, data_access_expires_at=NOW + 50 * DAY)
    assert token_end(outlook(later)).verdict == "ok"


@pytest.mark.parametrize(
    ("facts", "flown", "verdict", "mark", "stops"),
    [
        (FOREVER, None, "ok", "ok", False),
        (UNTOLD, None, "unknown", "unknown", False),
        (DEAD, None, "error", "token", True),
        (UNTOLD, canary(None), "ok", "ok", False),
        (DEAD, canary(None), "ok", "ok", False),
        (FOREVER, canary("permission_lost", 200), "error", "permission", True),
        (FOREVER, canary("app_blocked", 368), "error", "blocked", True),
        (FOREVER, canary("token_invalid", 190), "error", "token", True),
        (FOREVER, canary("meta_down", None), "ok", "ok", True),
        (UNTOLD, canary("throttled", 4), "unknown", "unknown", True),
        (DEAD, canary("meta_down", None), "error", "token", True),
        (FOREVER, canary("setup_refused"), "error", "permission", True),
    ],
)
def test_the_preflight_knows_best_and_an_outage_of_metas_accuses_nobody(
    facts: TokenFacts, flown: Preflight | None, verdict: str, mark: str, stops: bool
) -> None:
    found = outlook(facts, canary=flown)
    said = access(found)
    assert (said.verdict, said.mark, found.stops_delivery) == (verdict, mark, stops)
    assert said.words


def test_a_dataset_without_a_token_is_asked_nothing_and_told_where_to_set_it() -> None:
    asked: list[str] = []

    def ask(access: DatasetAccess) -> TokenFacts:
        asked.append(access.dataset_id)
        return FOREVER

    found = check_access(
        Datasets({"7": DatasetAccess("7", "t")}, {}, {"42": "token_variable SHOP is not set"}),
        NOW,
        canary=False,
        version="v26.0",
        ask=ask,
    )
    assert [o.dataset_id for o in found] == ["42", "7"]
    assert asked == ["7"]
    assert found[0].stops_delivery
    said = access(found[0])
    assert (said.verdict, said.mark) == ("error", "no_token")
    for place in (
        "SHOP is not set",
        "CAPI_ACCESS_TOKEN",
        "CAPI_ACCESS_TOKEN_FILE",
        "CAPI_DATASETS",
    ):
        assert place in said.words


def test_the_worst_is_said_first_and_fits_the_contract() -> None:
    found = outlook(ending(2), canary=canary(None))
    assert words_of(found).startswith("The token of dataset 42 ends on 2026-11-22")
    (stored,) = table([row(found, "access=ok")]).to_pylist()
    assert stored["verdict"] == "error"
    assert stored["days_left"] == 2
    assert stored["preflight"] == "ok"
    (none,) = table([row(outlook(None, missing="gone"))]).to_pylist()
    assert none["token_accepted"] is False
    assert none["expires_at"] is None


# Alerts.


def told_over(*looks: AccessStatus) -> list[list[str]]:
    """What is told at each of several looks, a topic and its state per message."""
    memory: dict[str, str] = {}
    said = []
    for seen in looks:
        messages, memory = access_alerts([seen], memory, NOW)
        said.append([message.document["kind"] for message in messages])
    return said


def test_a_good_start_is_not_news() -> None:
    assert told_over(outlook(), outlook()) == [[], []]


def test_an_end_is_told_at_each_step_once() -> None:
    days = (31, 30, 29, 15, 14, 13, 8, 7, 4, 3, 2, 1, 0.5, -1, -2)
    said = told_over(*(outlook(ending(d)) for d in days))
    told = {day: kinds for day, kinds in zip(days, said, strict=True) if kinds}
    assert told == {
        30: ["token_ends_in_30"],
        14: ["token_ends_in_14"],
        7: ["token_ends_in_7"],
        3: ["token_ends_in_3"],
        1: ["token_ends_in_1"],
        -1: ["token_ended"],
    }
    assert step(31) == "ok"


def test_a_renewed_token_is_good_news_once() -> None:
    said = told_over(outlook(ending(2)), outlook(FOREVER), outlook(FOREVER))
    assert said == [["token_ends_in_3"], ["token_recovered"], []]


def test_an_end_that_was_put_off_a_little_is_told_again_only_when_it_comes_near() -> None:
    said = told_over(outlook(ending(2)), outlook(ending(10)), outlook(ending(6)))
    assert said == [["token_ends_in_3"], [], ["token_ends_in_7"]]


def test_lost_access_is_told_when_it_changes_and_when_it_is_good_again() -> None:
    refused = outlook(FOREVER, canary=canary("token_invalid", 190))
    forbidden = outlook(FOREVER, canary=canary("permission_lost", 200))
    said = told_over(refused, refused, forbidden, outlook(FOREVER, canary=canary(None)))
    assert said == [["access_token"], [], ["access_permission"], ["access_recovered"]]


def test_what_is_not_known_for_a_while_is_not_told_twice() -> None:
    unreached = outlook(UNTOLD, canary=canary("meta_down", None))
    dying = outlook(ending(5))
    assert told_over(dying, unreached, dying) == [["token_ends_in_7"], [], []]


def test_one_version_is_told_once_for_all_datasets() -> None:
    old = version_outlook("v20.0", NOW)
    looks = [outlook(dataset_id=name, version=old) for name in ("1", "2")]
    messages, memory = access_alerts(looks, {}, NOW)
    (message,) = messages
    assert message.severity == "error"
    assert not message.good
    assert message.document["severity"] == "error"
    assert message.subject == "Graph API version: v20.0 ended on 2026-09-24"
    assert set(memory) == {"1", "2"}
    assert access_alerts(looks, memory, NOW)[0] == []


def test_memory_is_the_latest_look() -> None:
    rows = [
        {"dataset_id": "1", "checked_at": NOW, "told": "token=ended"},
        {"dataset_id": "1", "checked_at": NOW - DAY, "told": "token=ends_in_1"},
    ]
    assert previous_alerts(rows) == {"1": "token=ended"}
