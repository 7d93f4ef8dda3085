"""The doctor tries what can only be tried, sends nothing, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from capi_assets.cli import main
from capi_assets.commands.doctor import Finding, examine
from capi_assets.commands.surroundings import clock_verdict, ui_port, unknown_names
from capi_assets.commands.trials import TRIALS
from capi_assets.delivery.ledger.ledger import HEAD, Ledger
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings

NOW = datetime(2026, 11, 20, 13, 40, tzinfo=UTC)
DEAF = "http://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def tried(name: str, **env: str) -> Finding:
    known = {"CAPI_GRAPH_URL": DEAF, "CAPI_NOW": NOW.isoformat(), **env}
    findings = {each.name: each for each in examine(known, {}, {name: TRIALS[name]})}
    return findings[f"CAPI_{name.upper()}"]


def test_the_lake_is_written_read_back_and_left_as_it_was(folder: Path) -> None:
    assert (tried("lake").verdict, list(folder.iterdir())) == ("ok", [])
    (folder / "data" / "lake").mkdir(parents=True)
    assert "written and read back" in tried("lake").text
    assert list((folder / "data" / "lake").iterdir()) == []


def test_a_lake_that_cannot_be_written_is_an_error(folder: Path) -> None:
    (folder / "data").write_text("a file")
    assert tried("lake").verdict == "error"
    assert (folder / "data").read_text() == "a file"


def test_an_object_store_without_its_driver_is_an_error(folder: Path) -> None:
    drivers = {"s3fs": "s3://bucket/lake", "gcsfs": "gs://bucket/lake", "adlfs": "abfs://b/lake"}
    missing = [url for driver, url in drivers.items() if find_spec(driver) is None]
    assert missing, "every driver is installed here: leave one out of the environment"
    lake = tried("lake", CAPI_LAKE=missing[0])
    assert lake.verdict == "error"
    assert "driver" in lake.text


def test_a_ledger_is_opened_and_its_revision_shown(folder: Path) -> None:
    assert "creates it" in tried("ledger_url").text
    assert not (folder / "data").exists()
    with Ledger("sqlite:///data/ledger.db"):
        pass
    found = tried("ledger_url")
    assert (found.verdict, found.text) == ("ok", f"opened, revision {HEAD}")


@pytest.mark.parametrize(("revision", "verdict"), [("0001", "ok"), ("9999", "error")])
def test_a_ledger_of_another_version_is_named_and_not_migrated(
    folder: Path, revision: str, verdict: str
) -> None:
    with Ledger("sqlite:///data/ledger.db"):
        pass
    Lake("data/lake").root.mkdir()
    with sqlite3.connect("data/ledger.db") as connection:
        connection.execute("UPDATE ledger_version SET version_num = ?", [revision])
    found = tried("ledger_url")
    assert (found.verdict, revision in found.text) == (verdict, True)
    with sqlite3.connect("data/ledger.db") as connection:
        stored = connection.execute("SELECT version_num FROM ledger_version").fetchone()
    assert stored == (revision,)


def test_a_ledger_that_is_no_database_is_an_error(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "ledger.db").write_text("no database" * 100)
    assert tried("ledger_url").verdict == "error"


def test_models_run_on_the_last_hour(folder: Path) -> None:
    model = folder / "orders.sql"
    model.write_text("SELECT 'A-1' AS order_id WHERE $hour_start < $hour_end")
    found = tried("orders_sql", CAPI_ORDERS_SQL="orders.sql")
    assert found.verdict == "ok"
    assert "1 row in 2026-11-20-12:00" in found.text
    model.write_text("SELECT nope FROM nowhere WHERE $hour_start < $hour_end")
    broken = tried("orders_sql", CAPI_ORDERS_SQL="orders.sql")
    assert (broken.verdict, "nowhere" in broken.text) == ("error", True)


@pytest.mark.parametrize(
    ("url", "verdict", "text"),
    [
        ("sqlite:///shop.db", "ok", "connects"),
        ("nosuch://host/shop", "error", "no SQLAlchemy dialect nosuch"),
        ("mysql+mysqlconnector://u:hush@127.0.0.1:9/shop", "error", "is not installed"),
        ("postgresql+psycopg2://u:hush@127.0.0.1:9/shop", "error", "does not connect"),
    ],
)
def test_a_warehouse_is_connected(folder: Path, url: str, verdict: str, text: str) -> None:
    (folder / "orders.sql").write_text("SELECT 1")
    found = tried("orders_url", CAPI_ORDERS_SQL="orders.sql", CAPI_ORDERS_URL=url)
    assert (found.verdict, text in found.text) == (verdict, True), found
    assert "hush" not in found.text + found.value
    assert tried("orders_url", CAPI_ORDERS_URL=url).verdict == "warning"


@pytest.mark.parametrize("name", ["alert_webhook", "alert_json_url", "ui_url"])
def test_web_addresses_are_connected_and_nothing_is_posted(
    listener: socket.socket, name: str
) -> None:
    port = listener.getsockname()[1]
    key = f"CAPI_{name.upper()}"
    assert tried(name, **{key: f"http://127.0.0.1:{port}/secret-path"}).verdict == "ok"
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(100) == b""
    deaf = tried(name, **{key: f"{DEAF}/secret-path"})
    assert deaf.verdict == "warning"
    assert "secret-path" not in deaf.text


@pytest.mark.parametrize("host", ["hushhush:pass", "x" * 70 + ".example", "[::1"])
def test_an_address_that_is_not_valid_is_no_stack_trace(host: str) -> None:
    found = tried("alert_webhook", CAPI_ALERT_WEBHOOK=f"https://{host}/hook")
    assert found.verdict in ("warning", "error")
    assert host not in found.text + found.value
    assert ui_port(Settings(ui_url=f"http://{host}"))[0] == "3000"


def test_a_mail_server_is_connected(listener: socket.socket) -> None:
    url = f"smtp://127.0.0.1:{listener.getsockname()[1]}"
    env = {"CAPI_ALERT_EMAIL_TO": "ops@shop.example"}
    assert "connects" in tried("smtp_url", CAPI_SMTP_URL=url, **env).text
    assert tried("smtp_url", CAPI_SMTP_URL="smtp://127.0.0.1:9", **env).verdict == "warning"


def test_landed_files_are_counted(folder: Path) -> None:
    for table, hours in (("visits", []), ("orders", ["12", "13"])):
        (folder / "data" / "landing" / table).mkdir(parents=True)
        for hour in hours:
            path = folder / "data" / "landing" / table / "2026-11-20" / hour / "o.csv"
            path.parent.mkdir(parents=True)
            path.write_text("order_id\n")
    text = tried("landing").text
    assert "0 files of visits" in text
    assert "2 files of orders in seven days, the newest of 2026-11-20-13:00" in text


def test_a_start_in_the_future_is_an_error() -> None:
    assert tried("start_date", CAPI_START_DATE="2026-11-21").verdict == "error"
    assert tried("start_date", CAPI_START_DATE="2026-11-20").verdict == "ok"


def test_names_that_are_no_setting_are_named_with_the_most_similar(tmp_path: Path) -> None:
    datasets = tmp_path / "datasets.yaml"
    datasets.write_text('datasets:\n  - id: "1"\n    token_variable: CAPI_TOKEN_OF_SHOP_A\n')
    env = ("CAPI_LOKBACK_HOURS", "CAPI_TOKEN_OF_SHOP_A", "CAPI_SQL_SHOP", "CAPI_QQQQQQ", "PATH")
    found = unknown_names(env, Settings(datasets=str(datasets)))
    assert set(found) == {"CAPI_LOKBACK_HOURS", "CAPI_QQQQQQ"}
    assert "CAPI_LOOKBACK_HOURS" in found["CAPI_LOKBACK_HOURS"]
    findings = examine({"CAPI_GRAPH_URL": DEAF, "CAPI_ACCES_TOKEN": "EAAsecret"}, {})
    assert findings[-1].name == "CAPI_ACCES_TOKEN"
    assert findings[-1].verdict == "warning"
    assert "EAAsecret" not in repr(findings)


@pytest.mark.parametrize(
    ("minutes", "verdict", "text"),
    [
        (0, "ok", "agrees"),
        (0.5, "ok", "agrees"),
        (10, "warning", "ahead"),
        (-10, "warning", "behind"),
    ],
)
def test_the_clock_is_compared(minutes: float, verdict: str, text: str) -> None:
    date = format_datetime(NOW - timedelta(minutes=minutes), usegmt=True)
    found = clock_verdict({"Date": date}, NOW)
    assert found
    assert (found[0], text in found[1]) == (verdict, True)
    assert clock_verdict({}, NOW) is None
    assert clock_verdict({"Date": "yesterday"}, NOW) is None


def test_the_port_of_the_ui_is_free_or_named() -> None:
    with SandboxServer() as other:
        port, (verdict, text) = ui_port(Settings(ui_url=other.url))
        assert (f":{port}", verdict) == (other.url[-6:], "warning")
        assert "--port" in text
    assert ui_port(Settings(ui_url=other.url))[1] == ("ok", "free")


def test_the_doctor_prints_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPI_ACCESS_TOKEN", "good-token")
    with SandboxServer(tokens=["good-token"]) as meta:
        monkeypatch.setenv("CAPI_GRAPH_URL", meta.url)
        done = CliRunner().invoke(main, ["doctor", "--json"])
        assert done.exit_code == 1
    findings = {each["name"]: each for each in json.loads(done.output)}
    assert findings["CAPI_DATASET_ID"]["verdict"] == "error"
    assert findings["CAPI_GRAPH_URL"]["text"] == "responds"
    assert findings["clock"]["verdict"] == "ok"
    assert "port of the UI" in findings
    assert "good-token" not in done.output
