"""delivery_results: one row per event, its status from plan and ledger together."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.contracts.delivery_results import STATUSES, DeliveryResults
from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.ledger.schema import STATE
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import DELIVERY_RESULTS, fold
from tests.helpers.delivery_harness import NOW, Clock, column, event, orders, register, table

POLICY = Policy()
LEASE = timedelta(minutes=2)


def after(ledger: Ledger, events: pa.Table, outcome: Outcome | None, clock: Clock) -> None:
    """One attempt with these events, answered unless the outcome is None."""
    claimed = ledger.claim(events, "run/1", clock(), LEASE, renew=True)
    number = ledger.mark_in_flight(events, claimed, Intent("run/1", "run", 9, LEASE), clock())
    assert number is not None
    if outcome is not None:
        ledger.record(number, outcome, "run/1", clock(), keep_claim=False)


def row(ledger: Ledger, events: pa.Table, clock: Clock) -> dict[str, object]:
    (result,) = fold(events, ledger.state_of(events), clock(), POLICY).to_pylist()
    return dict(result)


def test_the_columns_are_the_contracts(ledger: Ledger) -> None:
    names = list(DeliveryResults.to_schema().columns)
    assert names == DELIVERY_RESULTS.names
    assert fold(table([]), STATE.empty_table(), NOW, POLICY).schema.equals(DELIVERY_RESULTS)


def test_rows_keep_the_order_of_the_events(ledger: Ledger, clock: Clock) -> None:
    events = orders(5)
    register(ledger, events.take([3, 1, 4, 0, 2]))
    results = fold(events, ledger.state_of(events), clock(), POLICY)
    assert column(results, "order_id") == column(events, "order_id")


def test_an_event_never_attempted_is_pending(ledger: Ledger, clock: Clock) -> None:
    result = row(ledger, orders(1), clock)
    assert (result["status"], result["reason"], result["attempts"]) == (
        "pending",
        "not_attempted",
        0,
    )
    assert result["payload_sha256"] == column(orders(1), "payload_sha256")[0]


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (Outcome("delivered"), "delivered", None),
        (Outcome("refused", "token_expired", code=190), "pending", "token_expired"),
        (Outcome("unknown", "no_answer"), "unknown", "no_answer"),
        (Outcome("rejected", "missing_value", subcode=2804009), "rejected", "missing_value"),
        (Outcome("expired", "expired"), "expired", "expired"),
        (None, "unknown", "in_flight"),
    ],
)
def test_one_attempt_and_what_it_leaves(
    ledger: Ledger, clock: Clock, outcome: Outcome | None, status: str, reason: str | None
) -> None:
    events = orders(1)
    after(ledger, events, outcome, clock)
    clock.move(minutes=3)
    result = row(ledger, events, clock)
    assert (result["status"], result["reason"], result["attempts"]) == (status, reason, 1)
    assert result["first_attempt_at"] == result["last_attempt_at"] == NOW
    assert result["delivered_at"] == (NOW if status == "delivered" else None)
    assert status in STATUSES


def test_what_another_run_is_sending_is_pending(ledger: Ledger, clock: Clock) -> None:
    events = orders(1)
    after(ledger, events, None, clock)
    result = row(ledger, events, clock)
    assert (result["status"], result["reason"]) == ("pending", "claimed_elsewhere")


def test_what_is_held_back_keeps_its_reason_and_metas_subcode(ledger: Ledger, clock: Clock) -> None:
    refused = {"verdict": "invalid", "reason": "missing_value", "subcode": 2804009}
    events = table([event("a", **refused, payload=None, payload_sha256=None)])
    result = row(ledger, events, clock)
    assert (result["status"], result["reason"], result["subcode"]) == (
        "invalid",
        "missing_value",
        2804009,
    )


def test_another_orders_delivery_lends_this_one_nothing(ledger: Ledger, clock: Clock) -> None:
    after(ledger, table([event("first", event_id="same")]), Outcome("delivered"), clock)
    result = row(ledger, table([event("second", event_id="same")]), clock)
    assert (result["status"], result["reason"]) == ("invalid", "duplicate_event_id")
    assert (result["attempts"], result["delivered_at"]) == (0, None)


def test_the_digest_told_is_that_of_the_bytes_meta_has(ledger: Ledger, clock: Clock) -> None:
    old, new = table([event("a", value=1.0)]), table([event("a", value=2.0)])
    after(ledger, old, Outcome("delivered"), clock)
    result = row(ledger, new, clock)
    assert (result["status"], result["reason"]) == ("delivered", "payload_changed_since")
    assert result["payload_sha256"] == column(old, "payload_sha256")[0]
