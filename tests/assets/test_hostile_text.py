"""Data never becomes markup, an escape sequence, SQL or a log line, and crashes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from html.parser import HTMLParser
from io import StringIO

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.markdown import Markdown
from rich.text import Text

from capi_assets.cli import main
from capi_assets.commands.terminal import Terminal
from capi_assets.commands.views import build_views
from capi_assets.coverage.alerting.channels.email import mail_of
from capi_assets.coverage.alerting.channels.http import webhook_text
from capi_assets.coverage.alerting.channels.message import Message
from capi_assets.defs.metadata import markdown_text
from capi_assets.hours import hour_key
from capi_assets.lake import Lake
from capi_assets.meta.graph.errors import parse_error
from capi_assets.printable import printable
from tests.helpers.asset_harness import DATASET, AssetHarness

HOSTILE = [
    "![x](http:evil)",
    "[link](javascript:alert)",
    "[red]x[/] [/nothing]",
    "\x1b[31mred\x1b]8;;http:evil\x07",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "=cmd()",
    "a\r\nWARNING forged line",
    "'; drop table orders; --",
    'a"b',
    "A\x1fB",
    "\u202egnp.exe",
    "`code` *bold* _it_ | cell",
    "{{ 7 * 7 }} %s %(x)s",
]
hostile_text = st.one_of(
    st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3).map(" ".join), st.text(max_size=40)
)


@pytest.fixture
def played(world: AssetHarness, monkeypatch: pytest.MonkeyPatch) -> AssetHarness:
    """An hour with every hostile id, event name and column, and one with an unreadable file."""
    hour = world.hour(3)
    lines = [
        {
            "order_id": f"o{n} {text}",
            "event_name": f"E {text}"[:50],
            "occurred_at": (hour + timedelta(minutes=n)).isoformat(),
            "value": 10 + n,
            "currency": "EUR",
            "email": f"person{n}@example.com",
            f"column {text}": text,
            "content_ids": [text],
            "custom_data": {text: text},
        }
        for n, text in enumerate(HOSTILE)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    world.land("orders", hour, "![x](http:evil) [red]\x1b[31m\r\n.jsonl", text)
    world.land("orders", world.hour(2), "![y](http:evil) <b>\x1b[31m\r\n.csv", 'a,b\n1,"2\n')
    folder = world.root / "landing" / "orders" / f"{hour:%Y-%m-%d}"
    (folder / "![z](http:evil)\x1b[31m\n.csv").write_text("a\n")
    world.run(world.hour(3), world.hour(2))
    for name, value in {
        "CAPI_LAKE": str(world.root / "lake"),
        "CAPI_LANDING": str(world.root / "landing"),
        "CAPI_LEDGER_URL": f"sqlite:///{world.root / 'ledger.db'}",
        "CAPI_VIEWS": str(world.root / "views.duckdb"),
        "CAPI_DATASET_ID": DATASET,
        "CAPI_GRAPH_URL": "http://127.0.0.1:9",
        "CAPI_NOW": world.now.isoformat(),
        "COLUMNS": "300",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.root)
    return world


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts_and_images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img") or any(name.startswith("on") for name, _ in attrs):
            self.scripts_and_images.append(tag)


def test_no_event_of_a_run_and_no_command_interprets_data(played: AssetHarness) -> None:
    hour = played.hour(3)
    stored = played.read("delivery_results", [hour])
    assert len(stored) == len(HOSTILE)
    assert {row["status"] for row in stored} == {"delivered"}

    # Dagster's UI reads descriptions and Markdown metadata as Markdown; messages are log lines.
    for run in played.instance.get_runs():
        for entry in played.instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event is None:
                assert "\x1b" not in entry.user_message
                assert "\n" not in entry.user_message
                continue
            data = event.event_specific_data
            assert "MarkdownMetadataValue" not in dg.serialize_value(entry)
            described = getattr(data, "description", None)
            for part in ("materialization", "asset_observation"):
                described = described or getattr(getattr(data, part, None), "description", None)
            if described:
                assert _links(described) == []

    span = f"{hour_key(hour)}...{hour_key(played.hour(2))}"
    commands = [
        ["doctor"],
        ["gaps"],
        ["plan", span],
        ["resolve", span, "--decision", "resend", "--who", "x", "--why", "[red]"],
        ["report", span, "--out", "report.html"],
        ["views"],
        *(["explain", row["order_id"]] for row in stored),
    ]
    for command in commands:
        done = CliRunner().invoke(main, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        shown = done.output
        assert "\x1b" not in shown, command
        assert "\u202e" not in shown, command
        assert "\nWARNING forged" not in shown, command
    page = CliRunner().invoke(main, ["explain", f"o2 {HOSTILE[2]}"]).output
    assert HOSTILE[2] in page  # brackets are shown, not taken as a colour
    report = _Tags()
    report.feed((played.root / "report.html").read_text(encoding="utf-8"))
    assert "script" not in report.scripts_and_images
    assert report.scripts_and_images == []


def _links(text: str) -> list[str]:
    """Images, links and HTML in a text that is read as Markdown."""
    tokens = Markdown(text).parsed
    children = [child for token in tokens for child in (token.children or [])]
    kinds = ("image", "link_open", "html_inline", "html_block")
    return [token.type for token in [*tokens, *children] if token.type in kinds]


@given(hostile_text)
def test_a_description_never_has_images_links_or_html(text: str) -> None:
    assert _links(markdown_text(text)) == []


def test_our_own_code_stays_code() -> None:
    text = "Run `capi-assets plan` for matched_events of 2026-11-20-03:00."
    assert markdown_text(text) == text


@given(hostile_text)
def test_a_terminal_prints_no_escape_sequence(text: str) -> None:
    out = StringIO()
    terminal = Terminal()
    terminal.file = out
    terminal.print(text)
    terminal.print(Text(text))
    plain = out.getvalue().replace("\n", "")
    assert printable(plain) == plain


@given(st.text(st.characters(), max_size=300))
def test_a_title_of_metas_can_be_stored(title: str) -> None:
    body = json.dumps({"error": {"code": 100, "error_user_title": title}})
    found = parse_error(body).title
    assert found is not None
    assert pa.array([found]).to_pylist() == [found]
    assert "\0" not in found


@given(hostile_text)
def test_a_mail_has_its_own_headers_only_and_slack_no_commands(text: str) -> None:
    messages = [Message(text=f"alert {text}", subject=f"s {text}")]
    mail = mail_of(messages, "capi@shop.example", ["ops@shop.example"]).as_bytes()
    head = mail.partition(b"\r\n\r\n")[0]
    assert len([line for line in head.split(b"\r\n") if line.startswith(b"Subject:")]) == 1
    assert b"\r\nWARNING" not in head
    assert "<" not in webhook_text(messages)


def test_a_folder_name_is_no_sql(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("lake")
    name = 'x" AS SELECT 1; CREATE TABLE stolen AS SELECT 1; --'
    lake = Lake(str(root))
    part = lake.path(name, lake_hour := pa.scalar(0, pa.timestamp("s", "UTC")).as_py())
    assert lake_hour is not None
    part.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), str(part))
    target = root / "views.duckdb"
    assert build_views(lake, target) == [name]
    with duckdb.connect(str(target)) as connection:
        views = connection.execute("select view_name from duckdb_views() where not internal")
        assert views.fetchall() == [(name,)]
        assert connection.execute("select * from duckdb_tables()").fetchall() == []
