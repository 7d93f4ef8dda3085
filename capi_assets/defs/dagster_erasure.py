"""Removes a person's ids from Dagster's own storage, and names its folders for the search.

Ids are in results of checks, such as `all_events_resolved`. The events stay, with `erased` in place
of the ids: they are the record of what was materialized.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from capi_assets.defs.dagster_private import (
    AssetCheckExecutionsTable,
    AssetKeyTable,
    LocalComputeLogManager,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)
from capi_assets.defs.metadata import markdown_text
from capi_assets.delivery.erasure.search import Findings, Needles, search_database

_EVENTS = (
    SqlEventLogStorageTable.c.event,
    AssetCheckExecutionsTable.c.evaluation_event,
    AssetKeyTable.c.last_materialization,
)
_BUSY_SECONDS = 60  # Dagster holds its SQLite files for milliseconds


def open_instance() -> dg.DagsterInstance | None:
    """The instance of DAGSTER_HOME, or of the `dagster.yaml` in the working directory; None if
    there is neither."""
    if os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.get()
    return dg.DagsterInstance.from_config(".") if Path("dagster.yaml").exists() else None


def written_forms(ids: set[str]) -> set[str]:
    """The ids as descriptions of checks have them."""
    return {markdown_text(each) for each in ids}


def erase_from_dagster(instance: dg.DagsterInstance, needles: Needles) -> int:
    """Replaces the person's ids in all events and compute logs; returns in how many."""
    changed = 0
    for shard, connect in _connections(instance):
        with connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.execute(sa.text("PRAGMA secure_delete = ON"))
            known = sa.inspect(connection).get_table_names()
            events = sum(
                _redact(connection, column, needles)
                for column in _EVENTS
                if column.table.name in known
            )
        if events and shard is not None:
            _compact(shard)
        changed += events
    return changed + sum(_overwrite(path, needles) for path in _compute_logs(instance))


def search_dagster(instance: dg.DagsterInstance, needles: Needles, findings: Findings) -> None:
    """Searches the storage where it is no SQLite file, which is searched as a file."""
    for shard, connect in _connections(instance):
        if shard is None:
            with connect() as connection:
                search_database(connection, "Dagster's database", needles, findings)


def folders(instance: dg.DagsterInstance) -> list[Path]:
    """The folders of this machine in which Dagster stores runs, events and compute logs."""
    storage, logs = instance.event_log_storage, instance.compute_log_manager
    found = []
    if isinstance(storage, SqliteEventLogStorage):
        base = Path(storage.path_for_shard("index")).absolute().parents[2]
        found += [base / "history", base / "schedules"]
    if isinstance(logs, LocalComputeLogManager):
        found.append(Path(logs._base_dir).absolute())
    return [folder for folder in found if folder.exists()]


def _compute_logs(instance: dg.DagsterInstance) -> Iterator[Path]:
    logs = instance.compute_log_manager
    if isinstance(logs, LocalComputeLogManager):
        for path in Path(logs._base_dir).rglob("*"):
            if path.suffix in (".out", ".err"):
                yield path


def _connections(
    instance: dg.DagsterInstance,
) -> Iterator[tuple[Path | None, Callable[[], AbstractContextManager[Any]]]]:
    """Each SQLite file with its connection; None and the connection of another database."""
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        for run_id in [*storage.get_all_run_ids(), "index"]:
            yield Path(storage.path_for_shard(run_id)), partial(storage.run_connection, run_id)
    elif isinstance(storage, SqlEventLogStorage):
        yield None, storage.index_connection


def _redact(connection: sa.Connection, column: sa.Column[Any], needles: Needles) -> int:
    table, changed = column.table, []
    for row in connection.execute(sa.select(table.c.id, column).where(column.is_not(None))):
        text = row[1]
        if "\\" in text or needles.in_text(text):
            redacted = json.dumps(_without(json.loads(text), needles))
            if redacted != json.dumps(json.loads(text)):
                changed.append({"this": row.id, "text": redacted})
    if changed:
        at = table.c.id == sa.bindparam("this")
        connection.execute(
            sa.update(table).where(at).values({column: sa.bindparam("text")}), changed
        )
    return len(changed)


def _without(value: Any, needles: Needles) -> Any:
    if isinstance(value, dict):
        return {name: _without(member, needles) for name, member in value.items()}
    if isinstance(value, list):
        return [_without(item, needles) for item in value]
    return needles.redact(value) if isinstance(value, str) else value


def _compact(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _overwrite(path: Path, needles: Needles) -> bool:
    """Overwrites ids in a log in place, since a run may be appending to it."""
    spans = needles.spans(path.read_bytes())
    if spans:
        with path.open("r+b") as file:
            for first, end in spans:
                file.seek(first)
                file.write(b"#" * (end - first))
    return bool(spans)
