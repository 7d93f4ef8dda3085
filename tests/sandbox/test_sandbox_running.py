"""Starting, stopping, keeping state over a restart, the clock, and serving as a process."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import requests

from capi_assets.sandbox.clock import SandboxClock
from capi_assets.sandbox.inbox import Inbox
from capi_assets.sandbox.run import SandboxServer, listening
from tests.helpers.sandbox_samples import DATASET, NOW, TOKEN, control, counted, post, purchase


def test_a_stopped_sandbox_refuses_connections() -> None:
    with SandboxServer() as server:
        url = server.url
        assert requests.get(url, timeout=5).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_a_restarted_sandbox_still_shows_what_it_received(tmp_path: Path) -> None:
    state = tmp_path / "made" / "sandbox.db"
    with SandboxServer(clock=lambda: NOW, state_path=state) as server:
        post(server, purchase(1), purchase(2))
        post(server, purchase(event_time=0))
        before = control(server, "GET", "/received")
    with SandboxServer(clock=lambda: NOW + timedelta(hours=1), state_path=state) as server:
        assert control(server, "GET", "/received") == before
        assert [r["status"] for r in control(server, "GET", "/requests")["requests"]] == [400, 200]
        post(server, purchase(2), purchase(3))
        assert counted(server) == (3, 1, 0)
        row = control(server, "GET", "/events?event_id=Purchase:1&payloads=1")["events"][0]
        assert row["event"] is None


def test_the_state_file_holds_no_token_and_nothing_of_a_person(tmp_path: Path) -> None:
    state = tmp_path / "sandbox.db"
    with SandboxServer(clock=lambda: NOW, state_path=state) as server:
        post(server, purchase())
        post(server, purchase(event_time=0))
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    person = purchase()["user_data"]
    for secret in (TOKEN, person["em"][0], person["client_ip_address"], person["fbc"], "Mozilla"):
        assert secret.encode() not in written


def test_a_booking_that_fails_leaves_no_trace() -> None:
    inbox = Inbox()
    inbox.receive(DATASET, [purchase(1)], NOW)
    unfit = purchase(3)
    del unfit["user_data"]
    with pytest.raises(KeyError):
        inbox.receive(DATASET, [purchase(1), purchase(2), unfit], NOW)
    receipt = inbox.receive(DATASET, [purchase(1), purchase(2)], NOW)
    assert (receipt.accepted, receipt.duplicates) == (1, 1)
    assert [row["seq"] for row in inbox.rows("select seq from events order by seq")] == [1, 2, 3]
    inbox.close()


def test_the_digest_of_an_event_is_that_of_its_bytes(server: SandboxServer) -> None:
    event = purchase(7, custom_data={"value": 10.10, "currency": "EUR", "note": "größer"})
    post(server, event)
    row = control(server, "GET", "/events?limit=1")["events"][0]
    assert row["sha256"] == hashlib.sha256(orjson.dumps(event)).hexdigest()


def test_the_clock_can_be_set_and_let_go(server: SandboxServer) -> None:
    assert control(server, "GET", "/clock")["now"] == "2026-11-20T12:00:00+00:00"
    told = control(server, "PUT", "/clock", {"at": "2026-12-01T00:00:00+01:00"})
    assert told == {"now": "2026-11-30T23:00:00+00:00", "simulated": True}
    assert post(server, purchase()).status_code == 400
    assert control(server, "PUT", "/clock", {"at": None})["simulated"] is False
    assert post(server, purchase()).status_code == 200
    naive = {"at": "2026-12-01T00:00:00"}
    assert requests.put(server.url + "/_sandbox/clock", json=naive, timeout=5).status_code == 400


def test_a_ticking_clock_runs_on_from_where_it_was_set() -> None:
    real = [NOW]
    clock = SandboxClock(lambda: real[0])
    clock.set(datetime(2020, 1, 1, tzinfo=UTC), ticking=True)
    real[0] += timedelta(minutes=5)
    assert clock.now() == datetime(2020, 1, 1, 0, 5, tzinfo=UTC)
    clock.set(None)
    assert clock.now() == real[0]


def test_a_taken_port_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        SandboxServer(port=taken.getsockname()[1]).start()


def test_any_token_and_any_number_is_welcome_unless_they_are_named() -> None:
    with SandboxServer(clock=lambda: NOW) as server:
        assert post(server, purchase(), dataset="7", token="anything").status_code == 200
        assert post(server, purchase(), dataset="no-number").status_code == 400


SERVE = """
import sys
from capi_assets.sandbox.run import serve
serve(port=0, state_path=sys.argv[1], tokens=["t"],
      on_ready=lambda url: print(url, flush=True))
"""


def test_serving_ends_cleanly_on_sigterm_and_logs_no_token(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path / "sandbox.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = requests.post(
            f"{url}/v26.0/1/events?access_token=t", json={"data": [{}]}, timeout=10
        )
        assert answer.status_code == 400
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert "access_token" not in out + err
    assert "Traceback" not in err


def test_listening_takes_ipv6_addresses_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with listening("::1", 0) as line:
            assert line.getsockname()[1] > 0
    except OSError:
        pytest.skip("this machine has no IPv6")
