"""What the report states in the cases in which a reader would otherwise be misled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.commands.report.reconciliation import Agreement, agreement
from capi_assets.commands.report.text import gap_card, totals_table
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incident_history import IncidentHistory, incident_histories
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR
from tests.helpers.gap_samples import sample_gap

H = datetime(2026, 11, 20, 13, tzinfo=UTC)
NOW = H + timedelta(days=3)


def history(*gaps: Gap) -> IncidentHistory:
    (one,) = incident_histories(GapHistory(gap, 0, {}, None, None, {}) for gap in gaps)
    return one


@pytest.mark.parametrize(
    ("of", "state", "sentence"),
    [
        (
            sample_gap(Cause.VISITS_MISSING, unmatched=9),
            "fewer match keys",
            "All orders arrived, but with fewer match keys, because visits are missing.",
        ),
        (
            sample_gap(Cause.MATCH_KEYS_LOST, orders_with_fewer_keys=9),
            "fewer match keys",
            "All orders arrived, but with fewer match keys, because orders have too few match"
            " keys.",
        ),
        (
            sample_gap(
                Cause.ORDERS_MISSING,
                orders_expected_missing=9,
                first_deadline=NOW + timedelta(days=1),
            ),
            "open",
            "About 9 orders are missing, because fewer orders arrived than visits suggest.",
        ),
        (
            sample_gap(Cause.ORDERS_MISSING, orders_expected_missing=9),
            "lost",
            "About 9 orders are missing, because fewer orders arrived than visits suggest.",
        ),
    ],
)
def test_missing_orders_or_match_keys_are_never_called_recovered(
    of: Gap, state: str, sentence: str
) -> None:
    found = gap_card(history(of), 1, NOW)
    assert (found.state, found.sentence) == (state, sentence)
    assert not history(of).is_over


def test_gaps_of_one_dataset_that_died_are_one_card_with_their_causes_in_turn() -> None:
    until = NOW + timedelta(days=4)
    gaps = [
        sample_gap(
            Cause.TOKEN if n < 12 else Cause.PERMISSION,
            id=f"{n}",
            first_hour=H + n * HOUR,
            last_hour=H + n * HOUR,
            missing={H + n * HOUR: 3},
            recoverable=3,
            first_deadline=until,
        )
        for n in range(0, 24, 2)
    ]
    card = gap_card(history(*gaps), 1, NOW)
    facts = dict(card.facts)
    assert facts["Ended"] == "2026-11-21 12:00 UTC, 12 hours affected"
    assert facts["Missing at first"] == "36 orders"
    assert facts["Cause"] == (
        "The access token is not accepted, then the token may not write to the dataset (from"
        " 2026-11-21 01:00)."
    )
    assert Cause.TOKEN.remedy in card.to_do
    assert Cause.PERMISSION.remedy in card.to_do
    assert card.to_do.endswith("2026-11-20-21:00 and 7 more)")


def test_a_gap_that_outlives_its_visits_says_what_is_lost() -> None:
    late = NOW + timedelta(days=1)
    unrun = sample_gap(Cause.NOT_MATERIALIZED, missing={H: None}, first_deadline=late, no_visits=1)
    facts = dict(gap_card(history(unrun), 1, NOW).facts)
    assert facts["Visits"].endswith("are sent with only their own match keys.")
    token = sample_gap(Cause.TOKEN, missing={H: 4}, recoverable=4, first_deadline=late, no_visits=1)
    found = gap_card(history(token), 1, NOW)
    assert "Visits" not in dict(found.facts)
    assert "materialize only delivery_results and attribution_health" in found.to_do


def counted(n: int, verdict: str = "agree", **columns: Any) -> dict[str, Any]:
    """Hour `n` of `meta_stats`: ten events on both sides."""
    return {
        "hour": H + timedelta(hours=n), "dataset_id": "42", "event_name": "Purchase",
        "meta_events": 10, "our_delivered_by_event_time": 10, "our_delivered_by_receipt_time": 8,
        "basis": "event_time", "difference": 0, "unexplained": 0, "tolerance": 2,
        "verdict": verdict, "sustained": False, "why": None, **columns,
    }  # fmt: skip


def agreed(*rows: dict[str, Any]) -> Agreement:
    found = agreement(rows)
    assert found is not None
    return found


def test_counts_that_agree_are_stated_in_a_sentence() -> None:
    assert agreement([]) is None
    found = agreed(counted(0), counted(1), counted(2, "too_early", meta_events=None))
    assert (found.state, found.mood) == ("agrees", "good")
    assert found.sentence == (
        "In 2 hours that could be compared, Meta counts 20 events and our records show 20"
        " delivered; there is no lasting difference."
    )
    assert found.notes == ["1 hour not compared: Meta's counts had not settled yet."]
    assert found.table == [["Purchase", "20", "20", "0", "0", "0"]]


def test_a_difference_that_lasts_names_its_hours_and_what_to_look_for() -> None:
    more = {"meta_events": 20, "difference": 10, "unexplained": 10, "sustained": True}
    rows = [counted(n, "meta_has_more", **more) for n in range(12)]
    found = agreed(*rows, counted(12, dataset_id="43", basis="receipt_time"))
    assert (found.state, found.mood) == ("differs", "bad")
    assert "in 12 of them there is a lasting, unexplained difference" in found.sentence
    assert sum(": Meta counts 20 Purchase events" in note for note in found.notes) == 10
    assert "And 2 more hours with a similar difference." in found.notes
    assert any("plug-in" in note for note in found.notes)
    assert found.table == [
        ["42", "Purchase", "240", "120", "+120", "+120", "12"],
        ["43", "Purchase", "10", "8", "0", "0", "0"],
    ]


def test_one_hour_alone_is_not_called_a_difference() -> None:
    fewer = counted(0, "meta_has_less", meta_events=5, difference=-5, unexplained=-5)
    assert agreed(fewer, counted(1)).state == "agrees"


def test_a_token_that_may_not_read_is_told_and_nothing_is_claimed() -> None:
    may_not = counted(0, "cannot_read", meta_events=None, event_name="", why="the token may not")
    found = agreed(may_not)
    assert (found.state, found.mood, found.table) == ("not known", "warn", [])
    assert found.sentence == "No hour could be compared with Meta's counts."
    assert found.notes == ["1 hour not compared: the token may not."]


@pytest.mark.parametrize(
    ("datasets", "columns"),
    [(["42", "42"], ["Event"]), (["42", ""], ["Event"]), (["42", "43"], ["Dataset", "Event"])],
)
def test_datasets_are_named_only_where_there_are_several(
    datasets: list[str], columns: list[str]
) -> None:
    schema = arrow_schema(AttributionHealth)
    zeros = {
        f.name: 0 for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)
    }
    rows = [
        {**zeros, "hour": H, "dataset_id": of, "event_name": "Purchase", "orders": 1}
        for of in datasets
    ]
    report: Any = SimpleNamespace(health=pa.Table.from_pylist(rows, schema=schema))
    header, _ = totals_table(report)
    assert header[: len(columns)] == columns
