"""Gaps written by hand, and alert states that go through the sensor's cursor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.findings import FINDING
from capi_assets.coverage.gaps import Gap, gaps_of_hour
from capi_assets.coverage.policy import WARN
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import H


def sample_gap(cause: Cause, **fields: Any) -> Gap:
    """A gap of the hour H that misses nothing, with these fields instead."""
    finding = dict.fromkeys(FINDING.names) | {"cause": cause, "severity": WARN, "missing": 0}
    (gap,) = gaps_of_hour({"hour": H, "findings": [finding]})
    return replace(gap, **fields)


def through_cursor(state: AlertState) -> AlertState:
    """The state as the next tick reads it."""
    return SensorState.from_json(SensorState(alerts=state).to_json()).alerts
