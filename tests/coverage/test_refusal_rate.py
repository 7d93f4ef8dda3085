"""Refused orders are compared with the share that the shop always has."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from capi_assets.coverage.anomalies.hour_signals import hour_signals
from capi_assets.coverage.anomalies.refusal_rate import RefusalBaseline
from tests.helpers.regular_weeks import hour_of, weeks

NOON = hour_of(2, 2, 12)


def baseline(every: int = 10, from_on: datetime | None = None, each: int = 1) -> RefusalBaseline:
    """One order of every `every`th hour is refused; `each` of every hour from a moment on."""

    def change(at: datetime) -> dict[str, Any] | None:
        if from_on and at >= from_on:
            return {"invalid": each}
        return {"invalid": 1} if int(at.timestamp()) // 3600 % every == 0 else None

    signals = hour_signals([weeks(2.5, change)], hour_of(9, 0, 0))
    assert signals is not None
    return RefusalBaseline.learn(signals)


@pytest.mark.parametrize(("refused", "more"), [(1, False), (3, False), (5, True), (8, True)])
def test_three_refused_of_forty_may_be_chance_where_one_in_three_hundred_is_usual(
    refused: int, more: bool
) -> None:
    assert baseline().is_more(NOON, refused, 40, 0.05) is more


def test_a_shop_that_always_loses_a_tenth_is_flagged_for_more_alone() -> None:
    usual = baseline(every=1, from_on=hour_of(0, 0, 0), each=4)
    assert usual.is_more(NOON, 6, 40, 0.05) is False
    assert usual.is_more(NOON, 22, 40, 0.05) is True


@pytest.mark.parametrize(("each", "more"), [(4, False), (11, False), (14, True)])
def test_nothing_beyond_three_tenths_is_ever_usual(each: int, more: bool) -> None:
    usual = baseline(every=1, from_on=hour_of(0, 0, 0), each=each)
    assert usual.is_more(NOON, each, 40, 0.05) is more


def test_a_new_loss_is_not_usual_for_weeks() -> None:
    usual = baseline(every=10, from_on=hour_of(1, 6, 0), each=4)
    assert usual.is_more(NOON, 4, 40, 0.05) is True


def test_a_loss_that_stays_small_adds_up_over_a_day() -> None:
    assert baseline().is_more(NOON, 3, 40, 0.05) is False
    assert baseline(from_on=hour_of(2, 2, 6), each=3).is_more(NOON, 3, 40, 0.05) is True


def test_hours_after_a_run_of_refusals_are_not_flagged_for_it() -> None:
    def change(at: datetime) -> dict[str, Any] | None:
        if hour_of(2, 2, 6) <= at < hour_of(2, 2, 10):
            return {"invalid": 12}
        return {"invalid": 1} if at.hour in (9, 19) else None

    signals = hour_signals([weeks(2.5, change)], hour_of(9, 0, 0))
    assert signals is not None
    assert RefusalBaseline.learn(signals).is_more(NOON, 1, 15, 0.05) is False


def test_there_is_no_baseline_in_the_first_days() -> None:
    assert baseline().is_more(hour_of(0, 4, 23), 3, 40, 0.05) is None
    assert baseline().is_more(hour_of(0, 5, 1), 1, 40, 0.05) is False


def test_outages_do_not_make_refusals_usual() -> None:
    def change(at: datetime) -> dict[str, Any] | None:
        return {"invalid": 30} if at.hour in (9, 10, 11) else None

    signals = hour_signals([weeks(2.5, change)], hour_of(9, 0, 0))
    assert signals is not None
    assert RefusalBaseline.learn(signals).is_more(NOON, 4, 40, 0.05) is True
