"""`capi-assets erase`: removes one person from everything that this project stores.

    erasure = Erasure.examine(settings, named)  # changes nothing; `as_table(erasure)` shows it
    findings = erasure.carry_out(instance, now, wait, say)
    findings.found                              # what is left, by place; empty if nothing is

Tombstones are left first, so that what is removed does not come back. Nothing is sent to Meta.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import dagster as dg
from rich.table import Table
from sqlalchemy import make_url
from upath import UPath

from capi_assets.coverage.formatting import count
from capi_assets.defs.automation.active_runs import active_runs
from capi_assets.defs.dagster_erasure import (
    erase_from_dagster,
    folders,
    search_dagster,
    written_forms,
)
from capi_assets.delivery.erasure.person import Named, Person, find_person, is_theirs
from capi_assets.delivery.erasure.removal import (
    ANCHORS,
    LakeTraces,
    lake_traces,
    leave_tombstones,
    remove_from_lake,
)
from capi_assets.delivery.erasure.search import Findings, Needles, search_database, search_files
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.old_rows import LedgerEvent, LedgerTraces
from capi_assets.delivery.ledger.schema import MAYBE_AT_META
from capi_assets.hours import hour_key
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.lake import Lake
from capi_assets.policies import open_ledger
from capi_assets.settings import Settings

_POLL_SECONDS = 2.0  # a run takes at least some seconds


@dataclass
class Erasure:
    """One person's rows as they are stored: `lake` by table and hour, `ledger`, and the files of
    the landing zone that they came from."""

    settings: Settings
    named: Named
    person: Person
    lake: list[LakeTraces]
    ledger: LedgerTraces
    landing: list[str] = field(default_factory=list)

    @classmethod
    def examine(cls, settings: Settings, named: Named, known: Person | None = None) -> Self:
        """Finds the person's rows, also those of `known`. Changes nothing.

        Raises:
            LakeError, LedgerError, duckdb.Error: a table cannot be read.
        """
        lake = Lake(settings.lake)
        person = find_person(lake, named)
        if known is not None:
            person.add(known)
        with open_ledger(settings) as ledger:
            ids = sorted(person.order_ids | named.orders)
            in_ledger = ledger.traces(ids, person.marks)
        events = [event for event in in_ledger.events if _is_theirs(event, person, named)]
        in_ledger = replace(in_ledger, events=events)
        for _, dataset, event_name, order_id, event_id, *_ in events:
            person.orders.add((dataset, event_name, order_id))
            person.event_ids.add(event_id)
        traces = lake_traces(lake, person)
        return cls(settings, named, person, traces, in_ledger, _landing_files(settings, traces))

    @property
    def is_empty(self) -> bool:
        return not (self.lake or self.ledger.events or self.ledger.withdrawals)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table has of the person."""
        rows = Counter[str]()
        for traces in self.lake:
            rows[traces.table] += traces.rows
        rows["events in the ledger"] = len(self.ledger.events)
        rows["withdrawals in the ledger"] = len(self.ledger.withdrawals)
        return dict(+rows)

    @property
    def at_meta(self) -> int:
        """How many of the events Meta has or may have."""
        return sum(event[5] in MAYBE_AT_META for event in self.ledger.events)

    def carry_out(
        self,
        instance: dg.DagsterInstance | None,
        now: datetime,
        wait: timedelta,
        say: Callable[[str], None],
    ) -> tuple[Findings, list[str]]:
        """Erases, waits until the runs that were active have ended, erases what they wrote back,
        and searches. Returns what is left, and the runs that are still active.

        Raises:
            TombstoneError: there is no key for the tombstones; nothing is removed then.
            LakeError, LedgerError: a table cannot be written; run the command again.
        """
        with open_ledger(self.settings) as ledger:
            key_file = self.settings.erasure_key_file
            leave_tombstones(ledger, self.person, key_file, now)
            running = _running(instance, now)
            self._remove(ledger, instance)
            until = time.monotonic() + wait.total_seconds()
            if running:
                say(f"Waiting for {count(len(running), 'run')} that began before …")
            while running & _running(instance, now) and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
            again = Erasure.examine(self.settings, self.named, self.person)
            leave_tombstones(ledger, again.person, key_file, now)
            if running or not again.is_empty:
                again._remove(ledger, instance)
            findings = again._search(ledger, instance)
        return findings, sorted(running & _running(instance, now))

    def _remove(self, ledger: Ledger, instance: dg.DagsterInstance | None) -> None:
        lake = Lake(self.settings.lake)
        needles = self._needles()
        others = [traces for traces in self.lake if traces.table not in ANCHORS]
        remove_from_lake(lake, self.person, others)
        ledger.erase(self.ledger, needles.redact)
        if instance is not None:
            erase_from_dagster(instance, needles)
        anchors = [traces for traces in self.lake if traces.table in ANCHORS]
        remove_from_lake(lake, self.person, anchors)
        ledger.compact()

    def _needles(self) -> Needles:
        return Needles(self.person, self.named, written_forms(self.person.own_ids))

    def _search(self, ledger: Ledger, instance: dg.DagsterInstance | None) -> Findings:
        needles, findings = self._needles(), Findings()
        roots = [UPath(self.settings.lake), UPath(self.settings.views)]
        if ledger.engine.dialect.name == "sqlite":
            path = str(make_url(self.settings.ledger_url.get_secret_value()).database)
            roots += [UPath(path + suffix) for suffix in ("", "-wal", "-journal")]
        else:
            with ledger.engine.connect() as connection:
                search_database(connection, "the ledger", needles, findings)
        if instance is not None:
            roots += [UPath(folder) for folder in folders(instance)]
            search_dagster(instance, needles, findings)
        for root in roots:
            if root.exists():
                search_files(root, needles, findings)
        return findings

    def not_erased(self, instance: dg.DagsterInstance | None) -> list[str]:
        """What this command cannot erase, in sentences."""
        files = self.landing
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        landing = f": {', '.join(files[:3])}{more}" if files else ""
        texts = [
            f"Meta: it has or may have {count(self.at_meta, 'event')} of the person. What it keeps,"
            " it deletes on request only.",
            f"Your landing zone and your databases{landing}. Rows of the person that land again are"
            " not stored, but the files are yours.",
            "Backups and snapshots of these places, and object storage that keeps old versions.",
            "Logs outside Dagster's storage, and the terminal's history if a value was typed as an"
            " argument.",
        ]
        if not self.settings.ledger_url.get_secret_value().startswith("sqlite"):
            texts.append(
                "PostgreSQL's own files: deleted rows stay in pages and WAL until PostgreSQL"
                " overwrites them."
            )
        if instance is None:
            texts.append(
                "Dagster's storage: neither DAGSTER_HOME nor dagster.yaml is here, so it was not"
                " searched."
            )
        return texts


def as_table(erasure: Erasure) -> Table:
    """How many rows of the person are stored, without showing them."""
    table = Table(title="Stored of this person", title_justify="left")
    table.add_column("where")
    table.add_column("rows", justify="right")
    table.add_column("hours")
    for name, rows in erasure.rows.items():
        hours = sorted(traces.hour for traces in erasure.lake if traces.table == name)
        span = f"{hour_key(hours[0])} to {hour_key(hours[-1])}" if hours else ""
        table.add_row(name.replace("_", " "), str(rows), span)
    return table


def _is_theirs(event: LedgerEvent, person: Person, named: Named) -> bool:
    """Whether an event of the ledger that shares an order id or a mark is the person's."""
    _, dataset, event_name, order_id, _, _, marks = event
    is_known = (dataset, event_name, order_id) in person.orders or order_id in named.orders
    return is_known or is_theirs((marks or "").split(), person.marks, named.marks)


def _running(instance: dg.DagsterInstance | None, now: datetime) -> set[str]:
    """Runs that have begun and may have read the person before."""
    if instance is None:
        return set()
    waiting = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
    return {run.run_id for run in active_runs(instance, now) if run.status not in waiting}


def _landing_files(settings: Settings, traces: list[LakeTraces]) -> list[str]:
    """The landing files of the hours in which the person has rows."""
    names: list[str] = []
    for table, model in (("visits", settings.visits_sql), ("orders", settings.orders_sql)):
        hours = sorted({found.hour for found in traces if found.table.endswith(table)})
        if hours and model is None and Path(settings.landing).exists():
            files = LandingFolder(settings.landing, table).listing(hours).files
            names += [name for listed in files.values() for name, _ in listed]
    return names
