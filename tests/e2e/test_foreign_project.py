"""A team's own Dagster project with two shops, opened and used in a real browser.

Nothing of ours knows the project: the team's assets have keys, partitions and groups of their own.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.browser import chromium, open_page
from tests.helpers.dg_project import write_project
from tests.helpers.open_ui import clean_env
from tests.helpers.processes import running

pytestmark = pytest.mark.e2e
SHOPS = {"berlin": "1234567890123456", "paris": "9876543210987654"}
TEAM = """\
import dagster as dg

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)


@dg.asset(key_prefix="web", partitions_def=DAYS, group_name="tracker")
def visits() -> None: ...


@dg.asset(key_prefix="warehouse", group_name="tables")
def orders() -> None: ...
"""
SHOP = """\
type: capi_assets.ConversionsPipeline
attributes:
  key_prefix: shops/{name}
  env_prefix: {upper}_
  visits_upstream: [web/visits]
  orders_upstream: [warehouse/orders]
  settings:
    landing: data/{name}/landing
    lake: data/{name}/lake
    ledger_url: sqlite:///data/{name}/ledger.db
    erasure_key_file: data/{name}/erasure.key
    views: data/{name}/capi.duckdb
    dataset_id: "{dataset}"
    access_token: "{{{{ env.META_TOKEN }}}}"
    graph_url: {meta}
    start_date: {start}
"""


@pytest.fixture
def meta() -> Iterator[SandboxServer]:
    with SandboxServer(tokens=["good"], datasets=SHOPS.values()) as meta:
        yield meta


@pytest.fixture
def hour() -> datetime:
    return floor_hour(datetime.now(UTC)) - 2 * HOUR


@pytest.fixture
def project(tmp_path: Path, meta: SandboxServer, hour: datetime) -> Path:
    start = f"{hour - timedelta(days=1):%Y-%m-%d}"
    files = {"team.py": TEAM} | {
        f"{name}/defs.yaml": SHOP.format(
            name=name, upper=name.upper(), dataset=dataset, meta=meta.url, start=start
        )
        for name, dataset in SHOPS.items()
    }
    root = write_project(tmp_path / "team", "team_in_browser", files)
    (root / "src" / "team_in_browser" / "definitions.py").write_text(
        "import pathlib\n\nimport dagster as dg\n\n"
        "defs = dg.load_from_defs_folder(path_within_project=pathlib.Path(__file__))\n"
    )
    for name in SHOPS:
        folder = root / "data" / name / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
        folder.mkdir(parents=True)
        order = {
            "order_id": f"{name}-1", "occurred_at": (hour + timedelta(minutes=5)).isoformat(),
            "value": 10, "currency": "EUR", "email": "ana@example.com", "action_source": "email",
        }  # fmt: skip
        (folder / "orders.jsonl").write_text(json.dumps(order) + "\n")
    home = root / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nnux: {enabled: false}\n"
        "run_coordinator: {module: dagster._core.run_coordinator,"
        " class: DefaultRunCoordinator}\n"  # the default one needs the daemon
    )
    return root


@pytest.fixture
def address(project: Path) -> Iterator[str]:
    """The team's webserver."""
    port, log = free_port(), project / "webserver.log"
    with running(
        [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port),
         "-m", "team_in_browser.definitions", "-d", "src"],
        lambda: "Serving dagster-webserver" in log.read_text(), seconds=600, patience=60, log=log,
        cwd=project,
        env={**clean_env(), "DAGSTER_HOME": str(project / "home"), "META_TOKEN": "good",
             "PYTHONPATH": f"{project / 'src'}:{Path(__file__).parents[2]}"},
    ):  # fmt: skip
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_two_shops_are_one_lineage_with_the_teams_assets_and_deliver_by_clicks(
    address: str, browser: Browser, meta: SandboxServer, hour: datetime
) -> None:
    page = open_page(browser)
    page.goto(address)
    page.get_by_role("link", name="Lineage").click()
    for group in ("tracker", "tables", *(f"shops__{shop}__conversions" for shop in SHOPS)):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()

    page.goto(f"{address}/assets/warehouse/orders?view=lineage")
    for shop in SHOPS:
        node = page.locator(f'a[href^="/assets/shops/{shop}/orders"]').first
        expect(node).to_be_visible()

    page.get_by_role("link", name="Jobs").first.click()
    page.get_by_role("link", name="shops__paris__deliver_hour").click()
    page.get_by_role("tab", name="Partitions").click()
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    for upstream in ("warehouse / orders", "web / visits"):
        expect(dialog.get_by_text(upstream)).to_be_visible()  # not materialized yet: Dagster asks
    dialog.get_by_role("button", name="Confirm").click()
    dialog.locator("input[type=text]").fill(hour_key(hour))
    dialog.locator("input[type=text]").press("Enter")
    dialog.get_by_role("button", name=re.compile("^Launch")).click()
    deadline = time.monotonic() + 600
    while not totals(meta.inbox)["events"]["accepted"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    page.goto(f"{address}/runs")
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
