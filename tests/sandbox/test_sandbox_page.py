"""The page at `/`: self-contained, honest, and without anyone's data."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
import requests

from capi_assets.sandbox.faults import KINDS
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
    assert len(control(server, "GET", "/faults")["faults"]) == len(KINDS) - 1
    assert control(server, "GET", "/tokens")["tokens"][0]["valid"] is False
    assert page(server).count('aria-pressed="true" data-method') == len(KINDS) - 1


def test_the_page_counts_events_per_hour_with_the_newest_first(server: SandboxServer) -> None:
    hour_before = int((NOW - timedelta(hours=2)).timestamp())
    post(server, purchase(1, event_time=hour_before), purchase(2), purchase(3))
    post(server, purchase(3))
    part = page(server).split('data-part="hours"')[1].split("</section>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in part.split("<tr>")[2:]]
    hours = [f"{NOW - timedelta(hours=n):%Y-%m-%d-%H:00}" for n in (1, 2)]
    assert rows == [[hours[0], DATASET, "2", "1", "0"], [hours[1], DATASET, "1", "0", "0"]]
