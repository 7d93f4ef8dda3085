"""The page at `/`: self-contained, honest, and without anyone's data."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
import requests

from capi_assets.sandbox.chart import ceiling, hourly_chart
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import DATASET, NOW, PERSON, TOKEN, control, post, purchase


def page(server: SandboxServer, part: str = "") -> str:
    answer = requests.get(server.url + "/" + part, timeout=5)
    assert answer.status_code == 200
    return answer.text


class Tags(HTMLParser):
    """The open tags of a page, which all must be closed again."""

    VOID = frozenset({"meta", "link", "br", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def busy(server: SandboxServer) -> None:
    """A bit of everything the page can show."""
    post(server, purchase(1), purchase(2), purchase("<b>&", event_name="<script>alert(1)</script>"))
    post(server, purchase(1))
    post(server, purchase(event_time=0))
    server.set_clock(NOW + timedelta(hours=49))
    post(server, purchase(1))
    server.set_fault("server_error", share=0.5, count=3, until=NOW + timedelta(days=9), seed=1)
    server.set_fault("unavailable_text", count=1)
    post(server, purchase(4))
    server.expire_token(TOKEN)


@pytest.mark.parametrize("filled", [False, True])
def test_the_page_is_sound_html_that_asks_nobody_else(server: SandboxServer, filled: bool) -> None:
    if filled:
        busy(server)
    text = page(server)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    outside = re.findall(r"""(?:src|href|url\(|@import)\s*=?\s*["']?(https?:|//)""", text)
    assert outside == []


def test_the_page_shows_what_happened(server: SandboxServer) -> None:
    busy(server)
    text = page(server)
    for seen in ("duplicate, removed", "counted twice", "100 / 2804003", "Event Timestamp Too Old",
                 "Server error 503, 50 % of calls", "expired", "59.70 EUR", DATASET):  # fmt: skip
        assert seen in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_the_page_shows_key_names_but_no_values(server: SandboxServer) -> None:
    busy(server)
    text = page(server)
    assert "<code>external_id</code>" in text
    for value in PERSON.values():
        assert (value[0] if isinstance(value, list) else value) not in text
    assert TOKEN not in text


def test_the_live_part_is_what_the_page_holds(server: SandboxServer) -> None:
    post(server, purchase())
    live = page(server, "?part=live")
    assert "<style>" not in live
    assert live.strip() in page(server)


def test_every_button_does_what_it_says(server: SandboxServer) -> None:
    pressed = re.compile(
        r'data-method="(\w+)" data-url="/_sandbox([^"]+)"(?: data-body=\'([^\']+)\')?'
    )
    for method, path, body in pressed.findall(page(server)):
        answer = requests.request(
            method, server.url + "/_sandbox" + path, data=body.replace("&#34;", '"'), timeout=5
        )
        assert answer.status_code == 200, (method, path, body)
    assert len(control(server, "GET", "/faults")["faults"]) == 19
    assert control(server, "GET", "/tokens")["tokens"][0]["valid"] is False
    assert page(server).count('aria-pressed="true" data-method') == 19


def test_the_chart_shows_empty_hours_as_gaps() -> None:
    rows = [
        {"hour": f"2026-11-{day:02}-{hour:02}:00", "accepted": 5, "doubled": 0, "duplicates": 1}
        for day, hour in [(18, 0), (18, 1), (20, 23)]
    ]
    chart = hourly_chart(rows, datetime(2026, 11, 20, 23, 59, tzinfo=UTC))
    assert chart is not None
    assert [round(bar.left * 72 / 100) for bar in chart.bars] == [0, 1, 71]
    assert {text for _, text in chart.labels} == {"18 Nov", "12:00", "19 Nov", "20 Nov"}
    assert chart.lines == [(50.0, "3"), (0.0, "6")]
    assert hourly_chart([], NOW) is None


def test_the_chart_keeps_to_a_week() -> None:
    rows = [
        {"hour": f"2026-{month}-20-00:00", "accepted": 1, "doubled": 0, "duplicates": 0}
        for month in ("09", "11")
    ]
    chart = hourly_chart(rows, datetime(2026, 11, 20, 0, 30, tzinfo=UTC))
    assert chart is not None
    assert len(chart.bars) == 1


@pytest.mark.parametrize(("later", "left"), [(1, 100 * 22 / 24), (30, 0), (24 * 9, None)])
def test_the_chart_ends_now_and_not_with_the_last_event(later: int, left: float | None) -> None:
    rows = [{"hour": "2026-11-20-00:00", "accepted": 1, "doubled": 0, "duplicates": 0}]
    now = datetime(2026, 11, 20, 0, 30, tzinfo=UTC) + timedelta(hours=later)
    chart = hourly_chart(rows, now)
    assert chart is not None
    assert [bar.left for bar in chart.bars] == ([] if left is None else [pytest.approx(left, 0.01)])


@pytest.mark.parametrize(
    ("highest", "top"), [(1, 2), (7, 8), (128, 140), (2000, 2000), (2001, 4000)]
)
def test_the_axis_ends_at_a_round_number(highest: int, top: int) -> None:
    assert ceiling(highest) == top
