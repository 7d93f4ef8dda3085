"""Fixtures: ledgers on SQLite and on a real PostgreSQL, and the Meta sandbox."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.sending.access import DatasetAccess, EventsClient, open_clients
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import DATASET, OTHER_DATASET, QUICK, TOKEN, Clock
from tests.helpers.postgres_server import database, postgres_server, programs


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[SandboxServer]:
    """the Meta sandbox, on the test's clock, with one good token and two datasets."""
    with SandboxServer(
        clock=clock, tokens=[TOKEN, "EAAother"], datasets=[DATASET, OTHER_DATASET]
    ) as server:
        yield server


@pytest.fixture
def access(sandbox: SandboxServer) -> DatasetAccess:
    return DatasetAccess(DATASET, TOKEN, graph_url=sandbox.url)


@pytest.fixture
def clients(access: DatasetAccess) -> Iterator[dict[str, EventsClient]]:
    opened = open_clients([access], QUICK)
    yield dict(opened)
    for client in opened.values():
        client.close()


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Ledger]:
    with Ledger(sqlite_url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty ledger, on each database that is promised."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server = request.getfixturevalue("postgres")
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    with database(server, name) as url:
        yield url


@pytest.fixture
def any_ledger(any_url: str) -> Iterator[Ledger]:
    with Ledger(any_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own, on a free port of 127.0.0.1, gone when the tests end."""
    bin_folder = programs()
    if bin_folder is None:
        why = "PostgreSQL is not installed: the ledger is NOT tested on it (apt: postgresql)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    pytest.importorskip("psycopg2")
    with postgres_server(bin_folder) as server:
        yield server
