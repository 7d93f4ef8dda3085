"""`make ui` as a user clicks through it, from a gap to its end, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from capi_assets.coverage.links import partition_ranges_text
from capi_assets.hours import hour_key
from tests.helpers.browser import choose_failed, chromium, open_page
from tests.helpers.open_ui import CAPI, OpenUI, clean_env, open_ui, play_gap

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
ASSETS = ("visits", "orders", "matched_events", "delivery_results", "attribution_health")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "stage"


@pytest.fixture(scope="module")
def failed(folder: Path) -> list[datetime]:
    """The hours of the gap."""
    return play_gap(folder)


@pytest.fixture(scope="module")
def ui(folder: Path, failed: list[datetime]) -> Iterator[OpenUI]:
    with open_ui(folder, folder.parent / "ui.log") as ui:
        yield ui


@pytest.fixture(scope="module")
def browser(ui: OpenUI) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, ui: OpenUI) -> Page:
    page = open_page(browser)
    page.goto(ui.url)
    return page


def test_the_graph_shows_the_assets_in_their_groups(page: Page) -> None:
    page.get_by_role("link", name="Lineage").click()
    for group in ("conversions", "conversions_meta_access", "conversions_meta_reports"):
        expect(page.get_by_text(group, exact=True).last).to_be_visible()
    page.get_by_role("button", name="arrow_drop_down").first.click()
    for asset in ASSETS:
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()


def test_a_flagged_hour_says_why_what_it_costs_and_until_when(
    page: Page, failed: list[datetime]
) -> None:
    hour = hour_key(failed[0])
    page.get_by_role("link", name="Catalog").click()
    page.get_by_role("link", name="attribution_health").first.click()
    page.get_by_role("tab", name="Checks").click()
    page.get_by_text("coverage_above_threshold", exact=True).first.click()
    expect(page.get_by_text("Latest execution")).to_be_visible()
    page.get_by_role("tab", name="Partitions").last.click()
    page.get_by_placeholder("Filter by partition…").fill(hour)
    page.locator("span", has_text=hour).first.click()
    said = page.get_by_text("because the access token has expired")
    expect(said).to_contain_text(f"{hour}: 0 of ")
    expect(said).to_contain_text(re.compile(r"can still be delivered until 20\d\d-"))
    expect(page.get_by_role("row", name="cause token")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"first_deadline \d"))).to_be_visible()
    pending = page.get_by_role("row", name=re.compile(r"^pending \d+ .*[\d,]+\.\d\d$"))
    expect(pending.last).to_be_attached()


def test_links_open_the_backfill_with_the_hours_of_the_gap(
    page: Page, ui: OpenUI, folder: Path, failed: list[datetime]
) -> None:
    hours = partition_ranges_text([f"{hour_key(failed[0])}...{hour_key(failed[-1])}"])
    [incident] = json.loads(_gaps(folder, "--json"))
    link = incident["link"]
    assert link.startswith(ui.url)
    deadline = time.monotonic() + 600
    while f"New incident (error), {failed[0]:%Y-%m-%d %H:%M}" not in ui.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    [alert] = re.findall(r"coverage_sensor - (New incident .*)", ui.log.read_text())
    assert alert.endswith(f" {link}")
    page.goto(link)
    _shows_hours(page, hours, len(failed))

    page.goto(f"{ui.url}/assets/attribution_health?view=checks&checkDetail=open_gaps")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=link).first.click()
    _shows_hours(opened.value, hours, len(failed))
    # No cell of its tables is cut off or must be scrolled to.
    expect(page.get_by_role("row", name=re.compile("^remedies")).first).to_be_visible()
    for cell in page.locator("table td").all():
        box = cell.bounding_box()
        assert box is None or box["x"] + box["width"] <= 1280


def _gaps(folder: Path, *options: str) -> str:
    """What `capi-assets gaps` prints meanwhile."""
    done = subprocess.run(
        [CAPI, "--stage", folder, "gaps", *options],
        cwd=folder.parent, env=clean_env(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def _shows_hours(page: Page, hours: str, number: int) -> None:
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("input[type=text]")).to_have_value(hours)
    expect(dialog.get_by_text(f"{number} partitions", exact=True)).to_be_visible()
    expect(dialog.get_by_role("button", name="Launch backfill")).to_be_enabled()


def test_the_sandboxs_page_shows_events_and_switches_a_fault(page: Page, ui: OpenUI) -> None:
    page.goto(ui.sandbox)
    expect(page.get_by_text("Events counted")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Purchase .* counted")).first).to_be_visible()
    expect(page.get_by_text("Error validating access token")).to_be_visible()
    throttled = page.get_by_role("button", name="Throttled", exact=True)
    throttled.click()
    expect(throttled).to_have_attribute("aria-pressed", "true")
    assert [fault["kind"] for fault in _faults(ui)] == ["throttled"]
    throttled.click()
    expect(throttled).to_have_attribute("aria-pressed", "false")
    assert _faults(ui) == []


def _faults(ui: OpenUI) -> list[dict[str, Any]]:
    answer = requests.get(f"{ui.sandbox}/_sandbox/faults", timeout=30).json()
    faults: list[dict[str, Any]] = answer["faults"]
    return faults


def test_the_clicks_of_the_readme_close_the_gap(
    page: Page, ui: OpenUI, folder: Path, failed: list[datetime]
) -> None:
    readme = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").split())
    [path] = re.findall(r"\*\*In the UI\*\*: (.+?)\. Consecutive hours", readme)
    clicks = [step.strip("*`") for step in path.split(" > ")]
    assert clicks[0] == "Jobs"
    for name in clicks:
        if name == "Failed and missing":
            choose_failed(page.get_by_role("dialog"), hour_key(failed[0]))
            continue
        shown = re.compile(rf"(^|\W){re.escape(name)}$")
        button = page.get_by_role("button", name=shown)
        link = page.get_by_role("link", name=shown)
        tab = page.get_by_role("tab", name=shown)
        button.or_(link).or_(tab).last.click()
    deadline = time.monotonic() + 600
    while not (closed := _gaps(folder)).startswith("No gaps"):
        assert time.monotonic() < deadline, closed
    page.goto(f"{ui.url}/assets/delivery_results?view=partitions")
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    _everything_is_on(ui)
    assert "warning" not in ui.log.read_text().lower()


def _numbers(ui: OpenUI) -> dict[str, dict[str, int]]:
    nodes = _ask(
        ui, "{ assetNodes { assetKey { path } partitionStats { numMaterialized numFailed } } }"
    )["assetNodes"]
    return {node["assetKey"]["path"][0]: node["partitionStats"] for node in nodes}


def _everything_is_on(ui: OpenUI) -> None:
    [location] = _ask(
        ui,
        "{ workspaceOrError { ... on Workspace { locationEntries { name"
        " locationOrLoadError { __typename } } } } }",
    )["workspaceOrError"]["locationEntries"]
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    repository = (
        'repositorySelector: {repositoryName: "__repository__",'
        f' repositoryLocationName: "{location["name"]}"}}'
    )
    found = _ask(
        ui,
        f"{{ schedulesOrError({repository}) {{ ... on Schedules {{ results {{ name"
        f" state: scheduleState {{ status }} }} }} }} sensorsOrError({repository}) {{ ... on"
        f" Sensors {{ results {{ name state: sensorState {{ status }} }} }} }} }}",
    )
    states = {
        each["name"]: each["state"]["status"]
        for kind in ("schedulesOrError", "sensorsOrError")
        for each in found[kind]["results"]
    }
    assert {"deliver_hourly", "reconcile_nightly", "coverage_sensor"} <= set(states)
    assert set(states.values()) == {"RUNNING"}
    assert set(_numbers(ui)) == {*ASSETS, "meta_access", "meta_stats", "dataset_quality"}


def _ask(ui: OpenUI, query: str) -> dict[str, Any]:
    answer = requests.post(f"{ui.url}/graphql", json={"query": query}, timeout=30).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data
