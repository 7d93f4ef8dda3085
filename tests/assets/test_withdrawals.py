"""Consent counts as of the moment of sending, on every way to Meta."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.helpers.asset_harness import AssetHarness


def withdraw(world: AssetHarness, *rows: dict[str, Any], name: str = "today.jsonl") -> None:
    folder = world.root / "landing" / "withdrawals"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def fail(world: AssetHarness, hour: datetime) -> None:
    """Lands three orders of an hour and runs it while Meta is down: nothing is delivered."""
    world.land_orders(hour)
    token = world.overrides.pop("access_token", None)
    world.overrides["access_token"] = "EAAexpired"
    assert not world.run(hour)
    world.overrides.pop("access_token")
    if token:
        world.overrides["access_token"] = token
    assert world.received()["accepted"] == 0


def outcomes(world: AssetHarness, hour: datetime) -> dict[str, tuple[str, str | None]]:
    results = world.read("delivery_results", [hour])
    return {row["order_id"][-1]: (row["status"], row["reason"]) for row in results}


WITHDRAWN = ("withheld", "consent_withdrawn")
SENT = ("delivered", None)


def keys_of(hour: datetime, number: int) -> list[dict[str, Any]]:
    """The ways to name the person of an order of `land_orders`."""
    mark = f"{hour:%d%H}-orders-{number}"
    email = f"person.{mark}@example.com"
    return [
        {"order_id": f"o-{mark}"},
        {"email": email.upper()},
        {"email": hashlib.sha256(email.encode()).hexdigest()},
    ]


@pytest.mark.parametrize("way", range(3))
def test_a_withdrawal_between_matching_and_sending_stops_stored_events(
    world: AssetHarness, way: int
) -> None:
    hour = world.hour(3)
    fail(world, hour)
    withdraw(world, keys_of(hour, 1)[way])
    world.materialize_alone("delivery_results", hour)
    assert outcomes(world, hour) == {"0": SENT, "1": WITHDRAWN, "2": SENT}
    assert world.received()["accepted"] == 2
    world.judge(hour)
    (health,) = world.read("attribution_health", [hour])
    assert (health["withheld"], health["delivered"], health["eligible"]) == (1, 2, 2)


def test_it_outlives_its_file_and_holds_in_backfills(world: AssetHarness) -> None:
    hours = [world.hour(4), world.hour(3)]
    for hour in hours:
        fail(world, hour)
    withdraw(world, *(keys_of(hour, 0)[1] for hour in hours))
    world.materialize_alone("delivery_results", hours[1])
    (world.root / "landing" / "withdrawals" / "today.jsonl").unlink()
    assert world.run(*hours)
    for hour in hours:
        assert outcomes(world, hour)["0"] == WITHDRAWN
    assert world.received()["accepted"] == 4
    (row,) = [r for r in world.read("matched_events", hours[:1]) if r["order_id"].endswith("-0")]
    assert (row["verdict"], row["payload"]) == ("withheld", None)


def test_a_later_visit_that_refuses_withholds_what_its_person_or_browser_ordered_before(
    world: AssetHarness,
) -> None:
    first, second = world.hour(3), world.hour(2)
    fail(world, first)
    visits = [
        {"email": f"person.{first:%d%H}-orders-0@example.com", "consent": False},
        {"fbp": "fb.1.1596403881668.2", "consent": False},
        {"fbp": "fb.1.1596403881668.3", "consent": True},
    ]
    at = (second + timedelta(minutes=1)).isoformat()
    lines = [{"visit_id": f"l{n}", "occurred_at": at, **v} for n, v in enumerate(visits)]
    world.land("visits", second, "v.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    world.materialize_alone("visits", second)
    world.materialize_alone("delivery_results", first)
    assert outcomes(world, first) == {"0": WITHDRAWN, "1": WITHDRAWN, "2": SENT}


def test_what_was_ordered_after_a_withdrawal_needs_its_own_consent(world: AssetHarness) -> None:
    hour = world.hour(3)
    before = (hour - timedelta(days=1)).isoformat()
    world.land_orders(hour, 1, "asked.jsonl", consent=True)
    world.land_orders(hour, 1, "unasked.jsonl")
    people = [f"person.{hour:%d%H}-{name}-0@example.com" for name in ("asked", "unasked")]
    withdraw(world, *({"email": email, "withdrawn_at": before} for email in people))
    assert world.run(hour)
    results = world.read("delivery_results", [hour])
    found = {row["order_id"].split("-")[2]: (row["status"], row["reason"]) for row in results}
    assert found == {"asked": SENT, "unasked": WITHDRAWN}


def test_rows_that_name_nobody_are_told_and_a_broken_file_stops_sending(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    withdraw(world, {"email": "undefined"}, keys_of(hour, 2)[0])
    assert world.run(hour)
    assert outcomes(world, hour)["2"] == WITHDRAWN
    assert any("withdrawals/today.jsonl, line 1" in record.message for record in _logs(world))
    other = world.hour(2)
    world.land_orders(other)
    accepted = world.received()["accepted"]
    # The second is a list of addresses without a header.
    for name, content in (("broken.parquet", b"PAR1"), ("list.csv", b"ann@example.com\n")):
        file = world.root / "landing" / "withdrawals" / name
        file.write_bytes(content)
        assert not world.run(other)
        assert any(f"withdrawals/{name}" in str(record) for record in _logs(world))
        assert "ann@example.com" not in str(_logs(world))
        assert world.received()["accepted"] == accepted
        file.unlink()


def _logs(world: AssetHarness) -> list[Any]:
    (newest,) = world.instance.get_run_records(limit=1)
    return [
        entry for entry in world.instance.all_logs(newest.dagster_run.run_id) if entry.level >= 30
    ]
