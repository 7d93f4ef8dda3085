"""The sandbox takes what the builder calls ready and refuses what it calls invalid, both ways.

The judge was written from Meta's pages without a look at the builder. Where they may differ is
said in `sandbox_differences`; whatever else differs fails here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from order_rows import APP_DATA, EXTINFO, PLACED, bare, build, digest
from order_strategies import fine_changes, kinds
from sandbox_differences import DIFFERENCES
from test_refusals import CASES
from unchecked_events import reasons_of, unchecked_event

from capi_assets.meta.limits import ACTION_SOURCES, MESSAGING_EVENTS
from capi_assets.meta.refusals import REFUSALS
from capi_assets.sandbox.rules.judge import judge

Row = dict[str, Any]

NOW = PLACED + timedelta(minutes=10)
SUBCODES = {refusal.reason: refusal.subcode for refusal in REFUSALS}


def unexplained(event: Row, reasons: set[str]) -> set[str]:
    """The reasons for which the judge has to refuse the event too."""
    return reasons - {d.reason for d in DIFFERENCES if d.reason in reasons and d.applies(event)}


def assert_agreement(orders: list[Row]) -> None:
    """Holds every order against the judge: its payload, or the event it would have made."""
    for order, built, reasons in zip(orders, build(*orders), reasons_of(orders), strict=True):
        unchecked = unchecked_event(order)
        refusal = judge(unchecked, NOW)
        if built["verdict"] == "ready":
            assert not reasons
            assert judge(orjson.loads(built["payload"]), NOW) is None
            assert refusal is None, "the unchecked event of a ready order is refused"
            continue
        assert built["reason"] in reasons
        ours = unexplained(unchecked, reasons)
        if not ours:
            assert refusal is None, f"no difference: the judge also refuses {reasons}"
        else:
            assert refusal is not None, f"the judge takes what is refused for {ours}"
            known = {SUBCODES[reason] for reason in ours}
            assert None in known or refusal.subcode in known


@pytest.mark.parametrize("reason", CASES)
def test_they_agree_on_every_case_of_every_refusal(reason: str) -> None:
    refused, accepted = CASES[reason]
    times = {} if reason == "implausible_event_time" else {"occurred_at": PLACED}
    assert_agreement([row | times for row in refused])
    assert_agreement([row | {"occurred_at": PLACED} for row in accepted])


# One thing wrong each; put on any good order, alone or together.
DEFECTS: list[Row] = [
    *({name: None} for name in ("order_id", "event_name", "event_id", "occurred_at")),
    {"event_name": "n" * 51},
    {"event_id": "i" * 257},
    *({"occurred_at": datetime(year, 1, 1, tzinfo=UTC)} for year in (1970, 1999, 2287)),
    *({"action_source": source} for source in (None, "offline", *sorted(ACTION_SOURCES))),
    *({"custom_data": text} for text in ("[1]", "{", "null", '{"predicted_ltv":"much"}')),
    {"custom_data": '{"customer_segmentation":"old","value":"5"}', "value": 5.0},
    *({"custom_data": json.dumps({"original_event_data": one})} for one in ("x", [], {"a": 1})),
    *({"contents": text} for text in ("{}", "[3]", "[{}]", '[{"id":" "}]', '[{"id":true}]')),
    {"contents": '[{"id":"a","delivery_category":"by_drone"}]'},
    *({"content_ids": text} for text in ("a,b", "[[]]", "[1.5]")),
    *({"app_data": text} for text in (None, "[]", '{"vendor_id":"v"}', '{"extinfo":[]}')),
    {"app_data": json.dumps(APP_DATA | {"colour": "red"})},
    {"app_data": json.dumps(APP_DATA | {"application_tracking_enabled": "x"})},
    {"app_data": json.dumps(APP_DATA | {"advertiser_tracking_enabled": "x"})},
    {"app_data": json.dumps(APP_DATA | {"extinfo": [*EXTINFO[:4], " ", *EXTINFO[5:]]})},
    *({"user_data": text} for text in ("3", '{"page_id":[]}', '{"shoe_size":44}', None)),
    *({"user_data": json.dumps({key: "1"})} for key in ("page_id", "ig_account_id", "ctwa_clid")),
    *({key: "not a digest"} for key in ("em", "ph", "country")),
    *({"em": text} for text in (" ", digest("x").upper(), f"{digest('x')}  {digest('y')}")),
    *({"lead_id": text} for text in ("12", "٣" * 15)),
    *({name: None} for name in ("client_user_agent", "event_source_url", "messaging_channel")),
    *({"messaging_channel": channel} for channel in ("messenger", "instagram", "sms")),
    *({"event_name": name} for name in ("Lead", "Qualified lead", *sorted(MESSAGING_EVENTS)[:3])),
    dict.fromkeys(("em", "fbc", "client_ip_address", "user_data")),
    dict.fromkeys(("em", "fbc", "client_ip_address")) | {"fn": digest("a"), "ge": digest("f")},
    *({"value": value} for value in (None, float("nan"), float("inf"), -0.01, 0.0)),
    *({"value": None, "custom_data": json.dumps({"value": v})} for v in ("a lot", True, "1e999")),
    *({"currency": currency} for currency in (None, "US$", "MRU", "XAU", "ıdr", " eur ")),
    {"num_items": -1},
    *({"data_processing_options": text} for text in ("LDU", '["ldu"]', "{}", "[]", '["LDU"]')),
    {"data_processing_options": '["LDU"]', "data_processing_options_country": 1},
    {"data_processing_options": '["LDU"]', "data_processing_options_state": 999},
    {"data_processing_options": '["LDU"]', "data_processing_options_country": 49},
    {"data_processing_options": '["LDU"]', "client_ip_address": None},
]
TOGETHER = st.lists(st.sampled_from(DEFECTS), max_size=3)
ORDERS = st.builds(
    lambda kind, changes, defects: kind(
        **{**changes, "occurred_at": PLACED, **{k: v for one in defects for k, v in one.items()}}
    ),
    kinds | st.sampled_from([partial(bare, source) for source in sorted(ACTION_SOURCES)]),
    fine_changes,
    TOGETHER,
)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(ORDERS, min_size=8, max_size=16))
def test_they_agree_on_orders_with_any_mixture_of_defects(orders: list[Row]) -> None:
    assert_agreement(orders)
