"""The access token goes to Meta over https, to loopback, or to a host that a setting names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from capi_assets.commands.doctor import examine
from capi_assets.delivery.datasets import read_datasets
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.settings import SettingsError, read_settings
from capi_assets.web_addresses import graph_url_problem, open_session

TOKEN = "EAAtoken"

LOOK_ALIKES = [
    "https://graph.facebook.com.evil.example",
    "https://graph.facebook.com@evil.example",
    "https://user:password@graph.facebook.com",
    "https://evil.example\\@graph.facebook.com",
    "https://evil.example#@graph.facebook.com",
    "https://evil.example?graph.facebook.com",
    "https://graph.facebook.com.",
    "https://graph.facebook.com:8443",
    "https://graph-facebook.com",
    "https://xn--grph-facebook-com-4xb.example",
    "https://gr\u0430ph.facebook.com",
    "https://graph.facebook.com\u3002evil.example",
    "https://graph.facebook.com%2eevil.example",
    "https://graph.facebook.com\n.evil.example",
    "https://evil.facebook.com",
    "https://10.0.0.7",
    "https://[::ffff:127.0.0.1%25evil]",
    "http://graph.facebook.com",
    "http://localhost.evil.example",
    "http://127.0.0.1.nip.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1\\.evil.example",
    "http://0.0.0.0:8026",
    "http://2130706433",
    "ftp://graph.facebook.com",
    "//graph.facebook.com",
    "graph.facebook.com",
    "",
]


@pytest.mark.parametrize("url", LOOK_ALIKES)
def test_no_client_is_made_for_another_host(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CAPI_GRAPH_URL"):
        DatasetAccess("42", TOKEN, graph_url=url)
    path = tmp_path / "datasets.yaml"
    path.write_text("datasets:\n  - {id: '42', token_variable: T}\n")
    datasets = read_datasets(path, {"T": TOKEN}, graph_url=url, version="v26.0")
    assert not datasets.accesses
    assert "CAPI_GRAPH_URL" in datasets.missing["42"]


@pytest.mark.parametrize("url", [url for url in LOOK_ALIKES if url.strip()])
def test_settings_name_the_variable_and_never_the_address(url: str) -> None:
    with pytest.raises(SettingsError, match="CAPI_GRAPH_URL") as error:
        read_settings({"CAPI_GRAPH_URL": url})
    assert "evil" not in str(error.value)
    assert "password@" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://graph.facebook.com",
        "https://GRAPH.facebook.com:443/",
        "http://127.0.0.1:8026",
        "http://127.0.0.9",
        "http://localhost:8026",
        "http://[::1]:8026",
    ],
)
def test_meta_and_loopback_need_no_permission(url: str) -> None:
    assert DatasetAccess("42", TOKEN, graph_url=url).graph_url == url
    assert read_settings({"CAPI_GRAPH_URL": url}).graph_url == url


def test_a_host_of_ones_own_is_named_with_its_port() -> None:
    allowed = ["gateway.example", "other.example:8443"]
    assert graph_url_problem("https://gateway.example/graph", allowed) is None
    assert graph_url_problem("https://other.example:8443", allowed) is None
    assert graph_url_problem("https://other.example", allowed)
    assert graph_url_problem("https://gateway.example:8443", allowed)
    assert graph_url_problem("http://gateway.example", allowed)


def test_doctor_says_that_the_token_leaves_meta(closed_port: int) -> None:
    env = {"CAPI_GRAPH_HOSTS_ALLOWED": f"gateway.invalid:{closed_port}"}
    with pytest.raises(SettingsError, match="https"):
        examine(env | {"CAPI_GRAPH_URL": f"http://gateway.invalid:{closed_port}"}, {})
    findings = examine(env | {"CAPI_GRAPH_URL": f"https://gateway.invalid:{closed_port}"}, {})
    [verdict] = [f for f in findings if f.name == "CAPI_GRAPH_URL"]
    assert verdict.verdict == "warning"
    assert "not Meta's" in verdict.text


@pytest.fixture
def closed_port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


class _Recorder(BaseHTTPRequestHandler):
    calls: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.calls.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """A server that is the environment's proxy, and a ~/.netrc with a password for every host."""
    calls: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Recorder,), {"calls": calls})
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        yield server.server_port, calls
        server.shutdown()
        thread.join()


def test_loopback_is_called_without_proxy_and_netrc(
    recorder: tuple[int, list[tuple[str, str | None]]],
) -> None:
    port, calls = recorder
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{port}"
        assert open_session(url).get(f"{url}/here").ok
    assert calls == [("/here", None)] * 2  # a proxy would see the whole address


def test_other_hosts_are_called_by_the_proxy_without_netrc(
    recorder: tuple[int, list[tuple[str, str | None]]],
) -> None:
    _, calls = recorder
    url = "http://somewhere.invalid/there"
    assert open_session(url).get(url).ok
    own = "http://user:word@somewhere.invalid/there"
    assert open_session(own).get(own).ok
    assert calls == [(url, None), (url, "Basic dXNlcjp3b3Jk")]
