"""A project's folder with canaries in every setting, landing column and file, for
`tests/e2e/test_canaries.py`."""

from __future__ import annotations

import gzip
import json
import logging
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from capi_assets.cli import main
from capi_assets.contracts.base import columns
from capi_assets.contracts.landing import LandedOrders, LandedVisits, LandedWithdrawals
from capi_assets.hours import HOUR, floor_hour
from capi_assets.settings import Settings, environment, read_settings
from tests.helpers.canaries import PHONE, email, password, person, token
from tests.helpers.echoing_servers import ANSWERS, EchoingServers, echoing_servers

PROJECT = Path(__file__).parents[2]
OWN, NO_TOKEN = "1000000000000000", "3000000000000000"
DATASETS = {str(10**15 * (1 + bool(n)) + n): answer for n, answer in enumerate(ANSWERS)}
"""By dataset, how Meta answers; `OWN` is the first, which accepts."""


@dataclass
class CanaryShop:
    """The folder `root` with all that is written, and what was answered, by what was asked.

    Hour 5 (before the open one) has sound rows for every dataset, hour 4 a canary in each column in
    turn and files that cannot be read, hour 3 sound rows of one dataset.
    """

    root: Path
    servers: EchoingServers
    now: datetime
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "project"

    def hour(self, back: int) -> datetime:
        return floor_hour(self.now) - back * HOUR

    def settings(self, **changed: str) -> Settings:
        return read_settings({**environment(), **changed})

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.root / "dagster"))

    def command(self, *arguments: str, **env: str) -> None:
        """Runs a command; its answer is what it prints and raises."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(main, arguments)
        raised = traceback.format_exception(result.exception) if result.exception else []
        self.answers[f"{arguments} with {env}"] = result.output + "".join(raised)

    def write_settings(self, **changed: str) -> None:
        variables = {**_variables(self.servers, self.now), **changed}
        lines = [f"{name}='{value}'\n" for name, value in variables.items()]
        (self.folder / ".env").write_text("".join(lines))

    def _land(self, table: str, back: int, name: str, content: str | bytes) -> None:
        at = self.hour(back)
        folder = self.folder / "data" / "landing" / table / f"{at:%Y-%m-%d}" / f"{at:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def land(self) -> None:
        orders = [
            *(self._order(5, n, dataset_id=name) for n, name in enumerate([*DATASETS, NO_TOKEN])),
            *(self._order(5, 40 + n, **free_text(f"free{n}")) for n in range(2)),
            self._order(5, 50, order_id=email("orderid")),
            self._order(5, 51, consent=False),
            self._order(5, 52, contents=[{"quantity": 1}], event_id=email("eventid")),
        ]
        visits = [self._visit(5, n) for n in range(3)]
        visits.append(self._visit(5, 9, page_url=free_text("page")["event_source_url"]))
        self._land("orders", 5, "orders.jsonl", _lines(orders))
        self._land("visits", 5, "visits.jsonl", _lines(visits))
        self._land_unusable("orders", [column.name for column in columns(LandedOrders)])
        self._land_unusable("visits", [column.name for column in columns(LandedVisits)])
        self._land("orders", 3, "orders.jsonl", _lines([self._order(3, n) for n in (0, 1, 2, 60)]))
        self._land("visits", 3, "visits.jsonl", _lines([self._visit(3, n) for n in range(3)]))
        withdrawals = self.folder / "data" / "landing" / "withdrawals"
        withdrawals.mkdir()
        names = [column.name for column in columns(LandedWithdrawals)]
        rows = [{name: email(f"withdrawn{name}")} for name in names]
        (withdrawals / "w.jsonl").write_text(_lines(rows))

    def _land_unusable(self, table: str, names: list[str]) -> None:
        texts = [f"kanari{name}@mail.example" for name in names]
        row = self._order if table == "orders" else self._visit
        rows = [row(4, n, **{name: texts[n]}) for n, name in enumerate(names)]
        rows += [row(4, 100 + n, **{name: PHONE}) for n, name in enumerate(names)]
        rows += [dict.fromkeys(names, "Kanari Everywhere"), row(4, 200, occurred_at="Kanari")]
        rows += [row(4, 201, Vorname="Kanari", **{"Kanari Spalte": email("spalte")})]
        head, line = ",".join(names), ",".join(texts)
        stored = BytesIO()
        nested = {"email": [{"kanari": email("nested")}], "Kanari Column": [1]}
        pq.write_table(pa.table(nested), stored)
        for name, content in {
            "rows.jsonl": _lines(rows),
            "shifted.csv": f"{head}\n,{line}\n",
            "quote.csv": f'{head}\n"{line}\n',
            "headless.csv": f"{line}\n{line}\n",
            "lines.jsonl": f"{email('line')} {{\n{json.dumps(texts)}\n",
            "document.json": f'{{"email": "{email("document")}"',
            "latin.csv": f"{head}\n{line}ä\n".encode("latin-1"),
            "utf16.csv": f"{head}\n{line}\n".encode("utf-16"),
            "cut.csv.gz": gzip.compress(line.encode())[:-4],
            "nested.parquet": stored.getvalue(),
            "cut.parquet": stored.getvalue()[:-20],
        }.items():
            self._land(table, 4, name, content)

    def _order(self, back: int, number: int, **fields: Any) -> dict[str, Any]:
        return {
            "order_id": f"o{back}-{number}",
            "occurred_at": (self.hour(back) + timedelta(minutes=number % 60)).isoformat(),
            "value": 10,
            "currency": "EUR",
            "client_ip_address": "203.0.113.77",
            "client_user_agent": "Mozilla/5.0 papageiagent",
            "event_source_url": "https://shop.example/papageiorder",
            "country": "DE",
            **person(f"order{number}"),
            **fields,
        }

    def _visit(self, back: int, number: int, **fields: Any) -> dict[str, Any]:
        return {
            "visit_id": f"v{back}-{number}",
            "occurred_at": (self.hour(back) + timedelta(minutes=number % 60)).isoformat(),
            "page_url": f"https://shop.example/papageipage?fbclid=IwARpapageiclick{number}",
            "referrer_url": "https://search.example/papageireferrer",
            "client_ip_address": "203.0.113.77",
            "client_user_agent": "Mozilla/5.0 papageiagent",
            "email": email(f"visit{number}"),
            "phone": PHONE,
            "external_id": f"Kanariid-visit{number}",
            **fields,
        }


def free_text(place: str) -> dict[str, Any]:
    """A person where none belongs: in addresses and documents."""
    address = email(place).strip()
    return {
        "event_source_url": f"https://u:{password(place)}@shop.example/{address}?email={address}"
        f"&tel=%2B491639995501&first_name=kanari{place}#mail={address}",
        "referrer_url": f"https://shop.example/?q={address}",
        "custom_data": {"search_string": address, "phone": PHONE, "note": [address]},
        "contents": [{"id": "1", "quantity": 1, "email": address}],
        "content_ids": [address],
        "app_data": {"email": address},
        "user_data": {"em": address, "fn": f"kanari{place}", "dob": "19310217"},
    }


def wrong_urls(place: str) -> list[str]:
    """Addresses of databases that are not there, with a password in each form."""
    secret, at = password(place), "127.0.0.1:1/shop"
    return [
        f"postgresql+psycopg2://ops:{secret}@{at}?connect_timeout=1",
        f"postgresql+psycopg2://{at}?user=ops&password={secret}",
        f"postgresql+psycopg2://ops:x@{secret}@{at}",
        f"postgresql+psycopg2://ops:{secret}@127.0.0.1:{secret}/shop",
        f"nosuch://ops:{secret}@{at}",
        f"ops:{secret}",
        token(place),
    ]


@contextmanager
def canary_shop(root: Path) -> Iterator[CanaryShop]:
    """The shop, with this process in its folder: environment, temporary files and logs too."""
    for name in ("project/models", "home", "tmp", "dagster"):
        (root / name).mkdir(parents=True)
    log = logging.FileHandler(root / "process.log")  # of all libraries
    with echoing_servers(DATASETS) as servers, pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("CAPI_", "DAGSTER_")):
                patch.delenv(name)
        for name, folder in (("HOME", "home"), ("TMPDIR", "tmp"), ("DAGSTER_HOME", "dagster")):
            patch.setenv(name, str(root / folder))
        patch.setenv("COLUMNS", "250")
        patch.setattr(tempfile, "tempdir", str(root / "tmp"))
        patch.setattr(logging.getLogger(), "level", logging.DEBUG)
        shop = CanaryShop(root, servers, datetime.now(UTC))
        patch.chdir(shop.folder)
        logging.getLogger().addHandler(log)
        try:
            shop.write_settings()
            _configure(shop)
            shop.land()
            yield shop
        finally:
            logging.getLogger().removeHandler(log)
            log.close()


def _variables(servers: EchoingServers, now: datetime) -> dict[str, str]:
    http = servers.http
    return {
        "CAPI_DATASET_ID": OWN,
        "CAPI_ACCESS_TOKEN": token("access"),
        "CAPI_APP_SECRET": password("appsecret"),
        "CAPI_VISITS_URL": wrong_urls("visits")[0],  # not used without a SQL model
        "CAPI_ORDERS_URL": wrong_urls("orders")[0],
        "CAPI_DATASETS": "datasets.yaml",
        "CAPI_GRAPH_URL": f"http://{http}",
        "CAPI_ALERT_WEBHOOK": f"http://ops:{password('webhook')}@{http}/services/kanarihook,"
        "http://127.0.0.1:9/services/kanarigone",
        "CAPI_ALERT_JSON_URL": f"http://{http}/alerts/kanarijson?key=kanarikey",
        "CAPI_ALERT_EMAIL_TO": "sittichops@mail.example",
        "CAPI_ALERT_EMAIL_FROM": "sittichfrom@mail.example",
        "CAPI_SMTP_URL": f"smtp://ops:{password('smtp')}@{servers.smtp}",
        "CAPI_START_DATE": f"{now - timedelta(days=2):%Y-%m-%d}",
        "CAPI_UI_URL": "http://127.0.0.1:3000",
        "CAPI_AUTOSTART": "true",
        "CAPI_LATE_FILES": "propose",
        "CAPI_PREFLIGHT": "on",
        "CAPI_TIME_BUDGET_SECONDS": "3",
        "CAPI_SQL_PERSON": email("sqlparameter"),
        "SECRET_OF_ONE": password("secretofone"),
        **{f"TOKEN_{name}": token(f"dataset{name}") for name in DATASETS},
    }


def _configure(shop: CanaryShop) -> None:
    """The file of datasets, and Dagster with the log of every library in its events."""
    entries: list[dict[str, str]] = [
        {"id": name, "token_variable": f"TOKEN_{name}"} for name in [*DATASETS, NO_TOKEN][1:]
    ]
    entries[0]["app_secret_variable"] = "SECRET_OF_ONE"
    (shop.folder / "datasets.yaml").write_text(yaml.safe_dump({"datasets": entries}))
    location = {"module_name": "capi_assets.definitions", "location_name": "capi_assets"}
    workspace = {"load_from": [{"python_module": location}]}
    (shop.folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
    config = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    for name in ("compute_logs", "local_artifact_storage"):
        del config[name]
    config["storage"] = {"sqlite": {"base_dir": str(shop.root / "dagster")}}
    config["python_logs"] = {"managed_python_loggers": ["root"], "python_log_level": "DEBUG"}
    (shop.root / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(config))


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
