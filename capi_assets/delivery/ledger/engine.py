"""How the ledger's database is opened: SQLite in WAL mode or whatever a SQLAlchemy URL names.

Transactions that write are marked with the execution option `WRITES`; on SQLite they begin with
BEGIN IMMEDIATE, so that a claim sees the last claim. What is stored is in ledger_schema.py.
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

WRITES = "ledger_writes"
VERSION_TABLE = "ledger_version"  # Dagster's own storage may live in the same database
HEAD = "0002"

_migrating = threading.Lock()  # Alembic keeps its context in module globals


class LedgerError(RuntimeError):
    """The ledger cannot be read or written. Without it nothing may be sent; the message says
    which ledger, why, and what to do."""


def open_engine(url: str, busy_timeout: timedelta) -> Engine:
    """An engine for `url`; the folder of a SQLite file is made.

    Raises:
        LedgerError: the URL cannot be understood, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(parsed, busy_timeout)
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(
            f"CAPI_LEDGER_URL cannot be used: {type(error).__name__}: {error}. Write "
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
        connection.isolation_level = None  # BEGIN is ours to say, below
        _use_wal(connection, time.monotonic() + seconds)
        # FULL, not NORMAL: an intent lost with the power would be a conversion sent twice.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection, until: float) -> None:
    """Switching a new file to WAL answers "locked" at once, whatever the busy timeout."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def migrate(engine: Engine) -> None:
    """Brings the tables to this version's; safe when several processes start at once.

    Raises:
        LedgerError: a newer capi_assets wrote this ledger.
    """
    if _version(engine) == HEAD:
        return
    with _migrating:
        try:
            with engine.execution_options(**{WRITES: True}).begin() as connection:
                _upgrade(connection)
        except DBAPIError:
            if _version(engine) != HEAD:  # else another process was first
                raise


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return str(found) if found is not None else None


def _upgrade(connection: Connection) -> None:
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
        command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(
            f"The ledger {connection.engine.url!r} has another version than this program knows: "
            f"{error}. Was it written by a newer capi_assets? Upgrade this one."
        ) from None
