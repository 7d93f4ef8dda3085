"""Consent withdrawn or an order cancelled after it came to the ledger: not sent, and noted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.withdrawals import note_withdrawals
from tests.helpers.delivery_harness import NOW, Clock, column, event, orders, register, table

LEASE = timedelta(minutes=2)


def withheld(order: str, reason: str = "no_consent", **changes: Any) -> dict[str, Any]:
    none = {"payload": None, "payload_sha256": None}
    return event(order, verdict="withheld", reason=reason, **none, **changes)


def see(ledger: Ledger, rows: list[dict[str, Any]], clock: Clock) -> int:
    """A delivery run that reads these events."""
    events = table(rows)
    return note_withdrawals(ledger, events, ledger.state_of(events), clock())


def note(ledger: Ledger, order: str) -> tuple[object, object]:
    (row,) = ledger.state_of(table([event(order)])).to_pylist()
    return row["withheld_at"], row["withheld_reason"]


def test_a_withdrawal_is_noted_with_its_time_and_reason(any_ledger: Ledger, clock: Clock) -> None:
    register(any_ledger, orders(2))
    clock.move(hours=1)
    first, second = column(orders(2), "order_id")
    assert see(any_ledger, [withheld(first), event(second)], clock) == 1
    assert note(any_ledger, first) == (NOW + timedelta(hours=1), "no_consent")
    assert note(any_ledger, second) == (None, None)


def test_the_time_is_that_of_the_first_sight_and_another_reason_is_another_note(
    any_ledger: Ledger, clock: Clock
) -> None:
    register(any_ledger, table([event("a")]))
    assert see(any_ledger, [withheld("a")], clock) == 1
    clock.move(hours=1)
    assert see(any_ledger, [withheld("a")], clock) == 0
    assert note(any_ledger, "a") == (NOW, "no_consent")
    assert see(any_ledger, [withheld("a", "cancelled")], clock) == 1
    assert note(any_ledger, "a") == (NOW + timedelta(hours=1), "cancelled")


def test_consent_given_again_removes_the_note(any_ledger: Ledger, clock: Clock) -> None:
    register(any_ledger, table([event("a")]))
    see(any_ledger, [withheld("a")], clock)
    assert see(any_ledger, [event("a")], clock) == 0
    assert note(any_ledger, "a") == (None, None)


def test_an_event_that_is_not_in_the_ledger_gets_no_note(any_ledger: Ledger, clock: Clock) -> None:
    assert see(any_ledger, [withheld("a")], clock) == 0
    assert any_ledger.state_of(table([event("a")])).num_rows == 0


def test_another_order_under_the_same_id_says_nothing_about_this_one(
    any_ledger: Ledger, clock: Clock
) -> None:
    register(any_ledger, table([event("a", event_id="same")]))
    assert see(any_ledger, [withheld("b", event_id="same")], clock) == 0


@pytest.mark.parametrize("state", ["delivered", "unknown", "rejected"])
def test_a_note_does_not_change_the_state(state: Any, any_ledger: Ledger, clock: Clock) -> None:
    events = table([event("a")])
    claimed = any_ledger.claim(events, "run/1", clock(), LEASE)
    number = any_ledger.mark_in_flight(events, claimed, Intent("run/1", "run", 9, LEASE), clock())
    assert number is not None
    any_ledger.record(number, Outcome(state), "run/1", clock(), keep_claim=False)
    before = any_ledger.state_of(events)
    assert see(any_ledger, [withheld("a")], clock) == 1
    notes = ["withheld_at", "withheld_reason"]
    assert any_ledger.state_of(events).drop_columns(notes).equals(before.drop_columns(notes))
    found = table([withheld("a")])
    action = plan(found, any_ledger.state_of(found), clock(), Policy())["action"]
    assert action.to_pylist() == ["already_delivered" if state == "delivered" else "withheld"]


def test_thousands_at_once(any_ledger: Ledger, clock: Clock) -> None:
    many = orders(2_345)
    register(any_ledger, many)
    gone = [withheld(order) for order in column(many, "order_id")]
    assert see(any_ledger, gone, clock) == 2_345
    known = any_ledger.state_of(many)
    assert isinstance(known, pa.Table)
    assert set(column(known, "withheld_reason")) == {"no_consent"}
