"""A long `capi-assets backfill` is several runs; killed with -9, it continues where it stopped."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.commands.backfill import backfill, in_pieces
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.definitions import build_definitions
from capi_assets.defs.automation.active_runs import hours_of_run
from capi_assets.defs.names import HOURLY_ASSETS
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings
from tests.helpers.killed_runs import (
    DATASET,
    PROCESSES,
    TOKEN,
    KillPoint,
    arm,
    ended,
    open_dagster,
    warm_up,
)

pytestmark = pytest.mark.e2e
HOURS, PER_RUN = 12, 3


@pytest.fixture(scope="module")
def meta() -> Iterator[SandboxServer]:
    with SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as server:
        yield server


@pytest.fixture(scope="module")
def hours() -> list[datetime]:
    warm_up()
    last = floor_hour(datetime.now(UTC)) - 3 * HOUR
    return [last - n * HOUR for n in range(HOURS)][::-1]


def shop(root: Path, url: str) -> Settings:
    return Settings(
        lake=str(root / "lake"),
        landing=str(root / "landing"),
        ledger_url=f"sqlite:///{root / 'ledger.db'}",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        dataset_id=DATASET,
        access_token=TOKEN,
        graph_url=url,
        hours_per_run=PER_RUN,
    )


def land(root: Path, hours: list[datetime]) -> None:
    for number, hour in enumerate(hours):
        folder = root / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
        folder.mkdir(parents=True)
        order = {
            "order_id": f"o-{number}",
            "occurred_at": (hour + timedelta(minutes=5)).isoformat(),
            "value": 10,
            "currency": "EUR",
            "email": f"person.{number}@example.com",
        }
        (folder / "orders.jsonl").write_text(json.dumps(order))


def run_backfill(root: Path, url: str, hours: list[datetime], kill_point: KillPoint | None) -> None:
    """In a process of its own, which says in a file what it said to the user."""
    if kill_point is not None:
        arm(kill_point)
    said: list[str] = []
    with open_dagster(root) as instance:
        outcomes = backfill(shop(root, url), instance, hours, said.append)
    (root / "said.json").write_text(json.dumps(said))
    if not all(outcome.is_finished for outcome in outcomes):
        raise SystemExit(1)


def start(
    root: Path, url: str, hours: list[datetime], kill_point: KillPoint | None = None
) -> int | None:
    process = PROCESSES.Process(target=run_backfill, args=(root, url, hours, kill_point))
    process.start()
    return ended(process)


def runs(root: Path) -> Counter[str]:
    """How many runs each piece had, by its first hour."""
    with open_dagster(root) as instance:
        return Counter(hour_key(hours_of_run(run)[0]) for run in instance.get_runs())


def test_a_killed_backfill_continues_at_the_first_unfinished_run(
    tmp_path: Path, meta: SandboxServer, hours: list[datetime]
) -> None:
    land(tmp_path, hours)
    firsts = [hour_key(hour) for hour in hours[::PER_RUN]]
    # A run writes its hours of five tables; the third dies while it writes those of the third.
    third = KillPoint("after a table is written", (2 * 5 + 2) * PER_RUN + 3)
    assert start(tmp_path, meta.url, hours, third) == -signal.SIGKILL
    assert runs(tmp_path) == Counter(firsts[:3])

    assert start(tmp_path, meta.url, hours) == 0
    said = json.loads((tmp_path / "said.json").read_text())
    assert "2 of 4 runs are finished" in said[0]
    assert [text.split("...")[0] for text in said[1:]] == firsts[2:]
    assert runs(tmp_path) == Counter(firsts) + Counter(firsts[2:3])
    schema = arrow_schema(DeliveryResults)
    results = Lake(tmp_path / "lake").read("delivery_results", hours, schema, ["status"])
    assert results["status"].to_pylist() == ["delivered"] * HOURS
    received = Counter(
        dict(map(tuple, meta.inbox.rows("select verdict, count(*) from events group by 1")))
    )
    assert received == {"accepted": HOURS}

    # It is finished now: the same command materializes every hour again, and sends nothing.
    assert start(tmp_path, meta.url, hours) == 0
    said = json.loads((tmp_path / "said.json").read_text())
    assert [text.split("...")[0] for text in said] == firsts
    assert dict(meta.inbox.rows("select verdict, count(*) from events group by 1")) == received


def test_runs_are_of_consecutive_hours_and_bounded(hours: list[datetime]) -> None:
    pieces = in_pieces([*hours[:4], *hours[6:]], PER_RUN)
    assert [len(piece) for piece in pieces] == [3, 1, 3, 3]
    assert [hour for piece in pieces for hour in piece] == [*hours[:4], *hours[6:]]


def test_the_ui_launches_runs_of_as_many_hours(tmp_path: Path) -> None:
    definitions = build_definitions(shop(tmp_path, "http://127.0.0.1:9"))
    for name in HOURLY_ASSETS:
        policy = definitions.resolve_asset_graph().get(dg.AssetKey(name)).backfill_policy
        assert policy == dg.BackfillPolicy.multi_run(PER_RUN)
