"""First useful sight: a folder of one's own, one file of own orders, and the event at Meta."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capi_assets.hours import floor_hour, hour_key
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from tests.e2e.test_command_line import call

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("source", ["files", "sql"])
def test_own_orders_reach_meta_from_a_folder_that_init_wrote(tmp_path: Path, source: str) -> None:
    hour = floor_hour(datetime.now(UTC))
    with SandboxServer(tokens=["good"], datasets={"42": "Shop"}) as meta:
        (tmp_path / "token").write_text("good")
        (tmp_path / "token").chmod(0o600)
        done = call(
            "capi-assets", "init", "shop", "--dataset-id", "42", "--graph-url", meta.url,
            "--access-token-file", str(tmp_path / "token"), "--default-country", "DE",
            *(["--sql"] if source == "sql" else []), folder=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in done.stdout
        shop = tmp_path / "shop"
        validated = call("dagster", "definitions", "validate", "-w", "workspace.yaml", folder=shop)
        assert validated.returncode == 0, validated.stderr[-3000:]

        _land_orders(shop, source, hour)
        if source == "files":  # from here on it is the same for both
            _token_expires(shop, hour, meta)
        done = call("capi-assets", "backfill", hour.isoformat(), "--json", folder=shop)
        assert done.returncode == 0, done.stdout + done.stderr
        delivered = json.loads(done.stdout)["hours"][hour_key(hour)]
        assert (delivered["orders"], delivered["delivered"], delivered["finished"]) == (2, 2, True)
        assert totals(meta.inbox)["events"]["accepted"] == 2
    assert (shop / "data" / "dagster").exists()
    history = call("capi-assets", "explain", "A-1", folder=shop)
    assert "delivered" in history.stdout, history.stdout + history.stderr


def _token_expires(shop: Path, hour: datetime, meta: SandboxServer) -> None:
    """The hour fails, and a dry run tells what another attempt would deliver."""
    meta.set_fault("expired_token")
    failed = call("capi-assets", "backfill", hour_key(hour), folder=shop)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "not finished" in " ".join(failed.stdout.split())
    meta.clear_faults()
    span = f"{hour_key(hour)}...now"
    planned = call("capi-assets", "backfill", span, "--dry-run", "--json", folder=shop)
    assert json.loads(planned.stdout)["total"]["recoverable"] == 2
    assert totals(meta.inbox)["events"]["accepted"] == 0


def _land_orders(shop: Path, source: str, hour: datetime) -> None:
    path = shop / "exports" / "orders-today.csv"
    if source == "files":
        path = shop / "data" / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / "mine.csv"
        path.parent.mkdir(parents=True)
    path.write_text(
        "order_id,occurred_at,value,currency,email,event_source_url,client_user_agent\n"
        f"A-1,{hour.isoformat()},49.90,EUR,ada@shop.example,https://shop.example/,Firefox\n"
        f"A-2,{hour.isoformat()},19.00,EUR,bo@shop.example,https://shop.example/,Firefox\n"
    )
