"""Pages of other sites cannot use the sandbox: not by posts, and not under a name of their own."""

from __future__ import annotations

import pytest
import requests

from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import DATASET

FAULT = {"kind": "throttled"}


def put_fault(server: SandboxServer, **headers: str) -> int:
    url = f"{server.url}/_sandbox/faults"
    return requests.put(url, json=FAULT, headers=headers, timeout=5).status_code


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1:1", "http://localhost", ""]
)
def test_a_page_of_another_origin_is_refused(server: SandboxServer, origin: str) -> None:
    assert put_fault(server, Origin=origin) == 403
    url = f"{server.url}/v26.0/{DATASET}/events"
    assert requests.post(url, headers={"Origin": origin}, timeout=5).status_code == 403
    assert not server.state.faults.all()


def test_its_own_page_and_programs_are_served(server: SandboxServer) -> None:
    assert put_fault(server, Origin=server.url) == 200
    assert put_fault(server) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8026", "localhost.evil.example", ""]
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(
    server: SandboxServer, host: str
) -> None:
    assert put_fault(server, Host=host, Origin=f"http://{host}") == 403
    assert requests.get(server.url, headers={"Host": host}, timeout=5).status_code == 403
    assert not server.state.faults.all()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8026", "127.0.0.1", "10.0.0.7:8026", "[::1]", "[::1]:8026"]
)
def test_localhost_and_numbers_are_served(server: SandboxServer, host: str) -> None:
    assert requests.get(server.url, headers={"Host": host}, timeout=5).status_code == 200


def test_a_name_of_ones_own_is_served_once_it_is_allowed(server: SandboxServer) -> None:
    named = {"Host": "sandbox:8026", "Origin": "http://sandbox:8026"}
    assert put_fault(server, **named) == 403
    with SandboxServer(hosts=["sandbox"]) as other:
        assert put_fault(other, **named) == 200
