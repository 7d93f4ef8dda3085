"""`meta_access` through Dagster against the sandbox: good, ending and dead tokens, told once."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.meta_access import MetaAccess
from capi_assets.coverage.alerting.channels import Message
from capi_assets.defs.access import meta_access
from capi_assets.hours import floor_hour
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.tokens import digest_of
from capi_assets.settings import Settings
from tests.helpers.asset_harness import TOKEN, AssetHarness

DAY = timedelta(days=1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What a channel was given, in place of one that sends."""
    kept: list[Message] = []

    class Keeping:
        name = "keeping"

        def send(self, messages: list[Message]) -> None:
            kept.extend(messages)

    monkeypatch.setattr(meta_access, "alert_channels", lambda settings: [Keeping()])
    return kept


def look(
    world: AssetHarness, days: float = 0, **settings: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One materialization `days` from now: the stored row, and each check's evaluation."""
    at = world.now + days * DAY
    world.meta.set_clock(at)
    result = world.job("check_access", **settings).execute_in_process(
        instance=world.instance, run_config=world.at(at)
    )
    assert result.success
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert set(checks) == {"token_valid", "token_not_expiring", "graph_version_supported"}
    rows = world.lake.read("meta_access", [floor_hour(at)], arrow_schema(MetaAccess)).to_pylist()
    return rows[0] if rows else {}, checks


def test_a_good_token_is_green_and_worth_no_word(world: AssetHarness, told: list[Message]) -> None:
    row, checks = look(world)
    assert row["verdict"] == "ok"
    assert row["token_accepted"] is True
    assert row["preflight"] is None
    assert row["never_expires"] is True
    assert all(check.passed for check in checks.values())
    assert told == []
    assert totals(world.meta.inbox)["requests"]["calls"] == 0, "an event was sent unasked"


def test_the_preflight_is_sent_by_choice(world: AssetHarness, told: list[Message]) -> None:
    row, checks = look(world, preflight="on")
    assert row["preflight"] == "ok"
    assert "lets it send" in checks["token_valid"].description
    assert totals(world.meta.inbox)["requests"]["calls"] == 1
    assert world.received()["accepted"] == 0


def test_an_ending_token_is_told_at_each_step_and_once(
    world: AssetHarness, told: list[Message]
) -> None:
    world.meta.renew_token(TOKEN, world.now + 20.1 * DAY)
    row, checks = look(world)
    assert row["days_left"] == 20
    assert not checks["token_not_expiring"].passed
    assert checks["token_not_expiring"].severity == dg.AssetCheckSeverity.WARN
    assert checks["token_valid"].passed
    look(world, days=1)
    assert [message.document["kind"] for message in told] == ["token_ends_in_30"]
    _, checks = look(world, days=14)
    assert checks["token_not_expiring"].severity == dg.AssetCheckSeverity.ERROR
    look(world, days=14.01)
    assert [m.document["kind"] for m in told[1:]] == ["token_ends_in_7"]
    world.meta.renew_token(TOKEN)
    _, checks = look(world, days=15)
    assert checks["token_not_expiring"].passed
    assert told[2].good


def test_a_dead_token_is_red_and_the_run_is_not(world: AssetHarness, told: list[Message]) -> None:
    world.meta.expire_token(TOKEN)
    row, checks = look(world)
    assert (row["verdict"], row["code"], row["subcode"]) == ("error", 190, 463)
    assert not checks["token_valid"].passed
    assert checks["token_valid"].severity == dg.AssetCheckSeverity.ERROR
    assert "CAPI_ACCESS_TOKEN" in checks["token_valid"].description
    look(world, days=1)
    assert [message.severity for message in told] == ["error"]


@pytest.mark.parametrize("preflight", ["off", "on"])
def test_a_wrong_app_secret_is_named_and_not_the_token(
    world: AssetHarness, told: list[Message], preflight: str
) -> None:
    world.meta.state.tokens.app_secret = "the-right-one"
    row, checks = look(world, app_secret="a-wrong-one", preflight=preflight)
    assert (row["verdict"], row["code"]) == ("error", 100)
    assert not checks["token_valid"].passed
    assert "the app secret is missing or wrong (error 100)" in checks["token_valid"].description
    assert "Set CAPI_APP_SECRET" in checks["token_valid"].description
    assert "Events Manager" not in checks["token_not_expiring"].description
    assert [message.severity for message in told] == ["error"]
    row, _ = look(world, days=1, app_secret="the-right-one", preflight=preflight)
    assert row["verdict"] == "ok"


def test_a_token_of_events_manager_alarms_nobody(world: AssetHarness, told: list[Message]) -> None:
    world.meta.state.tokens.put(digest_of(TOKEN), world.now, may_inspect=False)
    row, checks = look(world)
    assert row["verdict"] == "unknown"
    assert all(check.passed for check in checks.values())
    assert "Events Manager" in checks["token_not_expiring"].description
    assert told == []
    row, _ = look(world, preflight="on")
    assert row["token_accepted"] is True


def test_an_ended_version_is_red(world: AssetHarness, told: list[Message]) -> None:
    _, checks = look(world, graph_version="v20.0")
    assert not checks["graph_version_supported"].passed
    assert "Meta answers with v21.0 instead" in checks["graph_version_supported"].description
    assert checks["token_valid"].passed


def test_no_token_and_no_dataset_are_told(world: AssetHarness, told: list[Message]) -> None:
    row, checks = look(world, access_token=None)
    assert not checks["token_valid"].passed
    assert "CAPI_ACCESS_TOKEN_FILE" in row["words"]
    assert [message.document["kind"] for message in told] == ["access_no_token"]
    row, checks = look(world, days=1, dataset_id="")
    assert row == {}
    assert "CAPI_DATASET_ID" in checks["token_valid"].description
    assert not checks["token_valid"].passed


def test_a_channel_that_fails_and_a_memory_that_is_broken_stop_nothing(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Settings) -> list[Any]:
        raise ValueError("not an address")

    monkeypatch.setattr(meta_access, "alert_channels", broken)
    world.meta.expire_token(TOKEN)
    look(world)
    world.lake.path("meta_access", floor_hour(world.now)).write_bytes(b"no parquet")
    row, _ = look(world, days=1)
    assert row["told"] == "access=token"


@pytest.mark.dagster_in_files
def test_the_token_is_written_nowhere(
    world: AssetHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row, _ = look(world, preflight="on", app_secret="the-app-secret")
    assert row["verdict"] == "ok"
    world.meta.expire_token(TOKEN)
    look(world, preflight="on", days=1, app_secret="the-app-secret")
    kept = [path for path in world.root.rglob("*") if path.is_file()]
    assert len(kept) > 3
    for hidden in (TOKEN, "the-app-secret"):
        assert hidden not in caplog.text
        assert [path for path in kept if hidden.encode() in path.read_bytes()] == []
