"""Which stored rows stay when an hour is matched again."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sent_payloads import keep_sent_payloads
from tests.helpers.delivery_harness import NOW, column, event, table

STORED = table(event(order) for order in "abc")
NEW = table(event(order, value=99.0) for order in "abcd")


def send(ledger: Ledger, events: pa.Table, outcome: str) -> None:
    lease = timedelta(minutes=2)
    claimed = ledger.claim(events, "run", NOW, lease)
    attempt = ledger.mark_in_flight(events, claimed, Intent("run", "run", 1, lease), NOW)
    assert attempt is not None
    ledger.record(attempt, Outcome(outcome), "run", NOW, keep_claim=False)  # type: ignore[arg-type]


def kept(ledger: Ledger, new: pa.Table = NEW, hours: int = 1) -> list[bool]:
    state = ledger.state_of(STORED)
    rows = keep_sent_payloads(new, STORED, state, NOW + timedelta(hours=hours), Policy())
    assert column(rows, "order_id") == column(new, "order_id")
    return [value != 99.0 for value in column(rows, "value")]


@pytest.mark.parametrize(
    ("outcome", "is_kept"), [("unknown", True), ("refused", False), ("rejected", False)]
)
def test_only_events_with_unknown_outcome_keep_their_rows(
    ledger: Ledger, outcome: str, is_kept: bool
) -> None:
    send(ledger, STORED.slice(0, 2), outcome)
    assert kept(ledger) == [is_kept, is_kept, False, False]
    assert kept(ledger, hours=49) == [False] * 4


def test_a_row_that_was_not_sent_or_is_withheld_now_is_replaced(ledger: Ledger) -> None:
    send(ledger, NEW.slice(0, 1), "unknown")  # other bytes than those that are stored
    send(ledger, STORED.slice(1, 1), "unknown")
    assert kept(ledger) == [False, True, False, False]
    withheld = NEW.set_column(
        NEW.schema.get_field_index("verdict"), "verdict", pa.array(["withheld"] * 4)
    )
    assert kept(ledger, withheld) == [False] * 4
