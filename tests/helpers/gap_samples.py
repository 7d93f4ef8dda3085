"""Gaps written by hand, and alert states that go through the sensor's cursor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.flags import WARN
from capi_assets.coverage.gaps import Gap, gap_of_hour
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import H


def sample_gap(cause: Cause, **fields: Any) -> Gap:
    """A gap of the hour H that misses nothing, with these fields instead."""
    row = dict.fromkeys(
        ("missing_money", "recoverable", "recoverable_money", "correctable", "correctable_money",
         "unmatched", "orders_expected_missing", "orders_with_fewer_keys", "first_deadline",
         "visits_until", "visits_remaining", "reasons", "evidence")
    )  # fmt: skip
    hour = {"hour": H, "cause": cause, "severity": WARN, "missing": 0}
    return replace(gap_of_hour({**row, **hour}), **fields)


def through_cursor(state: AlertState) -> AlertState:
    """The state as the next tick reads it."""
    return SensorState.from_json(SensorState(alerts=state).to_json()).alerts
