"""Opens and migrates the ledger's database: SQLite in WAL mode, or any SQLAlchemy URL.

Transactions that write have the execution option `WRITES`; on SQLite they begin with BEGIN
IMMEDIATE, so that a claim sees the last claim. The tables are in schema.py.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from capi_assets.web_addresses import database_url_problem

WRITES = "ledger_writes"
VERSION_TABLE = "ledger_version"  # Dagster's own storage may live in the same database
HEAD = "0008"

_migrating = threading.Lock()  # Alembic keeps its context in module globals


class LedgerError(RuntimeError):
    """The ledger cannot be read or written, so nothing may be sent; the message names the ledger,
    the cause and the remedy."""


def open_engine(url: str, busy_timeout: timedelta) -> Engine:
    """An engine for `url`; the folder of a SQLite file is created.

    Raises:
        LedgerError: the URL is not valid, or its driver is not installed.
    """
    try:
        if problem := database_url_problem(url):
            raise LedgerError(f"CAPI_LEDGER_URL {problem}.")
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(parsed, busy_timeout)
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(
            f"CAPI_LEDGER_URL is not valid: {type(error).__name__}. Write "
            "sqlite:///data/ledger.db or postgresql+psycopg2://user:password@host/database "
            "(the extra `postgres` installs its driver)."
        ) from None


def _open_sqlite(url: URL, busy_timeout: timedelta) -> Engine:
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    seconds = busy_timeout.total_seconds()
    engine = create_engine(url, connect_args={"timeout": seconds}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is sent below
        _use_wal(connection, time.monotonic() + seconds)
        # FULL, not NORMAL: an intent lost with the power would be a conversion sent twice.
        connection.execute("PRAGMA synchronous = FULL")
        # What is deleted or replaced is overwritten with zeros.
        connection.execute("PRAGMA secure_delete = ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection, until: float) -> None:
    """Retries: SQLite ignores the busy timeout while a new file is switched to WAL."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def migrate(engine: Engine) -> None:
    """Migrates the tables to this version; safe when several processes start at once.

    Raises:
        LedgerError: a newer capi_assets wrote this ledger.
    """
    if revision_of(engine) == HEAD:
        return
    with _migrating:
        try:
            with engine.execution_options(**{WRITES: True}).begin() as connection:
                upgrade(connection)
        except DBAPIError:
            if revision_of(engine) != HEAD:  # else another process did it
                raise


def revision_of(engine: Engine) -> str | None:
    """The revision of the ledger's tables, such as `HEAD`; None if there are none yet."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return None if version is None else str(version)


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Migrates the tables to `revision`, in the connection's transaction."""
    # Loaded only here: Alembic takes 0.2 s to import, and most runs find the tables in place.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    scripts = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise LedgerError(
            f"The ledger {connection.engine.url.set(query={})!r} has a version that this "
            f"capi_assets does not know: {error}. If a newer one wrote it, upgrade this one."
        ) from None
