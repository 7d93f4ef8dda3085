"""The sandbox takes what the builder calls ready and refuses what it calls invalid, both ways.

The judge was written from Meta's pages without a look at the builder. Where they may differ is
said in `sandbox_differences`; whatever else differs fails here.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import pyarrow as pa
import pycountry
import pytest

from capi_assets.delivery.ledger.schema import STATE
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.meta.events.build import build_events
from capi_assets.meta.events.refusals import REFUSALS
from capi_assets.meta.limits import ACTION_SOURCES, CURRENCIES, DELIVERY_MARGIN
from capi_assets.sandbox.rules import detail
from capi_assets.sandbox.rules.validate import validate_event
from tests.helpers.defective_orders import generated
from tests.helpers.order_rows import PLACED, app, bare, build, purchase, table, whatsapp
from tests.helpers.sandbox_differences import DIFFERENCES, always
from tests.helpers.unchecked_events import reasons_of, unchecked_event
from tests.meta.test_refusals import CASES

Row = dict[str, Any]

SECOND = timedelta(seconds=1)
NOW = PLACED.replace(microsecond=0) + timedelta(minutes=10)
SUBCODES = {refusal.reason: refusal.subcode for refusal in REFUSALS}

# To either side of every limit: the future, Meta's two windows, and our margin before each.
AGES = sorted(
    {
        edge + step
        for edge in (
            timedelta(minutes=-1),
            *(timedelta(days=d) - m for d in (7, 62) for m in (timedelta(0), DELIVERY_MARGIN)),
        )
        for step in (-SECOND, 0 * SECOND, SECOND)
    }
)


def unexplained(event: Row, reasons: set[str]) -> set[str]:
    """The reasons for which the judge has to refuse the event too."""
    return reasons - {d.reason for d in DIFFERENCES if d.reason in reasons and d.applies(event)}


def assert_agreement(orders: list[Row]) -> None:
    """Holds every order against the judge: its payload, or the event it would have made."""
    for order, built, reasons in zip(orders, build(*orders), reasons_of(orders), strict=True):
        unchecked = unchecked_event(order)
        refusal = validate_event(unchecked, NOW)
        if built["verdict"] == "ready":
            assert not reasons
            assert validate_event(orjson.loads(built["payload"]), NOW) is None
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


def test_they_agree_on_orders_with_any_mixture_of_defects() -> None:
    assert_agreement(generated(6_000))


def test_every_difference_occurs_and_such_events_pass() -> None:
    refused = [row | {"occurred_at": PLACED} for rows, _ in CASES.values() for row in rows]
    orders = refused + generated(2_000)
    passed = [
        reasons
        for order, reasons in zip(orders, reasons_of(orders), strict=True)
        if not unexplained(unchecked_event(order), reasons)
    ]
    assert set().union(*passed) == {difference.reason for difference in DIFFERENCES}


def test_what_meta_refuses_under_a_subcode_differs_only_on_a_condition() -> None:
    assert not [d.reason for d in DIFFERENCES if d.applies is always and SUBCODES[d.reason]]


def test_they_know_the_same_currencies() -> None:
    codes = sorted(currency.alpha_3 for currency in pycountry.currencies)
    orders = [bare("email", currency=code) for code in codes]
    assert_agreement(orders)
    assert frozenset(codes) - CURRENCIES == detail.NOT_MONEY | detail.SEEN_REFUSED


@pytest.mark.parametrize("source", sorted(ACTION_SOURCES))
def test_what_the_plan_sends_arrives_in_time_and_what_it_holds_back_would_not(source: str) -> None:
    of_kind = {"app": app, "business_messaging": whatsapp, "website": purchase}
    kind = of_kind.get(source, partial(bare, source))
    orders = [kind(order_id=f"{age}", event_id=f"{age}", occurred_at=NOW - age) for age in AGES]
    for age, action, payload in zip(AGES, *planned(orders), strict=True):
        event = orjson.loads(payload)
        if action == "send":
            assert validate_event(event, NOW + DELIVERY_MARGIN - SECOND) is None, age
        else:
            assert action == ("future_dated" if age < 0 * SECOND else "expired")
            after = NOW if action == "future_dated" else NOW + DELIVERY_MARGIN + SECOND
            refusal = validate_event(event, after)
            assert refusal is not None, age
            assert refusal.subcode == (2804004 if action == "future_dated" else 2804003)


def planned(orders: list[Row]) -> tuple[list[str], list[str]]:
    """What the plan does now with each order's event, of which nobody has sent anything yet."""
    placed = table(*orders)
    columns = build_events(placed)
    for name in ("order_id", "event_id", "event_name", "occurred_at", "value", "currency"):
        columns = columns.append_column(name, placed.column(name))
    columns = columns.append_column("dataset_id", pa.array(["1"] * len(orders)))
    never = pa.nulls(len(orders), pa.timestamp("us", tz="UTC"))
    columns = columns.append_column("pixel_reported_at", never)
    actions = plan(columns, STATE.empty_table(), NOW, Policy()).column("action").to_pylist()
    return actions, columns.column("payload").to_pylist()
