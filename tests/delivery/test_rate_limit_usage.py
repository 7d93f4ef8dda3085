"""Meta's headers about limits: minutes here, seconds there, and nonsense nowhere."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.delivery.sending.rate_limit_usage import load, requested_wait
from tests.helpers.delivery_harness import NOW


def business(**use: object) -> dict[str, str]:
    return {"X-Business-Use-Case-Usage": json.dumps({"123": [{"type": "ads_management", **use}]})}


def account(**use: object) -> dict[str, str]:
    return {"X-Ad-Account-Usage": json.dumps(use)}


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"Retry-After": "7"}, timedelta(seconds=7)),
        ({"Retry-After": "Fri, 20 Nov 2026 12:00:30 GMT"}, timedelta(seconds=30)),
        ({"Retry-After": "Fri, 20 Nov 2026 11:00:00 GMT"}, timedelta(0)),
        ({"Retry-After": "soon"}, None),
        (business(estimated_time_to_regain_access=5), timedelta(minutes=5)),
        (business(estimated_time_to_regain_access=0, call_count=40), None),
        (account(acc_id_util_pct=100, reset_time_duration=300), timedelta(seconds=300)),
        (account(acc_id_util_pct=99.5, reset_time_duration=300), None),
        (
            business(estimated_time_to_regain_access=2) | {"Retry-After": "7"},
            timedelta(minutes=2),
        ),
        ({"X-Business-Use-Case-Usage": "{broken"}, None),
        ({"X-Business-Use-Case-Usage": '{"1": 3, "2": [7]}'}, None),
        (business(estimated_time_to_regain_access="5"), None),
        (business(estimated_time_to_regain_access=True), None),
    ],
)
def test_how_long_to_stay_away(headers: dict[str, str], pause: timedelta | None) -> None:
    assert requested_wait(headers, NOW) == pause


def test_the_nearest_limit_counts() -> None:
    headers = {
        "X-App-Usage": json.dumps({"call_count": 28, "total_time": 25, "total_cputime": 95}),
        **business(call_count=60),
    }
    assert load(headers) == pytest.approx(0.95)
    assert load({}) == 0


@given(
    st.dictionaries(
        st.sampled_from(
            ["Retry-After", "X-App-Usage", "X-Business-Use-Case-Usage", "X-Ad-Account-Usage"]
        ),
        st.text(max_size=30)
        | st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["call_count", "estimated_time_to_regain_access", "acc_id_util_pct"]
                    ),
                    inner,
                )
            ),
            max_leaves=8,
        ).map(json.dumps),
    )
)
def test_no_header_can_break_a_delivery(headers: dict[str, str]) -> None:
    pause = requested_wait(headers, NOW)
    assert pause is None or pause >= timedelta(0)
    assert load(headers) >= 0
