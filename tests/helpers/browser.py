"""Debian's Chromium, operated by Playwright as a person would: by clicks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

_TIMEOUT_MS = 120_000  # a click waits for what it clicks on: the machine may be busy


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; nothing else that needs an event loop may run in this thread meanwhile."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("the test needs Debian's package chromium")
    expect.set_options(timeout=_TIMEOUT_MS)
    # Chromium's own sandbox does not work for root, as whom CI runs.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        yield browser
        browser.close()


def open_page(browser: Browser, width: int = 1280, height: int = 800) -> Page:
    """A page in a fresh profile, in UTC as the hours are."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, timezone_id="UTC", locale="en-GB"
    )
    context.set_default_timeout(_TIMEOUT_MS)
    return context.new_page()


def choose_failed(dialog: Locator, hour: str) -> None:
    """Presses *Failed and missing* in Dagster's launch dialog until it has chosen `hour`, the first
    that failed. Before Dagster has loaded the failed partitions it chooses the missing ones, and
    chooses again only after another choice."""
    deadline = time.monotonic() + _TIMEOUT_MS / 1000
    while hour not in dialog.locator("input[type=text]").input_value():
        assert time.monotonic() < deadline
        for name in ("Latest", "Failed and missing"):
            dialog.get_by_role("button", name=name, exact=True).click()
        dialog.page.wait_for_timeout(500)
