"""Meta's match key coverage compared with ours, and the sentences about both comparisons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.contracts.base import conform
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.coverage.reconciliation.dataset_quality import (
    OurShares,
    compare_quality,
    our_shares,
)
from capi_assets.coverage.reconciliation.text import (
    advice,
    hour_off,
    hour_sentence,
    hour_table,
    quality_off,
    quality_sentence,
    quality_table,
    unread_words,
)
from capi_assets.hours import HOUR
from capi_assets.meta.graph.errors import Body, MetaError, classify
from capi_assets.meta.graph.insights import QUALITY
from capi_assets.meta.graph.reads import FailedRead, ReadError

D = "1234"
DAY = datetime(2026, 11, 20, tzinfo=UTC)
NOW = DAY + timedelta(hours=5)
_T = pa.timestamp("us", tz="UTC")
_EVENTS = pa.schema(
    [
        *((n, pa.string()) for n in ("dataset_id", "event_name", "event_id", "action_source")),
        ("occurred_at", _T),
        ("verdict", pa.string()),
        ("match_keys", pa.string()),
    ]
)
_KEYS = ("dataset_id", "event_name", "event_id", "status")


def shares_of(*events: tuple[str, str, str]) -> dict[tuple[str, str], OurShares]:
    """Events as (match keys, status, action source)."""
    rows = [
        {
            "dataset_id": D,
            "event_name": "Purchase",
            "event_id": str(number),
            "action_source": source,
            "occurred_at": DAY,
            "verdict": "ready",
            "match_keys": keys,
            "status": status,
        }
        for number, (keys, status, source) in enumerate(events)
    ]
    results = pa.Table.from_pylist([{k: row[k] for k in _KEYS} for row in rows])
    return our_shares(pa.Table.from_pylist(rows, _EVENTS), results, DAY - 167 * HOUR)


def told(**values: float) -> pa.Table:
    rows = [
        {"event_name": "Purchase", "measure": "match_key", "key": key, "value": value}
        for key, value in values.items()
    ]
    return pa.Table.from_pylist(rows, QUALITY)


def compare(quality: pa.Table, ours: Any, why: str | None = None) -> list[dict[str, Any]]:
    table = conform(compare_quality(DAY, D, quality, ours, NOW, why), DatasetQuality)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_only_delivered_website_events_count() -> None:
    ours = shares_of(
        ("em ph", "delivered", "website"),
        ("em", "delivered", "website"),
        ("ph", "pending", "website"),
        ("ph", "delivered", "physical_store"),
    )
    assert ours == {(D, "Purchase"): OurShares(2, {"em": 2, "ph": 1})}
    assert ours[D, "Purchase"].percent("ph") == 50
    assert ours[D, "Purchase"].percent("event_id") == 100


def test_without_events_there_are_no_shares() -> None:
    assert shares_of(("em", "pending", "website")) == {}


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(90, "agree"), (85.1, "agree"), (95, "agree"), (84.9, "meta_has_less"), (95.1, None)],
)
def test_a_few_points_are_no_difference(value: float, verdict: str | None) -> None:
    ours = {(D, "Purchase"): OurShares(10_000, {"em": 9_000})}
    [row] = compare(told(em=value), ours)
    assert row["verdict"] == (verdict or "meta_has_more")
    assert row["our_value"] == 90
    assert row["difference"] == pytest.approx(value - 90)
    assert quality_off([row]) is (row["verdict"] != "agree")


def test_few_events_are_given_more_room() -> None:
    few, many = OurShares(20, {"em": 20}), OurShares(2_000, {"em": 2_000})
    for shares, verdict in ((few, "agree"), (many, "meta_has_less")):
        [row] = compare(told(em=85), {(D, "Purchase"): shares})
        assert row["verdict"] == verdict


def test_keys_that_one_side_alone_has_are_shown_and_not_compared() -> None:
    ours = {
        (D, "Purchase"): OurShares(1_000, {"em": 1_000, "ph": 500}),
        (D, "Lead"): OurShares(5, {"em": 5}),
        ("other", "Purchase"): OurShares(9, {"em": 9}),
    }
    rows = compare(told(em=100, new_key=3), ours)
    found = {(r["event_name"], r["key"]): r for r in rows}
    assert {name: row["verdict"] for name, row in found.items()} == {
        ("Purchase", "em"): "agree",
        ("Purchase", "new_key"): "not_compared",
        ("Purchase", "ph"): "not_compared",
        ("Lead", "em"): "not_compared",
    }
    assert found["Purchase", "ph"]["our_value"] == 50
    assert found["Purchase", "new_key"]["meta_value"] == 3
    assert not quality_off(rows)


def test_a_day_has_a_sentence_with_the_difference_and_what_to_check() -> None:
    ours = {(D, "Purchase"): OurShares(1_000, {"em": 1_000, "ph": 500})}
    assert quality_sentence(DAY, compare(told(em=100, ph=50), ours)) == (
        "2026-11-20: 2 shares of keys agree with Meta's."
    )
    less = compare(told(em=61, ph=50), ours)
    said = quality_sentence(DAY, less)
    assert said.startswith("2026-11-20: em of Purchase: 61.0 % at Meta, 100.0 % in our events.")
    assert "normalisation" in said
    assert ["Purchase", "match key em", 61.0] in [row[:3] for row in quality_table(less).rows]
    more = quality_sentence(DAY, compare(told(em=100, ph=90), ours))
    assert "another integration sends" in more
    why = unread_words(
        FailedRead(classify(403, MetaError(Body.ERROR, 200)), 403, 200), "Meta's Dataset Quality"
    )
    unread = compare(QUALITY.empty_table(), ours, why)
    assert quality_sentence(DAY, unread).startswith(
        "2026-11-20: Meta's Dataset Quality cannot be read with this token: it may not read them"
    )
    assert quality_sentence(DAY, unread).endswith("; no comparison possible.")
    assert not quality_off(unread)
    assert quality_table(unread).rows == []


def row(**values: Any) -> dict[str, Any]:
    return {
        "hour": DAY,
        "dataset_id": D,
        "event_name": "Purchase",
        "meta_events": 40,
        "our_delivered_by_event_time": 50,
        "our_delivered_by_receipt_time": 48,
        "basis": "event_time",
        "difference": -10,
        "may_be_more": 0,
        "may_be_fewer": 0,
        "unexplained": -10,
        "tolerance": 6,
        "verdict": "meta_has_less",
        "sustained": True,
        "why": None,
        "checked_at": NOW,
    } | values


def test_an_hour_has_a_sentence_with_both_counts() -> None:
    off = row()
    sentence = hour_sentence(DAY, [off])
    for part in ("2026-11-20-00:00", "40 Purchase", "50 delivered", "10 fewer", "up to 6"):
        assert part in sentence
    assert hour_off([off])
    assert "Events Manager" in advice([off])
    alone = row(sustained=False)
    assert hour_sentence(DAY, [alone]).endswith("A single hour is not reported as a loss.")
    assert not hour_off([alone])
    assert advice([alone]) == ""
    more = row(verdict="meta_has_more", meta_events=60, difference=10, unexplained=10)
    assert "10 more than" in hour_sentence(DAY, [more])
    assert "twice" in advice([more])
    fine = row(verdict="agree", sustained=False, meta_events=50, difference=0, unexplained=0)
    assert "Meta counts 50 events, our ledger 50 delivered" in hour_sentence(DAY, [fine])
    gone = row(verdict="not_materialized", sustained=False)
    assert "delivery_results is not materialized" in hour_sentence(DAY, [gone])
    assert "no dataset has a token" in hour_sentence(DAY, [])


def test_names_from_data_stay_cells_of_the_table() -> None:
    table = hour_table([row(event_name="a|b*c\nd"), row(event_name=None)])
    ((_, name, *_),) = table.rows
    assert name == "a|b*c\nd"


@pytest.mark.parametrize("code", [None, 1, 100, 104, 190, 200, 368, 2500, 4711, 80004])
@pytest.mark.parametrize("subcode", [None, 33, 2804050, 2804133])
def test_every_read_error_has_a_text(code: int | None, subcode: int | None) -> None:
    unread = FailedRead(classify(400, MetaError(Body.JSON, code, subcode)), 400, code, subcode)
    words = unread_words(unread)
    assert words.startswith("Meta's own counts cannot be read")
    assert not words.endswith(".")
    assert str(code or "HTTP 400") in words
    assert ("with this token" in words) is (unread.obstacle is ReadError.MAY_NOT)
