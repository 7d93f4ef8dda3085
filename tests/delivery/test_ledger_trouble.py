"""A ledger that cannot be opened, read or written: a clear error, and nothing sent."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy import event as sql_event

from capi_assets.delivery.ledger import engine
from capi_assets.delivery.ledger.ledger import Ledger, LedgerError
from capi_assets.delivery.ledger.schema import METADATA
from capi_assets.delivery.plan import plan, to_send
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.sender import deliver
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import (
    NOW,
    QUICK,
    Clock,
    column,
    event,
    ids,
    orders,
    register,
    table,
)

LEASE = timedelta(minutes=2)
SHORT = timedelta(milliseconds=200)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


class TestMigrations:
    def test_the_migrations_create_exactly_the_tables_of_the_schema(
        self, any_ledger: Ledger
    ) -> None:
        with any_ledger.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": engine.VERSION_TABLE}
            )
            assert compare_metadata(context, METADATA) == []

    def test_head_is_the_last_migration(self) -> None:
        scripts = Path(engine.__file__).parent / "migrations"
        assert ScriptDirectory(str(scripts)).get_current_head() == engine.HEAD

    def test_opening_twice_keeps_all_rows(self, any_url: str) -> None:
        with Ledger(any_url) as ledger:
            register(ledger, orders(2))
        with Ledger(any_url) as ledger:
            assert ledger.state_of(orders(2)).num_rows == 2

    def test_a_ledger_written_before_is_read_and_continued(
        self,
        sqlite_url: str,
        clients: dict[str, EventsClient],
        sandbox: SandboxServer,
        clock: Clock,
    ) -> None:
        # Written by version 0002 of the ledger: an event in each state, named after it.
        with sqlite3.connect(file_of(sqlite_url)) as written:
            written.executescript((Path(__file__).parent / "data/ledger_0002.sql").read_text())
        names = ["delivered", "rejected", "unknown", "resent", "pending", "withdrawn"]
        events = table(event(name) for name in [*names, "written off", "in flight"])
        clock.move(minutes=3)  # the claim of the run that was killed expires
        with Ledger(sqlite_url) as ledger:
            results = fold(events, ledger.state_of(events), clock(), QUICK)
            assert dict(
                zip(
                    ids(events),
                    zip(column(results, "status"), column(results, "reason"), strict=True),
                    strict=True,
                )
            ) == {
                "delivered": ("delivered", None),
                "rejected": ("rejected", "missing_currency"),
                "unknown": ("unknown", "no_answer"),
                "resent": ("pending", "resend_decided"),
                "pending": ("pending", "token_expired"),
                "withdrawn": ("pending", "not_attempted"),
                "written off": ("rejected", "written_off"),
                "in flight": ("unknown", "in_flight"),
            }
            assert ledger.attempts_for(events).num_rows == 6
            assert column(ledger.decisions_for(events), "kind") == ["resend", "write_off"]
            sends = to_send(events, plan(events, ledger.state_of(events), clock(), QUICK))
            assert deliver(sends, ledger, clients, clock, QUICK, run_id="r").delivered == 5
        assert (
            sandbox.inbox.rows("select count(*) from events where verdict = 'accepted'")[0][0] == 5
        )

    def test_many_processes_may_open_a_new_ledger_at_once(self, any_url: str) -> None:
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            assert pool.map(_open_and_register, [any_url] * 4) == [5] * 4

    def test_a_ledger_of_a_newer_version_is_left_alone(self, sqlite_url: str) -> None:
        with Ledger(sqlite_url) as ledger, ledger.engine.begin() as connection:
            connection.execute(text("UPDATE ledger_version SET version_num = '9999'"))
        with pytest.raises(LedgerError, match="If a newer one wrote it"):
            Ledger(sqlite_url)


def _open_and_register(url: str) -> int:
    with Ledger(url) as ledger:
        register(ledger, orders(5))
        return int(ledger.state_of(orders(5)).num_rows)


class TestErrors:
    @pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y", "postgresql+nosuchdriver://x/y"])
    def test_an_invalid_url_names_a_valid_one(self, url: str) -> None:
        with pytest.raises(LedgerError, match=r"sqlite:///data/ledger\.db"):
            Ledger(url)

    def test_a_database_that_does_not_answer_is_named_without_its_password(self) -> None:
        with pytest.raises(LedgerError) as caught:
            Ledger("postgresql+psycopg2://capi:hunter2@127.0.0.1:1/ledger")
        assert "127.0.0.1:1/ledger" in str(caught.value)
        assert "hunter2" not in str(caught.value)

    def test_a_file_that_is_no_database(self, sqlite_url: str) -> None:
        file_of(sqlite_url).write_text("this is a text file of more than a hundred bytes " * 5)
        with pytest.raises(LedgerError, match="could not be opened"):
            Ledger(sqlite_url)

    def test_a_writer_waits_until_another_program_releases_its_lock(self, sqlite_url: str) -> None:
        with Ledger(sqlite_url) as ledger, holding_the_lock(sqlite_url) as other:
            threading.Timer(0.3, other.rollback).start()
            register(ledger, orders(1))
            assert ledger.state_of(orders(1)).num_rows == 1

    def test_reading_does_not_wait_for_a_writer(self, sqlite_url: str) -> None:
        with Ledger(sqlite_url, busy_timeout=SHORT) as ledger:
            register(ledger, orders(1))
            with holding_the_lock(sqlite_url):
                assert ledger.state_of(orders(1)).num_rows == 1

    def test_a_lock_that_is_never_released_is_an_error_with_a_remedy(self, sqlite_url: str) -> None:
        with (
            Ledger(sqlite_url, busy_timeout=SHORT) as ledger,
            holding_the_lock(sqlite_url),
            pytest.raises(LedgerError, match="Another program has locked it"),
        ):
            ledger.claim(orders(1), "a", NOW, LEASE)

    def test_a_read_only_ledger_can_be_read_and_says_so_when_written(self, sqlite_url: str) -> None:
        with Ledger(sqlite_url) as ledger:
            register(ledger, orders(1))
            url = f"sqlite:///file:{file_of(sqlite_url)}?mode=ro&uri=true"
            with Ledger(url) as frozen:
                assert frozen.state_of(orders(1)).num_rows == 1
                with pytest.raises(LedgerError, match="read-only"):
                    register(frozen, orders(2))


@contextmanager
def holding_the_lock(url: str) -> Iterator[sqlite3.Connection]:
    other = sqlite3.connect(file_of(url), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


class DiskFull:
    """Fails a ledger's statements of one kind, `times` times, as a full disk does."""

    def __init__(self, ledger: Ledger, statement: str, times: int = 1_000) -> None:
        self.statement = statement
        self.times = times
        self.was_full = False
        sql_event.listen(ledger.engine, "before_cursor_execute", self)

    def __call__(self, _c: Connection, cursor: object, sql: str, *_: object) -> None:
        if sql.startswith(self.statement) and self.times:
            self.times -= 1
            self.was_full = True
            raise sqlite3.OperationalError("database or disk is full")


class TestDelivery:
    def test_without_a_recorded_intent_nothing_is_sent(
        self, sandbox: SandboxServer, ledger: Ledger, clients: dict[str, EventsClient], clock: Clock
    ) -> None:
        DiskFull(ledger, "INSERT INTO attempts")
        with pytest.raises(LedgerError, match="disk is full"):
            deliver(orders(10), ledger, clients, clock, QUICK, run_id="r")
        assert sandbox.inbox.rows("select * from requests") == []

    def test_with_a_read_only_ledger_nothing_is_sent(
        self,
        sandbox: SandboxServer,
        sqlite_url: str,
        clients: dict[str, EventsClient],
        clock: Clock,
    ) -> None:
        with Ledger(sqlite_url) as ledger:
            register(ledger, orders(5))
        with (
            Ledger(f"sqlite:///file:{file_of(sqlite_url)}?mode=ro&uri=true") as frozen,
            pytest.raises(LedgerError, match=r"read-only.*Nothing is sent without the ledger"),
        ):
            deliver(orders(10), frozen, clients, clock, QUICK, run_id="r")
        assert sandbox.inbox.rows("select * from requests") == []

    def test_a_disk_that_fills_up_before_the_outcome_leaves_events_unknown(
        self,
        sandbox: SandboxServer,
        sqlite_url: str,
        clients: dict[str, EventsClient],
        clock: Clock,
    ) -> None:
        events = orders(10)
        with Ledger(sqlite_url) as ledger:
            disk = DiskFull(ledger, "UPDATE attempts")
            with pytest.raises(LedgerError, match="disk is full"):
                deliver(events, ledger, clients, clock, QUICK, run_id="r")
            assert disk.was_full
        with Ledger(sqlite_url) as ledger:
            assert set(column(ledger.state_of(events), "state")) == {"unknown"}
            clock.move(minutes=3)
            again = deliver(events, ledger, clients, clock, QUICK, run_id="r2")
        assert again.delivered == 10
        found = sandbox.inbox.rows("select verdict, count(*) from events group by 1 order by 1")
        assert [tuple(row) for row in found] == [("accepted", 10), ("duplicate", 10)]

    def test_an_outcome_that_could_not_be_recorded_is_tried_once_more(
        self, ledger: Ledger, clients: dict[str, EventsClient], clock: Clock
    ) -> None:
        DiskFull(ledger, "UPDATE attempts", times=1)
        with pytest.raises(LedgerError, match="disk is full"):
            deliver(orders(10), ledger, clients, clock, QUICK, run_id="r")
        known = ledger.state_of(orders(10))
        assert set(column(known, "state")) == {"delivered"}
        assert set(column(known, "claimed_by")) == {None}

    def test_a_locked_ledger_stops_the_delivery_and_a_later_run_sends_all(
        self,
        sandbox: SandboxServer,
        sqlite_url: str,
        clients: dict[str, EventsClient],
        clock: Clock,
    ) -> None:
        events = orders(10)
        with Ledger(sqlite_url, busy_timeout=SHORT) as ledger:
            with (
                holding_the_lock(sqlite_url),
                pytest.raises(LedgerError, match="materialize again"),
            ):
                deliver(events, ledger, clients, clock, QUICK, run_id="r")
            assert sandbox.inbox.rows("select * from requests") == []
            assert deliver(events, ledger, clients, clock, QUICK, run_id="r2").delivered == 10
