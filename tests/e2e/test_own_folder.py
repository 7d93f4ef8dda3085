"""First useful sight: a folder of one's own, one file of own orders, and the event at Meta."""

from __future__ import annotations

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
        delivered = call(
            "dagster", "asset", "materialize", "-m", "capi_assets.definitions",
            "--select", "+attribution_health", "--partition", hour_key(hour), folder=shop,
        )  # fmt: skip
        assert delivered.returncode == 0, delivered.stderr[-3000:]
        events = totals(meta.inbox)["events"]
    assert (events["received"], events["accepted"]) == (2, 2)
    assert (shop / "data" / "dagster").exists()
    told = call("capi-assets", "explain", "A-1", folder=shop)
    assert "delivered" in told.stdout, told.stdout + told.stderr


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
