"""Hours give the same events in whatever order they run: visits that landed are seen."""

from __future__ import annotations

import json
import os
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.hours import hour_key
from capi_assets.ingest.hours import Ingested
from capi_assets.lake import Lake
from capi_assets.stages import ingest
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import SensorTicks, hours_of

HOURS = 5
BROWSER = {"client_ip_address": "203.0.113.7", "client_user_agent": "Mozilla/5.0 (X11)"}


def land_with_visits_of_earlier_hours(world: AssetHarness, seed: int = 0) -> list[datetime]:
    """Orders of each hour that have all their match keys from a visit of any hour before, found by
    another key each, and hours without any visit."""
    chosen = random.Random(seed)
    hours = [world.hour(back) for back in range(HOURS + 1, 1, -1)]
    landings: dict[datetime, list[dict[str, object]]] = {hour: [] for hour in hours}
    for place, hour in enumerate(hours):
        orders = []
        for number in range(4):
            mark = f"{place}-{number}"
            earlier = hours[chosen.randint(0, place)]
            fbp = f"fb.1.1596403881668.{place}{number}"
            keys: dict[str, object] = {
                "visit_id": f"v{mark}",
                "external_id": f"e{mark}",
                "fbp": fbp,
            }
            at = earlier + timedelta(minutes=number)
            page = f"https://shop.example/?fbclid=IwAR{place}x{number}"
            landings[earlier].append(
                {**keys, **BROWSER, "page_url": page, "occurred_at": at.isoformat()}
            )
            key = chosen.choice(list(keys))
            at = hour + timedelta(minutes=30 + number)
            orders.append(
                {
                    "order_id": f"o{mark}",
                    "occurred_at": at.isoformat(),
                    "value": 10,
                    "currency": "EUR",
                    "email": f"person.{mark}@example.com",
                    key: keys[key],
                }
            )
        world.land("orders", hour, "orders.jsonl", "\n".join(map(json.dumps, orders)))
    for hour, rows in landings.items():
        if rows:
            world.land("visits", hour, "visits.jsonl", "\n".join(map(json.dumps, rows)))
    return hours


def stored_after(
    world: AssetHarness, hours: list[datetime], name: str
) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Files of `visits` and `matched_events`, and the events, of a new house in which the hours
    ran in this order."""
    world.overrides = {"lake": str(world.root / name)}
    job = world.job("deliver_hour")
    for hour in hours:
        assert job.execute_in_process(
            instance=world.instance,
            partition_key=hour_key(hour),
            asset_selection=[dg.AssetKey(name) for name in ("visits", "orders", "matched_events")],
            run_config=world.at(),
        ).success
    lake = Lake(world.root / name)
    files = {
        f"{table} {hour_key(hour)}": lake.path(table, hour).read_bytes()
        for table in ("visits", "matched_events")
        for hour in hours
    }
    return files, lake.read("matched_events", hours, arrow_schema(MatchedEvents)).to_pylist()


def test_any_order_of_hours_gives_the_same_events(world: AssetHarness) -> None:
    hours = land_with_visits_of_earlier_hours(world)
    expected, events = stored_after(world, hours, "in time order")
    assert len(events) == 4 * HOURS
    assert {row["verdict"] for row in events} == {"ready"}
    assert {row["matched_by"] for row in events} == {"visit_id", "external_id", "fbp"}

    assert stored_after(world, hours[::-1], "from the newest")[0] == expected
    shuffled = random.Random(len(events)).sample(hours, HOURS)
    assert stored_after(world, shuffled, "shuffled")[0] == expected


def metadata(world: AssetHarness, table: str, hour: datetime) -> dict[str, Any]:
    """Of the hour's latest materialization."""
    records = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(table), asset_partitions=[hour_key(hour)]), limit=1
    ).records
    event = records[0].asset_materialization
    assert event
    return {name: value.value for name, value in event.metadata.items()}


def test_the_newest_hour_ingests_what_landed_and_says_so(world: AssetHarness) -> None:
    hours = land_with_visits_of_earlier_hours(world)
    with_visits = {hour for hour in hours if landed(world, hour).exists()}
    assert world.run(hours[-1])
    assert world.received()["accepted"] == 4
    count = metadata(world, "matched_events", hours[-1])["visit_hours_ingested_first"]
    assert count == len(with_visits - {hours[-1]})
    assert world.statuses("visits") == (with_visits | {hours[-1]}, set())
    assert world.statuses("orders") == ({hours[-1]}, set())

    before = world.stored_bytes("visits")
    assert world.run(hours[0])
    assert "visit_hours_ingested_first" not in metadata(world, "matched_events", hours[0])
    assert world.stored_bytes("visits").items() >= before.items()
    # A file that lands after an hour was ingested for others is late, as after its own run.
    ticks, later = SensorTicks(world, "late_files_sensor"), world.now + timedelta(minutes=20)
    assert not ticks.look(later).run_requests
    path = landed(world, max(with_visits - {hours[-1]}))
    os.utime(path, (later.timestamp(), later.timestamp()))
    found = ticks.look(later + timedelta(minutes=3))
    assert hours_of(found, "deliver_hour") == [max(with_visits - {hours[-1]})]


def landed(world: AssetHarness, hour: datetime) -> Path:
    return world.root / "landing/visits" / f"{hour:%Y-%m-%d/%H}" / "visits.jsonl"


def test_an_earlier_file_that_cannot_be_read_costs_its_own_rows_only(world: AssetHarness) -> None:
    hours = land_with_visits_of_earlier_hours(world)
    world.land("visits", hours[0], "broken.jsonl", b"\xff\xfe broken")
    world.run(hours[-1])
    assert world.received()["accepted"] == 4
    assert hours[0] in world.lake.hours("visits")
    assert hours[0] not in world.statuses("visits")[0]  # left to its own run


def test_an_hour_that_another_run_stores_meanwhile_stays_as_that_run_stored_it(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, hour = world.hour(4), world.hour(3)
    for each in (earlier, hour):
        world.land_orders(each)
    read = ingest.ingest_visits

    def read_while_another_run_stores(source: Any, hours: list[datetime], *others: Any) -> Ingested:
        ingested = read(source, hours, *others)
        if hours == [earlier]:
            world.land_orders(earlier, name="late.jsonl")
            world.lake.write("visits", earlier, read(source, hours, *others).hours[0].rows)
        return ingested

    monkeypatch.setattr(ingest, "ingest_visits", read_while_another_run_stores)
    assert world.run(hour)
    assert len(world.read("visits", [earlier])) == 6
    assert world.statuses("visits") == ({hour}, set())


@pytest.mark.parametrize("setting", ["retention_days", "start_date", "lookback_hours"])
def test_visits_that_no_run_would_keep_are_not_ingested(world: AssetHarness, setting: str) -> None:
    """Older than the retention, than the first partition, or than the lookback."""
    hours = [world.hour(n) for n in (26, 25, 3)]
    for hour in hours:
        world.land_orders(hour)
    values = {
        "retention_days": {"retention_days": 1, "lookback_hours": 24},
        "start_date": {"start_date": hours[1]},
        "lookback_hours": {"lookback_hours": 22},
    }
    world.overrides = values[setting]
    assert world.run(hours[2])
    stored = {"retention_days": hours[2:], "start_date": hours[1:], "lookback_hours": hours[1:]}
    assert world.lake.hours("visits") == stored[setting]


class TestSqlModel:
    def test_missing_hours_are_queried_once(self, world: AssetHarness) -> None:
        hours = [world.hour(back) for back in (5, 4, 3, 2)]
        world.land_orders(hours[3])
        data = sql_visits(world, hours[0])
        assert world.run(hours[3])
        assert world.lake.hours("visits") == hours
        assert [len(world.read("visits", [hour])) for hour in hours] == [1, 0, 0, 0]
        assert metadata(world, "matched_events", hours[3])["visit_hours_ingested_first"] == 3

        data.write_text("no JSON: a query fails")
        world.materialize_alone("matched_events", hours[3])
        assert "visit_hours_ingested_first" not in metadata(world, "matched_events", hours[3])

    def test_a_model_that_fails_keeps_no_order_waiting(self, world: AssetHarness) -> None:
        hour = world.hour(2)
        world.land_orders(hour)
        data = sql_visits(world, hour)
        world.materialize_alone("visits", hour)
        world.materialize_alone("orders", hour)
        data.write_text("no JSON: a query fails")
        world.materialize_alone("matched_events", hour)
        assert world.lake.hours("visits") == [hour]
        assert len(world.read("matched_events", [hour])) == 3


def sql_visits(world: AssetHarness, hour: datetime) -> Path:
    """Visits from a model over a file, with one visit in this hour; partitions from 5 hours ago."""
    model, data = world.root / "visits.sql", world.root / "visits.jsonl"
    model.write_text(
        f"select * from read_json('{data}', columns={{visit_id: 'text', occurred_at:"
        " 'timestamptz', page_url: 'text'}) where occurred_at >= $hour_start"
        " and occurred_at < $hour_end"
    )
    visit = {"visit_id": "v", "occurred_at": hour.isoformat(), "page_url": "https://shop.example/"}
    data.write_text(json.dumps(visit))
    world.overrides = {
        "visits_sql": str(model),
        "model_folders": str(world.root),
        "start_date": world.hour(5),
    }
    return data
