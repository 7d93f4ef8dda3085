"""What people see: a verdict per hour, one standing list, and alerts on a change of state only."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import orjson

from capi_assets.coverage.stored_health import find_gaps
from capi_assets.hours import hour_key
from capi_assets.policies import coverage_policy
from tests.helpers.asset_harness import TOKEN, AssetHarness
from tests.helpers.sensor_ticks import SensorTicks


def _evaluations(
    world: AssetHarness, asset: str, check: str
) -> dict[str | None, dg.AssetCheckEvaluation]:
    """Latest evaluation per partition."""
    found: dict[str | None, dg.AssetCheckEvaluation] = {}
    records = world.instance.event_log_storage.get_asset_check_execution_history(
        check_key=dg.AssetCheckKey(dg.AssetKey(asset), check), limit=200
    )
    for record in records:
        evaluation = record.evaluation
        if isinstance(evaluation, dg.AssetCheckEvaluation) and evaluation.partition not in found:
            found[evaluation.partition] = evaluation
    return found


def _records(evaluation: dg.AssetCheckEvaluation, name: str) -> list[Mapping[str, object]]:
    table = evaluation.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [record.data for record in table.records]


def test_each_hour_of_a_range_has_its_own_verdict(world: AssetHarness) -> None:
    good, bad = world.hour(4), world.hour(3)
    world.land_orders(good)
    world.run(good)
    world.land_orders(bad)
    world.meta.expire_token(TOKEN)
    world.run(good, bad)
    verdicts = _evaluations(world, "attribution_health", "coverage_above_threshold")
    assert verdicts[hour_key(good)].passed
    failed = verdicts[hour_key(bad)]
    assert not failed.passed
    assert "0 of 3 eligible orders delivered" in failed.description
    assert "the access token has expired" in failed.description
    assert "can still be delivered until" in failed.description
    assert failed.metadata["missing_orders"].value == 3
    assert "EUR" in _records(failed, "waterfall")[0]
    assert failed.target_materialization_data is not None
    assert None not in verdicts
    sums = _evaluations(world, "attribution_health", "every_order_is_accounted_for")
    assert all(verdict.passed for verdict in sums.values())
    assert set(sums) == {hour_key(good), hour_key(bad)}


def test_a_shop_of_two_orders_a_day_is_told_of_their_loss_until_they_are_delivered(
    world: AssetHarness,
) -> None:
    hours = [world.hour(back) for back in (52, 42, 28, 18)]
    policy = coverage_policy(world.settings())
    for hour in hours:
        world.land_orders(hour, count=1, value="a lot")
    world.run(hours[0])
    verdicts = _evaluations(world, "attribution_health", "coverage_above_threshold")
    assert not verdicts[hour_key(hours[0])].passed
    assert "is inconclusive: 0 of 1" in verdicts[hour_key(hours[0])].description

    world.run(hours[0], world.hour(1))
    verdicts = _evaluations(world, "attribution_health", "coverage_above_threshold")
    failed = [key for key, verdict in verdicts.items() if not verdict.passed]
    assert sorted(map(str, failed)) == [hour_key(hour) for hour in hours]
    assert find_gaps(world.lake, policy, hours[0] + timedelta(hours=24)).gaps
    (gap,) = find_gaps(world.lake, policy, world.now).gaps
    assert (gap.orders, gap.correctable, sorted(gap.missing)) == (4, 4, hours)

    for hour in hours:
        world.land_orders(hour, count=1)
    world.run(hours[0], world.hour(1))
    assert find_gaps(world.lake, policy, world.now).gaps == []
    assert world.received()["accepted"] == 4


def test_refused_rows_show_in_the_check_of_their_hour(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.land_orders(hour, 1, "rental.jsonl", event_name="purchase")
    world.land("orders", hour, "bad.csv", f"order_id,occurred_at,value\nb1,{hour.isoformat()},x\n")
    world.run(hour)
    verdict = _evaluations(world, "orders", "orders_match_contract")[hour_key(hour)]
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.WARN
    (refused,) = _records(verdict, "rows")
    assert "value:not_a_number" in str(refused["reasons"])
    assert "bad.csv" in str(refused["source"])
    (landed,) = world.instance.fetch_materializations(dg.AssetKey("orders"), limit=1).records
    assert landed.asset_materialization is not None
    noticed = landed.asset_materialization.metadata["custom_events_to_check"].value
    assert noticed == "purchase (custom to Meta; did you mean Purchase?)"


@contextmanager
def _webhook() -> Iterator[tuple[str, list[str]]]:
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            texts.append(orjson.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", texts
    finally:
        server.shutdown()
        server.server_close()


def _tick(
    world: AssetHarness, cursor: str | None, hook: str | None, at: datetime
) -> dg.SensorResult:
    looks = SensorTicks(world, alert_webhook=hook)
    looks.cursor = cursor
    return looks.look(at)


def test_a_gap_is_told_once_when_it_opens_and_once_when_it_is_over(world: AssetHarness) -> None:
    hours = [world.hour(back) for back in (3, 2, 1)]
    for hour in hours:
        world.land_orders(hour, count=4)
    world.meta.expire_token(TOKEN)
    world.run(hours[0], hours[-1])
    with _webhook() as (hook, texts):
        first = _tick(world, None, hook, world.now)
        assert len(texts) == 1
        assert "12 orders" in texts[0]
        assert "EUR" in texts[0]
        assert f"{hour_key(hours[0])}...{hour_key(hours[-1])}" in texts[0]
        noted = {e.partition for e in first.asset_events if isinstance(e, dg.AssetObservation)}
        assert noted == {hour_key(hour) for hour in hours}

        (listed,) = (e for e in first.asset_events if isinstance(e, dg.AssetCheckEvaluation))
        rows = listed.metadata["first_missing"].value.records
        assert len({row.data["order"] for row in rows}) == 12
        assert "capi-assets sql" in str(listed.metadata["all_missing"].value)

        second = _tick(world, first.cursor, hook, world.now + timedelta(minutes=1))
        assert len(texts) == 1
        assert not second.asset_events

        world.meta.renew_token(TOKEN)
        world.run(hours[0], hours[-1])
        third = _tick(world, second.cursor, hook, world.now + timedelta(minutes=2))
        assert len(texts) == 2
        assert "recovered" in texts[1].lower()
        fourth = _tick(world, third.cursor, hook, world.now + timedelta(minutes=3))
        assert len(texts) == 2
        assert not fourth.asset_events
    standing = _evaluations(world, "attribution_health", "open_gaps")[None]
    assert standing.passed


def test_the_standing_list_follows_every_materialization(world: AssetHarness) -> None:
    hour = world.hour(1)
    world.land_orders(hour)
    world.run(hour)
    first = _tick(world, None, None, world.now)
    world.run(hour)
    # Otherwise the UI would call the list "not evaluated" from here on.
    second = _tick(world, first.cursor, None, world.now)
    (standing,) = second.asset_events
    assert isinstance(standing, dg.AssetCheckEvaluation)
    assert standing.check_name == "open_gaps"
    assert standing.target_materialization_data is not None


def test_a_dead_webhook_never_fails_the_sensor(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour)
    result = _tick(world, None, "http://127.0.0.1:9/secret-hook", world.now)
    assert result.cursor


def test_time_running_out_has_the_hours_judged_again(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour)
    first = _tick(world, None, None, world.now)
    later = _tick(world, first.cursor, None, hour + timedelta(days=6, hours=4))
    starts = {r.tags["dagster/asset_partition_range_start"] for r in later.run_requests}
    assert hour_key(hour) in starts


def test_a_fresh_install_raises_no_alarm(world: AssetHarness) -> None:
    result = _tick(world, None, None, world.now)
    assert not result.run_requests
    observed = [e for e in result.asset_events if isinstance(e, dg.AssetObservation)]
    assert observed == []


def test_an_hour_that_nobody_materialized_is_flagged(world: AssetHarness) -> None:
    for back in (6, 4):
        world.land_orders(world.hour(back))
        world.run(world.hour(back))
    result = _tick(world, None, None, world.now)
    noted = {e.partition for e in result.asset_events if isinstance(e, dg.AssetObservation)}
    assert hour_key(world.hour(5)) in noted
    assert world.instance.get_runs_count(dg.RunsFilter()) == 2


def test_every_result_of_a_check_names_its_hour_and_passing_ones_count_zero(
    world: AssetHarness,
) -> None:
    hour = world.hour(2)
    world.land_orders(hour)
    world.run(hour)
    counted = {
        "attribution_health": {"coverage_above_threshold": "missing_orders"},
        "delivery_results": {"all_events_resolved": "unknown"},
        "matched_events": {
            "events_pass_meta_validation": "invalid",
            "orders_not_doubled": "orders",
        },
        "orders": {"orders_match_contract": "quarantined"},
        "visits": {"visits_match_contract": "quarantined"},
    }
    for asset, checks in counted.items():
        for check, number in checks.items():
            result = _evaluations(world, asset, check)[hour_key(hour)]
            assert result.passed, result.description
            assert (result.description or "").startswith(hour_key(hour))
            assert result.metadata[number].value == 0
