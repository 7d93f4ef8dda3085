"""Canary secrets and people in every setting, column and answer: none is in anything written.

One project is played with successes and with every kind of failure: by commands, by runs in this
process, and by `dagster dev` with its daemon and its GraphQL. Then all that was written and
answered is decoded and searched.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from capi_assets.commands.runs import job_of, read_meta, run_hours
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.defs.automation.active_runs import PARTITION
from capi_assets.hours import hour_key
from capi_assets.lake import Lake
from capi_assets.settings import Settings, SettingsError, read_settings, variable
from tests.helpers.canaries import (
    NOWHERE,
    ONLY_IN_THE_LAKE,
    Canaries,
    email,
    find,
    find_below,
    password,
    token,
)
from tests.helpers.canary_shop import DATASETS, CanaryShop, canary_shop, wrong_urls

pytestmark = pytest.mark.e2e


def run_everything(shop: CanaryShop) -> None:
    """Meta refuses in every way; then sources, ledger and settings fail."""
    first, last = shop.hour(5), shop.hour(4)
    with shop.instance() as instance:
        run_hours(instance, shop.settings(), first, last)
        read_meta(instance, shop.settings(), first, last)
        for number, variables in enumerate(wrong_settings(shop)):
            try:
                settings = shop.settings(**variables)
            except SettingsError as error:  # refused before any run; what it says is searched too
                (shop.folder / f"refused-{number}.txt").write_text(repr(error))
                continue
            with dg.execute_job(
                job_of(settings, "deliver_hour"),
                instance=instance,
                tags={PARTITION: hour_key(first)},
                asset_selection=[dg.AssetKey("orders"), dg.AssetKey("delivery_results")],
            ) as result:
                assert not result.success, variables


def wrong_settings(shop: CanaryShop) -> Iterator[dict[str, str]]:
    """Settings with which a run fails; a failing SQL model is also in tests/ingest."""
    models = {
        "raises": "SELECT error($person) AS order_id",
        "columns": f"SELECT '{email('sqlvalue')}' AS order_id, '{email('sqltime')}' AS occurred_at,"
        " 1 AS 'Kanari Column'",
        "database": "SELECT json_extract(:person, '$') AS order_id",
    }
    for name, sql in models.items():
        (shop.folder / "models" / f"{name}.sql").write_text(sql)
    (shop.folder / "inline.yaml").write_text(
        f"datasets: [{{id: '1', token: {token('inline')}, key: 1}}]"
    )
    (shop.folder / "broken.yaml").write_text(f"datasets: [\n{token('broken')}: : {{")
    unreachable, _, _, no_port, *_, no_url = wrong_urls("runs")
    for url, model in ((unreachable, "columns"), (no_port, "raises"), (no_url, "database")):
        model = f"models/{model}.sql"
        yield {"CAPI_ORDERS_SQL": model, "CAPI_ORDERS_URL": url, "CAPI_LEDGER_URL": url}
    duckdb = {"CAPI_ORDERS_URL": ""}
    yield {**duckdb, "CAPI_ORDERS_SQL": "models/raises.sql", "CAPI_DATASETS": "inline.yaml"}
    yield {
        "CAPI_ORDERS_SQL": "models/database.sql",
        "CAPI_ORDERS_URL": "sqlite://",
        "CAPI_DATASETS": "broken.yaml",
    }
    yield {
        **duckdb,
        "CAPI_ORDERS_SQL": "models/columns.sql",
        "CAPI_DATASETS": "",
        "CAPI_ACCESS_TOKEN_FILE": token("file"),
    }
    yield {
        "CAPI_LANDING": f"ftp://ops:{password('landing')}@127.0.0.1:9/landing",
        "CAPI_DATASETS": "",
        "CAPI_ACCESS_TOKEN": f"{token('quoted')} x",
    }
    yield {"CAPI_LAKE": "models/raises.sql"}


def command_everything(shop: CanaryShop) -> None:
    """Every command that reads or writes the shop, also with wrong settings."""
    hour = hour_key(shop.hour(5))
    span = f"{hour}...{hour_key(shop.hour(4))}"
    resolve = ("resolve", span, "--who", "ops", "--why", "asked", "--yes", "--decision")
    for arguments in (
        ("gaps",), ("plan", span), ("plan", span, "--json"), ("preflight",),
        ("preflight", "--json"), ("report", span), ("reconcile", span), ("views",),
        ("reconcile", span, "--json"), ("ledger", "rebuild"), (*resolve, "retry"),
        (*resolve, "resend"),
    ):  # fmt: skip
        shop.command(*arguments)
    for name in ("o5-0", "o5-1", "o5-11", "o5-40", "o5-51", "o4-3", "o4-40", "o4-200"):
        shop.command("explain", name)
    shop.command("explain", "o5-40", "--json")
    # The doctor shows the addresses that alerts go to: to whoever can read the settings.
    quiet = {"CAPI_ALERT_EMAIL_TO": "", "CAPI_ALERT_EMAIL_FROM": ""}
    shop.command("doctor", **quiet)
    for url in wrong_urls("commands"):
        urls = {"CAPI_LEDGER_URL": url, "CAPI_ORDERS_URL": url, "CAPI_VISITS_URL": url}
        shop.command("doctor", **quiet, **urls)
        shop.command("plan", hour, CAPI_LEDGER_URL=url)
    shop.command("explain", "o5-0", CAPI_LEDGER_URL=wrong_urls("commands")[0])
    for wrong in (token, lambda name: f"https://ops:{password(name)}@127.0.0.1:9/x"):
        values = {variable(name): wrong(name) for name in Settings.model_fields}
        shop.command("doctor", **values)  # stops at what is no number, host or time
        readable = {name: value for name, value in values.items() if is_readable(name, value)}
        shop.command("doctor", **quiet | readable)


def is_readable(name: str, value: str) -> bool:
    try:
        read_settings({name: value})
    except SettingsError:
        return False
    return True


@contextmanager
def dagster_dev(shop: CanaryShop) -> Iterator[Ui]:
    """Webserver, daemon and code location as a user starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (shop.root / "dagster-dev.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)],
            cwd=shop.folder, env=dict(os.environ), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield Ui(shop, f"http://127.0.0.1:{port}/graphql", process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "capi_assets"}
JOB = {**REPOSITORY, "pipelineName": "deliver_hour"}
ERROR = "{ message stack errorChain { error { message stack } } }"
METADATA = """metadataEntries { __typename label description
  ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr }
  ... on JsonMetadataEntry { jsonString } ... on UrlMetadataEntry { url }
  ... on PathMetadataEntry { path } ... on TableMetadataEntry { table { records } } }"""
TICKS = f"""ticks(limit: 20) {{ status skipReason cursor runKeys error {ERROR}
  logEvents {{ events {{ message }} }} }}
  typeSpecificData {{ ... on SensorData {{ lastCursor }} }}"""
ON_ERROR = f"... on PythonError {ERROR}"
EVALUATION = f"""... on DryRunInstigationTick {{ evaluationResult {{ cursor skipReason
  runRequests {{ runKey runConfigYaml tags {{ key value }} }} error {ERROR} }} }}"""

LAUNCH = f"""mutation($p: ExecutionParams!) {{ launchRun(executionParams: $p) {{ __typename
  {ON_ERROR} ... on RunConfigValidationInvalid {{ errors {{ message }} }} }} }}"""
BACKFILL = f"""mutation($p: LaunchBackfillParams!) {{ launchPartitionBackfill(backfillParams: $p) {{
  __typename {ON_ERROR} }} }}"""
EVALUATE_SENSOR = f"""mutation($s: SensorSelector!) {{
  sensorDryRun(selectorData: $s, cursor: null) {{ __typename {ON_ERROR} {EVALUATION} }} }}"""
EVALUATE_SCHEDULE = f"""mutation($s: ScheduleSelector!, $t: Float) {{
  scheduleDryRun(selectorData: $s, timestamp: $t) {{ __typename {ON_ERROR} {EVALUATION} }} }}"""
RELOAD = f"""mutation {{ reloadRepositoryLocation(repositoryLocationName: "capi_assets") {{
  __typename {ON_ERROR}
  ... on WorkspaceLocationEntry {{ locationOrLoadError {{ __typename {ON_ERROR} }} }} }} }}"""
UNFINISHED = """{ runsOrError(filter: {statuses: [QUEUED, STARTING, STARTED]}) {
  ... on Runs { results { runId } } } }"""

PAGES = {
    "location": f"""{{ workspaceOrError {{ ... on Workspace {{ locationEntries {{ name
      loadStatus displayMetadata {{ key value }}
      locationOrLoadError {{ __typename {ON_ERROR} }} }} }} }} }}""",
    "instance": f"""{{ instance {{ info daemonHealth {{ allDaemonStatuses {{ daemonType
      lastHeartbeatErrors {ERROR} }} }} }} }}""",
    "definitions": f"""query($r: RepositorySelector!) {{
      utilizedEnvVarsOrError(repositorySelector: $r) {{
        ... on EnvVarWithConsumersList {{ results {{ envVarName }} }} }}
      repositoryOrError(repositorySelector: $r) {{ ... on Repository {{
        jobs {{ name description tags {{ key value }} }}
        allTopLevelResourceDetails {{ name description configuredValues {{ key value }}
          configFields {{ name description defaultValueAsJson }} }}
        schedules {{ name description scheduleState {{ {TICKS} }} }}
        sensors {{ name description {METADATA} sensorState {{ {TICKS} }} }} }} }} }}""",
    "config": """query($j: PipelineSelector!) { runConfigSchemaOrError(selector: $j) {
      ... on RunConfigSchema { rootDefaultYaml allConfigTypes { key description
        ... on CompositeConfigType { fields { name description defaultValueAsJson } } } } } }""",
    "assets": f"""{{ assetsOrError {{ ... on AssetConnection {{ nodes {{ key {{ path }}
      assetMaterializations(limit: 20) {{ partition label description {METADATA} }}
      definition {{ description {METADATA} assetChecksOrError {{ ... on AssetChecks {{ checks {{
        name description executionForLatestMaterialization {{ evaluation {{ description
          {METADATA} }} }} }} }} }} }} }} }} }} }}""",
    "backfills": f"""{{ partitionBackfillsOrError {{ ... on PartitionBackfills {{ results {{
      id status error {ERROR} logEvents {{ events {{ message }} }} }} }} }} }}""",
    "runs": f"""{{ runsOrError {{ ... on Runs {{ results {{ runId status runConfigYaml
      tags {{ key value }} eventConnection(limit: 1000) {{ events {{ __typename
        ... on MessageEvent {{ message }} ... on ErrorEvent {{ error {ERROR} }}
        ... on DisplayableEvent {{ label description {METADATA} }}
        ... on AssetCheckEvaluationEvent {{ evaluation {{ description {METADATA} }} }}
      }} }} }} }} }} }}""",
}


class Ui:
    """What a browser asks; every answer is kept."""

    def __init__(self, shop: CanaryShop, url: str, process: subprocess.Popen[bytes]) -> None:
        self.shop, self.url, self.process = shop, url, process

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = requests.post(self.url, json={"query": query, "variables": variables}, timeout=60)
        document: dict[str, Any] = answer.json()
        assert "errors" not in document, document["errors"]
        self.shop.answers[f"{len(self.shop.answers)}. GraphQL {query} {variables}"] = answer.text
        data: dict[str, Any] = document["data"]
        return data

    def wait(self, query: str, *words: str) -> None:
        """Asks until the answer has all words."""
        until = time.monotonic() + 180
        answer = ""
        while not answer or any(word not in answer for word in words):
            assert self.process.poll() is None
            assert time.monotonic() < until, (words, answer)
            try:
                answer = json.dumps(self.ask(query))
            except requests.ConnectionError:
                time.sleep(0.5)

    def look_at_everything(self) -> None:
        for query in PAGES.values():
            names = {"r": REPOSITORY, "j": JOB}
            self.ask(query, **{n: v for n, v in names.items() if f"${n}:" in query})

    def launch(self, **config: Any) -> None:
        tags = [{"key": PARTITION, "value": hour_key(self.shop.hour(3))}]
        run = {
            "selector": JOB,
            "mode": "default",
            "runConfigData": json.dumps(config),
            "executionMetadata": {"tags": tags},
        }
        self.ask(LAUNCH, p=run)

    def evaluate(self) -> None:
        """Evaluates sensors and schedules as the daemon does."""
        for name in ("coverage_sensor", "landing_sensor", "late_files_sensor"):
            self.ask(EVALUATE_SENSOR, s={**REPOSITORY, "sensorName": name})
        for name in ("deliver_hourly", "reconcile_nightly"):
            tick = self.shop.hour(0).timestamp()
            self.ask(EVALUATE_SCHEDULE, s={**REPOSITORY, "scheduleName": name}, t=tick)


def operate_everything(ui: Ui) -> None:
    """Runs, backfills and evaluations as a person starts them in the UI, with sound settings, with
    a ledger that is not there, and with settings that cannot be read."""
    shop = ui.shop
    ui.wait(PAGES["location"], '"RepositoryLocation"')
    ui.launch()
    ui.launch(resources={"capi_clock": {"config": {"at": {"env": "CAPI_ACCESS_TOKEN"}}}})
    hour = {"assetSelection": [{"path": ["orders"]}], "partitionNames": [hour_key(shop.hour(4))]}
    ui.ask(BACKFILL, p=hour)
    ui.evaluate()
    run_everything(shop)
    command_everything(shop)
    shop.write_settings(CAPI_LEDGER_URL=wrong_urls("daemon")[1])
    ui.ask(RELOAD)
    ui.evaluate()
    ui.launch()
    ui.wait(UNFINISHED, '"results": []')
    ui.look_at_everything()
    shop.write_settings(CAPI_LOOKBACK_HOURS=token("lookback"))
    ui.ask(RELOAD)
    ui.look_at_everything()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanaryShop]:
    with canary_shop(tmp_path_factory.mktemp("shop")) as shop:
        with dagster_dev(shop) as ui:
            operate_everything(ui)
        yield shop


def is_written(path: Path) -> bool:
    """Whether we or Dagster wrote a file: not a person, who writes settings and landing files."""
    people = {".env", "landing", "models", "inline.yaml", "broken.yaml"}
    return not people.intersection(path.parts)


def found_of(shop: CanaryShop, canaries: Canaries, but: str = "-") -> list[str]:
    """The canaries in all files, without those of a folder, and in all answers."""
    found, files = find_below(
        shop.root, canaries, lambda path: is_written(path) and but not in path.parts
    )
    assert files > 50
    for asked, answer in shop.answers.items():
        found += find(answer.encode(), canaries, asked)
    return found


def test_no_secret_and_nothing_of_a_person_is_written_or_answered(shop: CanaryShop) -> None:
    assert found_of(shop, NOWHERE) == []


def test_a_visitors_data_and_digests_are_in_the_lake_only(shop: CanaryShop) -> None:
    # `explain` shows the payload to whoever may read the lake.
    found = found_of(shop, ONLY_IN_THE_LAKE, but="lake")
    assert [place for place in found if not place.startswith("('explain'")] == []
    stored, _ = find_below(shop.folder / "data" / "lake", ONLY_IN_THE_LAKE, is_written)
    assert len(stored) > 50


def test_no_file_and_no_page_has_the_addresses_of_alerts(shop: CanaryShop) -> None:
    assert found_of(shop, Canaries(("sittich",))) == []


def test_meta_gets_the_token_in_its_header_and_nothing_of_a_person(shop: CanaryShop) -> None:
    assert f"Bearer {token('access')}" in shop.servers.authorised
    for request in shop.servers.received:
        head, _, body = request.partition(b"\n")
        # Where it belongs: in JSON or in a form.
        body = re.sub(rb'"?appsecret_proof"?[=:] ?"?[0-9a-f]{64}', b"", body)
        if b"/debug_token" in head:  # the form has the token that is asked about
            body = b""
        if b"/services/" in head or b"/alerts/" in head:  # the address of a webhook is its secret
            head = b""
        assert find(head + body, NOWHERE) == []


def test_all_of_it_was_played(shop: CanaryShop) -> None:
    """Nothing is easily found where nothing ran."""
    requests = [request.partition(b"\n")[0].decode() for request in shop.servers.received]
    for dataset in DATASETS:
        assert any(f"/{dataset}/events" in request for request in requests), dataset
    for place in ("/services/kanarihook", "/alerts/kanarijson", "/debug_token", "/stats"):
        assert any(place in request for request in requests), place
    hours = [shop.hour(5), shop.hour(4), shop.hour(3)]
    results = Lake(shop.settings(CAPI_LOOKBACK_HOURS="").lake).read(
        "delivery_results", hours, arrow_schema(DeliveryResults), ["status"]
    )
    expected = {"delivered", "pending", "unknown", "rejected", "withheld", "invalid"}
    assert expected <= set(results["status"].to_pylist())
    answers = "".join(shop.answers.values())
    for kind in ("SUCCESS", "FAILURE", "DryRunInstigationTick"):
        assert f'"{kind}"' in answers, kind
    # The location that did not load.
    assert "CAPI_LOOKBACK_HOURS: looks like an access token" in answers


PACKINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "other case": lambda text: text.swapcase().encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "base64": lambda text: base64.b64encode(b"{" + text.encode() + b"}"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "address": lambda text: "".join(f"%25{ord(letter):02x}" for letter in text).encode(),
    "JSON": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "pickle": lambda text: pickle.dumps({"a": [text]}),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zlib in base64": lambda text: base64.b64encode(zlib.compress(text.encode())),
    "zip": lambda text: _zip(text),
    "SQLite": lambda text: _sqlite(zlib.compress(text.encode())),
    "gzip of SQLite": lambda text: gzip.compress(_sqlite(text)),
    "column in Parquet": lambda text: _parquet(pa.table({"a": [[{"b": text}]]})),
    "metadata in Parquet": lambda text: _parquet(
        pa.table({"a": [1]}).replace_schema_metadata({"a": text})
    ),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("text", ["a kanariperson", token("x")])
def test_the_search_finds_a_canary_however_it_is_packed(packing: str, text: str) -> None:
    assert find(PACKINGS[packing](text), NOWHERE)
    assert not find(PACKINGS[packing]("a canary of 1639995501"), NOWHERE)


@pytest.mark.parametrize(
    "text",
    ["+49 163 9995501", "0163/999-55-01", "00491639995501", "1931-02-17", "17.02.1931", "KA9 7ZQ"],
)
def test_the_search_finds_numbers_of_a_person(text: str) -> None:
    assert find(f"a,{text},b".encode(), NOWHERE)


def test_the_search_reads_names_logs_of_databases_and_duckdb(tmp_path: Path) -> None:
    (tmp_path / "a.kanari").write_text("")
    ledger = sqlite3.connect(tmp_path / "ledger.db")
    ledger.execute("pragma journal_mode = wal")
    ledger.execute("create table t as select ?", [zlib.compress(b"kanariwal")])
    ledger.commit()
    with duckdb.connect(tmp_path / "views.duckdb") as connection:
        connection.execute("create table t as select 'kanari' || n as a from range(9) as r(n)")
    found, files = find_below(tmp_path, NOWHERE, lambda path: "-" not in path.name)
    ledger.close()
    assert files == 3
    for place in ("the name a.kanari", "ledger.db [table t] [zlib]", "views.duckdb [table t]"):
        assert any(hit.startswith(place) for hit in found), (place, found)


def _zip(text: str) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
    return packed.getvalue()


def _sqlite(value: str | bytes) -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t as select ?", [value])
        connection.commit()
        return connection.serialize()


def _parquet(table: pa.Table) -> bytes:
    packed = BytesIO()
    pq.write_table(table, packed)
    return packed.getvalue()
