"""The calendar of Graph versions warns ahead, and knows what it does not know."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.meta.graph.versions import ENDS, NEWEST, version_outlook
from capi_assets.sandbox import versions as metas
from capi_assets.settings import Settings

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def before(version: str, days: int) -> datetime:
    end = ENDS[version]
    assert end is not None
    return datetime.combine(end, time(12), UTC) - timedelta(days=days)


@pytest.mark.parametrize(
    ("days", "verdict"),
    [(61, "ok"), (60, "warning"), (15, "warning"), (14, "error"), (1, "error"), (0, "error")],
)
def test_it_warns_sixty_days_ahead_and_fails_at_fourteen(days: int, verdict: str) -> None:
    found = version_outlook("v22.0", before("v22.0", days))
    assert (found.days_left, found.verdict) == (days, verdict)
    assert (f"CAPI_GRAPH_VERSION={NEWEST}" in found.words) == (verdict != "ok")


def test_the_default_version_is_the_newest_and_has_no_end() -> None:
    assert Settings().graph_version == DatasetAccess("1", "t").version == NEWEST
    found = version_outlook(NEWEST, NOW, NEWEST)
    assert (found.verdict, found.ends, found.days_left) == ("ok", None, None)


def test_a_version_that_ended_says_who_answers() -> None:
    found = version_outlook("v20.0", NOW, "v21.0")
    assert (found.verdict, found.ends) == ("error", date(2026, 9, 24))
    assert "Meta answers with v21.0 instead" in found.words
    assert version_outlook("v3.2", NOW).verdict == "error"


def test_an_answer_of_another_version_is_worth_a_warning() -> None:
    assert version_outlook("v25.0", NOW, "v24.0").verdict == "warning"


@pytest.mark.parametrize("version", ["v27.0", "v26.1", "v24.5"])
def test_a_version_that_is_not_known_is_told_so(version: str) -> None:
    found = version_outlook(version, NOW)
    assert (found.verdict, found.days_left) == ("warning", None)


def test_our_calendar_and_the_sandboxs_own_agree() -> None:
    assert ENDS == metas.LAST_DAYS
    for version, end in ENDS.items():
        if end is None:
            continue
        for days in (-1, 0, 1):
            noon = datetime.combine(end, time(12), UTC) + timedelta(days=days)
            gone = (version_outlook(version, noon).days_left or 0) <= 0
            assert gone == (metas.responding_version(version, noon) != version)
