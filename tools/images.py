"""Rewrites the pictures of Dagster's UI, of the report and of the sandbox in docs/images.

`make images` plays the demo up to its gap (some minutes), opens it as `make ui` does, and takes the
pictures in Debian's Chromium. `--stage FOLDER` takes a folder that was played before.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect
from rich.console import Console

from capi_assets.commands.demo.play import play
from capi_assets.commands.demo.scenarios import DEMO
from capi_assets.commands.demo.workspace import load_workspace
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.hours import HOUR, hour_key
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy
from tests.helpers.browser import choose_failed, chromium, open_page
from tests.helpers.open_ui import CAPI, OpenUI, clean_env, open_ui

IMAGES = Path(__file__).parents[1] / "docs" / "images"
_WIDTH = 1100  # README's column is some 850 wide: text stays readable, and Dagster's tables fit


def take_pictures(ui: OpenUI, folder: Path) -> None:
    """Takes all pictures of this UI, over the workspace in `folder`."""
    workspace = load_workspace(folder)
    assert workspace is not None
    settings = workspace.settings()
    now = max(Lake(settings.lake).hours("attribution_health")) + HOUR
    gap = max(find_gaps(Lake(settings.lake), coverage_policy(settings, now), now).gaps,
              key=lambda gap: gap.orders)  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        report = Path(temporary) / "report.html"
        hours = f"{hour_key(workspace.first)}...{hour_key(now - HOUR)}"
        command = [CAPI, "--stage", folder, "report", hours, "--out", report]
        subprocess.run(command, env=clean_env(), check=True, stdout=subprocess.DEVNULL)
        _picture("report", _page(browser, report.as_uri(), 920, 1150))
        page = _page(browser, ui.sandbox, 1000, 990)
        faults = page.get_by_text("Faults", exact=True)
        faults.evaluate("heading => { heading.scrollIntoView(); scrollBy(0, -30); }")
        _picture("sandbox", page)

        page = _page(browser, ui.url, _WIDTH, 740)
        page.get_by_text("Hide navigation").click()
        page.goto(f"{ui.url}/locations/capi_assets/asset-groups/conversions")
        page.get_by_text("attribution_health").first.wait_for()
        expect(page.get_by_text("Loading")).to_have_count(0)
        _picture("asset-graph", page)

        page.set_viewport_size({"width": _WIDTH, "height": 600})
        page.goto(f"{ui.url}/assets/delivery_results?view=partitions")
        page.get_by_text("No partition selected").wait_for()
        _picture("failed-hours", page)

        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{ui.url}/assets/attribution_health?view=checks"
                  "&checkDetail=coverage_above_threshold")  # fmt: skip
        page.get_by_text("Latest execution").wait_for()
        page.get_by_role("tab", name="Partitions").last.click()
        page.get_by_placeholder("Filter by partition").wait_for()
        page.locator("span", has_text=hour_key(gap.last_hour - 3 * HOUR)).first.click()
        page.get_by_text("because the access token has expired").wait_for()
        # Without the list of checks, which is left of it.
        _picture("coverage-check", page, clip={"x": 362, "y": 104, "width": 918, "height": 796})

        page.goto(f"{ui.url}/guess/deliver_hour/partitions")
        page.get_by_role("button", name="Materialize…").click()
        dialog = page.get_by_role("dialog")
        choose_failed(dialog, hour_key(gap.first_hour))
        _picture("launch-backfill", dialog)


def _page(browser: Browser, url: str, width: int, height: int) -> Page:
    page = open_page(browser, width, height)
    page.goto(url)
    return page


def _picture(name: str, of: Page | Locator, **options: object) -> None:
    # Dagster fills its boxes after they are drawn.
    (of if isinstance(of, Page) else of.page).wait_for_timeout(3000)
    of.screenshot(path=IMAGES / f"{name}.png", animations="disabled", **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", type=Path)
    folder = parser.parse_args().stage
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "demo"
            # As the demo, without its recovery.
            scenario = replace(DEMO, is_fixable=False)
            play(scenario, folder, Console(), hours=72, seed=7, visits_per_day=12_000)
        ui = stack.enter_context(open_ui(folder, folder.parent / "ui.log"))
        take_pictures(ui, folder)


if __name__ == "__main__":
    main()
