"""What may be at Meta is repeated byte for byte, whatever its hour was matched with since."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from tests.helpers.asset_harness import AssetHarness

BROWSER = {
    "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "event_source_url": "https://shop.example/thanks",
}


def test_late_visits_change_no_event_that_meta_may_have(world: AssetHarness) -> None:
    hour = world.hour(5)
    _lose_answers(world)
    sent = _payloads(world)
    world.meta.clear_faults()
    world.land_orders(hour, name="late.jsonl", **BROWSER)
    assert world.run(hour, at=world.now + timedelta(minutes=30))
    now = _payloads(world)
    assert {order: now[order] for order in sent} == sent
    assert all(b"fbp" in payload for order, payload in now.items() if order not in sent)
    received = world.received()
    assert (received["accepted"], received["doubled"]) == (6, 0)
    assert {row["status"] for row in world.read("delivery_results", [hour])} == {"delivered"}


@pytest.mark.parametrize("trouble", ["consent withdrawn", "ledger unreadable"])
def test_a_withdrawal_or_a_lost_ledger_comes_first(world: AssetHarness, trouble: str) -> None:
    hour = world.hour(5)
    _lose_answers(world)
    sent = _payloads(world)
    world.meta.clear_faults()
    if trouble == "consent withdrawn":
        world.land_orders(hour, consent=False, **BROWSER)
        world.run(hour)
        assert set(_payloads(world).values()).isdisjoint(sent.values())
        assert {row["status"] for row in world.read("delivery_results", [hour])} == {"withheld"}
    else:
        (world.root / "ledger.db").write_text("no database")
        world.materialize_alone("matched_events", hour)
        assert _payloads(world).keys() == sent.keys()
        assert _payloads(world) != sent


def _lose_answers(world: AssetHarness) -> None:
    """Orders that Meta accepted without an answer, and afterwards the visits they came from."""
    hour = world.hour(5)
    world.land_orders(hour, **BROWSER)
    visits = world.root / "landing" / "visits"
    shutil.move(visits, world.root / "late visits")
    visits.mkdir()
    world.meta.set_fault("hang_up_after_accepting")
    assert not world.run(hour)
    shutil.copytree(world.root / "late visits", visits, dirs_exist_ok=True)
    world.materialize_alone("visits", hour)


def _payloads(world: AssetHarness) -> dict[str, bytes]:
    rows = world.read("matched_events", [world.hour(5)])
    return {row["order_id"]: (row["payload"] or "").encode() for row in rows}
