"""Answers of Meta's that are about no event, over HTTP and through Dagster: nothing is settled as
rejected, the gap names the cause and the remedy, and a run after the fault delivers all once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.defs.conversions import delivery_results
from capi_assets.delivery.causes import Cause
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.hours import hour_key
from capi_assets.policies import coverage_policy, delivery_policy
from capi_assets.settings import Settings
from tests.helpers.asset_harness import AssetHarness

ORDERS = 6
ALL_SPLIT = 2 * ORDERS - 1
"""Requests of a run that tries each of the orders alone."""


@dataclass(frozen=True)
class Case:
    """A fault of the sandbox, and what a run under it leaves behind.

    `reason` is that in `delivery_results`, `remedy` a part of the gap's, `requests` how many the
    run makes, and `state` that of the events in the ledger.
    """

    kind: str
    reason: str
    cause: Cause
    remedy: str
    requests: int
    settings: dict[str, Any] = field(default_factory=dict)
    state: str = "pending"

    def __str__(self) -> str:
        return "-".join([self.kind, *map(str, self.settings.values())])


CASES = [
    Case("app_secret_required", "app_secret_wrong", Cause.TOKEN, "CAPI_APP_SECRET", 1),
    Case("permission_missing", "setup_refused", Cause.PERMISSION, "ads_management", 1),
    Case("unknown_path", "wrong_address", Cause.PERMISSION, "CAPI_GRAPH_URL", 1),
    *(
        Case("not_linked", "messaging_not_linked", Cause.PERMISSION, "Link the dataset", ALL_SPLIT,
             {"subcode": subcode})
        for subcode in (2804131, 2804065)
    ),
    Case("future_event_time", "event_time_in_future", Cause.NOT_MATERIALIZED, "Check the clock",
         ALL_SPLIT),
    *(
        Case("unknown_error", "meta_down", Cause.META_DOWN, "Once Meta answers", 1,
             {"accepts": accepts}, state="unknown")
        for accepts in (True, False)
    ),
    Case("broken_title", "nothing_accepted", Cause.META_DOWN, "any proxy in between", ALL_SPLIT),
    Case("request_too_large", "nothing_accepted", Cause.META_DOWN, "any proxy in between",
         ALL_SPLIT),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(settings: Settings) -> Policy:
        return replace(delivery_policy(settings), tries=1)

    monkeypatch.setattr(delivery_results, "delivery_policy", policy)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_that_is_about_no_event_rejects_none(world: AssetHarness, case: Case) -> None:
    hour = world.hour(2)  # run with the hour after it, which may be expected already
    world.land_orders(hour, ORDERS)
    world.meta.set_fault(case.kind, **case.settings)
    assert not world.run(hour, world.hour(1))
    assert world.requests() == case.requests
    assert statuses(world, hour) == {(case.state, case.reason): ORDERS}
    assert set(ledger_state(world, hour)["state"].to_pylist()) == {case.state}
    (gap,) = open_gaps(world)
    assert (gap.cause, gap.orders, gap.recoverable) == (case.cause, ORDERS, ORDERS)
    assert case.remedy in gap.remedy
    verdict = verdict_of(world, hour)
    assert not verdict.passed
    assert verdict.metadata["cause"].value == case.cause
    assert gap.headline in (verdict.description or "")

    world.meta.clear_faults()
    assert world.run(hour, world.hour(1))
    assert statuses(world, hour) == {("delivered", None): ORDERS}
    assert set(ledger_state(world, hour)["state"].to_pylist()) == {"delivered"}
    received = world.received()
    assert (received["accepted"], received["doubled"]) == (ORDERS, 0)
    assert open_gaps(world) == []
    assert verdict_of(world, hour).passed


def test_half_an_emoji_in_metas_message_is_stored_with_a_replacement(world: AssetHarness) -> None:
    hour = world.hour(2)
    world.land_orders(hour, ORDERS)
    world.meta.set_fault("broken_title")
    assert not world.run(hour)
    messages = ledger_state(world, hour)["message"].to_pylist()
    assert messages == ["Invalid Parameter Value \ufffd"] * ORDERS


def test_an_event_is_rejected_once_another_of_its_dataset_is_accepted(world: AssetHarness) -> None:
    """While everything is refused it may be the way; once others pass it is the event."""
    hour, next_hour = world.hour(3), world.hour(2)
    world.land_orders(hour, 1)
    world.land_orders(next_hour, ORDERS)
    refusal = {"code": 100, "subcode": 2804019}
    world.meta.set_fault("error", **refusal)
    assert not world.run(hour, next_hour)
    assert statuses(world, hour) == {("pending", "nothing_accepted"): 1}
    assert statuses(world, next_hour) == {("pending", "nothing_accepted"): ORDERS}

    world.meta.clear_faults()
    (guilty,) = world.read("matched_events", [hour])
    world.meta.set_fault("error", event_id=guilty["event_id"], **refusal)
    assert world.run(hour, next_hour)
    assert statuses(world, hour) == {("rejected", "invalid_parameter_value"): 1}
    assert statuses(world, next_hour) == {("delivered", None): ORDERS}
    assert world.received()["accepted"] == ORDERS


def test_orders_with_click_ids_that_meta_refuses_are_delivered_without_them(
    world: AssetHarness,
) -> None:
    hour = world.hour(2)
    clicks = {
        "fbc": "fb.1.1795700000000.IwAR0%20abc",
        "fbclid": "{{fbclid}}",
        "event_source_url": "https://shop.example/thanks?fbclid=IwAR0abc%2Fdef%2BGHI",
    }
    for field_name, value in clicks.items():
        world.land_orders(hour, 1, f"{field_name}.jsonl", **{field_name: value})
    assert world.run(hour)
    assert statuses(world, hour) == {("delivered", None): len(clicks)}
    assert world.requests() == 1


def open_gaps(world: AssetHarness) -> list[Gap]:
    return find_gaps(world.lake, coverage_policy(world.settings()), world.now).gaps


def statuses(world: AssetHarness, hour: datetime) -> Counter[tuple[str, str | None]]:
    rows = world.read("delivery_results", [hour])
    return Counter((row["status"], row["reason"]) for row in rows)


def ledger_state(world: AssetHarness, hour: datetime) -> pa.Table:
    events = world.lake.read("matched_events", [hour], arrow_schema(MatchedEvents))
    with Ledger(f"sqlite:///{world.root / 'ledger.db'}") as ledger:
        return ledger.state_of(events)


def verdict_of(world: AssetHarness, hour: datetime) -> dg.AssetCheckEvaluation:
    """The latest verdict on an hour."""
    key = dg.AssetCheckKey(dg.AssetKey("attribution_health"), "coverage_above_threshold")
    storage = world.instance.event_log_storage
    evaluations = (
        record.evaluation for record in storage.get_asset_check_execution_history(key, limit=10)
    )
    return next(
        evaluation
        for evaluation in evaluations
        if isinstance(evaluation, dg.AssetCheckEvaluation)
        and evaluation.partition == hour_key(hour)
    )
