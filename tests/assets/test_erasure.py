"""An erased person is nowhere, and does not come back."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from capi_assets.cli import main
from capi_assets.commands.erase import Erasure
from capi_assets.defs.automation.active_runs import active_runs
from capi_assets.delivery.ledger.schema import METADATA
from capi_assets.ingest.tombstones import TombstoneError, create_key
from capi_assets.policies import open_ledger
from capi_assets.settings import variable
from tests.helpers.asset_harness import TABLES, AssetHarness
from tests.helpers.erasures import KILL_PLACES, held_run, killed_erasure, named
from tests.helpers.killed_runs import ended

pytestmark = pytest.mark.dagster_in_files
NO_WAIT = timedelta(0)


def email_of(hour: datetime, number: int) -> str:
    return f"person.{hour:%d%H}-orders-{number}@example.com"


def canaries(hour: datetime, number: int) -> set[str]:
    """What an order of `land_orders` is known by; its phone is everybody's."""
    mark, email = f"{hour:%d%H}-orders-{number}", email_of(hour, number)
    digest = hashlib.sha256(email.encode()).hexdigest()
    return {email, digest, digest[:10], f"o-{mark}", f"v-{mark}", f"IwAR{number}x{hour:%d%H}"}


def places_of(world: AssetHarness, texts: set[str]) -> set[str]:
    """The files with any of the texts, but for the landing zone: decoded, independently."""
    found = set()
    for path in world.root.rglob("*"):
        if path.is_file() and "landing" not in path.parts:
            content = path.read_bytes()
            if content[:4] == b"PAR1":
                content = str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
            if any(text.encode() in content for text in texts):
                found.add(str(path.relative_to(world.root)))
    return found


def erase(world: AssetHarness, number: int, hour: datetime) -> Erasure:
    """Erases the person of an order and checks that the command finds nothing afterwards."""
    erasure = Erasure.examine(world.settings(), named(email=email_of(hour, number)))
    findings, active = erasure.carry_out(world.instance, world.now, NO_WAIT, print)
    assert (findings.found, active) == ({}, [])
    return erasure


def land(world: AssetHarness, hour: datetime) -> None:
    """Three orders, a further visit of the second one's browser, and a row of hers that is bad;
    another order has her order id, so that a check names it."""
    world.land_orders(hour)
    mark = f"{hour:%d%H}-orders"
    browser = {"visit_id": f"v-{mark}-1b", "fbp": "fb.1.1596403881668.2"}
    world.land("visits", hour, "later.jsonl", json.dumps({**browser, "occurred_at": str(hour)}))
    order = {"order_id": f"o-{mark}-1", "occurred_at": str(hour), "event_name": "Lead"}
    bad = {**order, "currency": "EUR", "value": "oops", "email": email_of(hour, 1)}
    world.land("orders", hour, "bad.jsonl", json.dumps({**bad, "action_source": "nowhere"}))


@pytest.fixture
def erased(world: AssetHarness, any_url: str) -> tuple[AssetHarness, datetime]:
    """A delivered hour whose second person is erased."""
    world.overrides["ledger_url"] = any_url
    hour = world.hour(3)
    land(world, hour)
    assert world.run(hour)
    assert len(places_of(world, canaries(hour, 1))) >= 5
    if any_url.startswith("postgresql"):  # several machines may need the key
        with pytest.raises(TombstoneError, match="CAPI_ERASURE_KEY_FILE"):
            erase(world, 1, hour)
        create_key(world.settings().erasure_key_file)
    erase(world, 1, hour)
    return world, hour


def test_the_person_is_nowhere_the_others_stay_and_nothing_comes_back(
    erased: tuple[AssetHarness, datetime],
) -> None:
    world, hour = erased
    assert places_of(world, canaries(hour, 1)) == set()
    with open_ledger(world.settings()) as ledger, ledger.engine.connect() as connection:
        stored = [connection.execute(table.select()).all() for table in METADATA.sorted_tables]
    assert not [text for text in canaries(hour, 1) if text in str(stored)]
    counts = {table: len(world.read(table, [hour])) for table in TABLES}
    assert (counts["orders"], counts["matched_events"], counts["delivery_results"]) == (2, 2, 2)
    assert (counts["visits"], counts["quarantined_orders"]) == (2, 0)
    health = world.read("attribution_health", [hour])
    counts = {name: sum(row[name] for row in health) for name in ("orders", "delivered")}
    assert counts == {"orders": 4, "delivered": 3}, "what was evaluated stays"
    received = world.received()
    # The same export lands again, in its own hour and in another one's backfill.
    land(world, hour)
    world.land_orders(world.hour(2), 1)
    assert world.run(hour, world.hour(2))
    assert places_of(world, canaries(hour, 1)) == set()
    assert len(world.read("orders", [hour])) == 2
    assert world.received()["received"] == received["received"] + 1
    # What she orders after the erasure is new.
    later = {"order_id": "o-new", "email": email_of(hour, 1), "value": 5, "currency": "EUR"}
    at = world.now + timedelta(seconds=1)
    world.land("orders", world.hour(0), "new.json", json.dumps({**later, "occurred_at": str(at)}))
    world.run(world.hour(0), at=at + timedelta(seconds=5))
    (order,) = world.read("orders", [world.hour(0)])
    assert order["order_id"] == "o-new"


@pytest.mark.parametrize("place", KILL_PLACES)
def test_an_erasure_that_was_killed_is_finished_by_the_next(
    world: AssetHarness, place: str
) -> None:
    hour = world.hour(3)
    land(world, hour)
    assert world.run(hour)
    person = named(email=email_of(hour, 1))
    killed = killed_erasure(world.settings(), person, world.now, place)
    assert ended(killed) == -signal.SIGKILL
    assert places_of(world, canaries(hour, 1))
    # A run in between neither restores nor stores the person.
    rows = len(world.read("delivery_results", [hour]))
    assert world.run(hour)
    assert len(world.read("orders", [hour])) == 2
    assert len(world.read("delivery_results", [hour])) == 2 <= rows
    assert world.received()["received"] == 3
    erase(world, 1, hour)
    assert places_of(world, canaries(hour, 1)) == set()


def test_a_run_that_began_before_does_not_write_the_person_back(world: AssetHarness) -> None:
    hour = world.hour(3)
    land(world, hour)
    storage = world.root / "dagster"
    run = held_run(world.settings(), storage, hour, world.now)
    until = time.monotonic() + 120
    while not (storage / "holds").exists():
        assert run.is_alive()
        assert time.monotonic() < until
        time.sleep(0.05)
    erasure = Erasure.examine(world.settings(), named(email=email_of(hour, 1)))
    assert len(active_runs(world.instance, world.now)) == 1
    said: list[str] = []

    def go_on(text: str) -> None:
        said.append(text)
        (storage / "go").touch()

    findings, active = erasure.carry_out(world.instance, world.now, timedelta(minutes=2), go_on)
    assert ended(run) == 0
    assert (len(said), findings.found, active) == (1, {}, [])
    assert places_of(world, canaries(hour, 1)) == set()
    assert len(world.read("delivery_results", [hour])) == 2


def test_an_order_without_consent_is_found_by_its_persons_address(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, 2, consent=False)
    assert world.run(hour)
    assert places_of(world, canaries(hour, 1))
    erase(world, 1, hour)
    assert places_of(world, canaries(hour, 1)) == set()
    assert len(world.read("orders", [hour])) == 1


def test_orders_on_hold_in_a_stopped_run_are_not_sent_after_the_erasure(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.overrides["access_token"] = "EAAexpired"
    assert not world.run(hour)
    erase(world, 0, hour)
    del world.overrides["access_token"]
    assert world.run(hour)
    assert world.received()["accepted"] == 2


def test_dagsters_results_of_checks_keep_their_sense_without_the_id(world: AssetHarness) -> None:
    hours = [world.hour(4), world.hour(3)]
    mark = f"{hours[0]:%d%H}-orders-0"
    world.land_orders(hours[0], 1)
    assert world.run(hours[0])
    other = {"order_id": f"o-{mark}", "email": "other@example.com", "value": 99, "currency": "EUR"}
    other |= {"occurred_at": str(hours[1]), "action_source": "email"}
    world.land("orders", hours[1], "other.json", json.dumps(other))
    world.run(hours[1])
    in_dagster = {place for place in places_of(world, {f"o-{mark}"}) if "dagster" in place}
    assert in_dagster
    erase(world, 0, hours[0])
    findings, _ = Erasure.examine(world.settings(), named(order_id=f"o-{mark}")).carry_out(
        world.instance, world.now, NO_WAIT, print
    )
    assert findings.found == {}
    assert places_of(world, {f"o-{mark}"}) == set()
    assert any("erased (another order erased" in text for text in _check_texts(world))


def _check_texts(world: AssetHarness) -> list[str]:
    records = world.instance.get_run_records()
    logs = [e for r in records for e in world.instance.all_logs(r.dagster_run.run_id)]
    return [json.dumps(str(entry)) for entry in logs]


def test_the_command_asks_on_standard_input_counts_first_and_says_what_it_cannot_erase(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    for name, value in world.settings().model_dump(exclude_unset=True).items():
        plain = getattr(value, "get_secret_value", lambda value=value: value)()
        monkeypatch.setenv(variable(name), str(plain))
    monkeypatch.chdir(tmp_path)
    email = email_of(hour, 2)
    dry = CliRunner().invoke(main, ["erase", "--email", "-", "--dry-run"], input=f"{email}\n")
    assert dry.exit_code == 0, dry.output
    assert "matched events" in dry.output
    assert len(world.read("orders", [hour])) == 3
    done = CliRunner().invoke(main, ["erase", "--email", "-", "--yes"], input=email.upper())
    assert done.exit_code == 0, done.output
    assert "nothing of the person is left" in done.output
    text = " ".join(done.output.split())
    assert "Meta: it has or may have 1 event of the person" in text
    assert f"orders/{hour:%Y-%m-%d}/{hour:%H}/orders.jsonl" in text
    assert "Dagster's storage: neither" in text
    assert email not in dry.output.lower() + done.output.lower()
    nobody = CliRunner().invoke(main, ["erase", "--email", "-"], input="nonsense\n")
    assert nobody.exit_code == 2
    assert "nonsense" not in nobody.output
