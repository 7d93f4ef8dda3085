"""Which open hours are delivered as soon as orders land in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from capi_assets.ingest.late_files import LandedFile
from capi_assets.ingest.new_orders import PAUSE, QUIET, VISITS_BEHIND, hours_with_new_orders

HOUR = datetime(2026, 11, 20, 13, tzinfo=UTC)
NOW = HOUR + timedelta(minutes=30)
SECOND = timedelta(seconds=1)


def landed(table: str, ago: timedelta, hour: datetime = HOUR, name: str = "a.csv") -> LandedFile:
    return LandedFile(table, hour, name, 100, NOW - ago)


def due(
    orders: list[LandedFile],
    visits: list[LandedFile] | None = None,
    read: dict[datetime, timedelta] | None = None,
) -> list[datetime]:
    """The hours to deliver, where `read` says how long ago each was read."""
    read_at = {("orders", hour): NOW - ago for hour, ago in (read or {}).items()}
    return [entry.hour for entry in hours_with_new_orders(orders, visits, read_at, NOW)]


@pytest.mark.parametrize(
    ("landed_ago", "read_ago", "is_due"),
    [
        (QUIET, None, True),
        (QUIET - SECOND, None, False),  # may still be being written
        (QUIET, PAUSE, True),
        (QUIET, PAUSE - SECOND, False),  # read a moment ago: one run a minute
        (2 * PAUSE, PAUSE, False),  # it was there when the hour was read
    ],
)
def test_new_orders_are_due_once_they_rest_and_the_last_run_is_a_while_ago(
    landed_ago: timedelta, read_ago: timedelta | None, is_due: bool
) -> None:
    read = {} if read_ago is None else {HOUR: read_ago}
    assert due([landed("orders", landed_ago)], None, read) == ([HOUR] if is_due else [])


@pytest.mark.parametrize(
    ("visits_ago", "is_due"),
    [(timedelta(0), True), (QUIET + VISITS_BEHIND, True), (QUIET + VISITS_BEHIND + SECOND, False)],
)
def test_orders_wait_for_visits_that_are_behind(visits_ago: timedelta, is_due: bool) -> None:
    found = due([landed("orders", QUIET)], [landed("visits", visits_ago)])
    assert found == ([HOUR] if is_due else [])


def test_without_any_landed_visit_the_schedule_delivers() -> None:
    assert due([landed("orders", QUIET)], []) == []


def test_every_open_hour_is_looked_at_by_itself() -> None:
    before = HOUR - timedelta(hours=1)
    files = [landed("orders", 2 * QUIET, before), landed("orders", SECOND)]
    assert due(files, None, {HOUR: PAUSE}) == [before]
