"""How late files usually land is learnt from them, and an outage, an import or a correction is no
habit."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gap_text import hour_sentence
from capi_assets.coverage.landing_delays import AT_ONCE, LandingDelays, landing_delays
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SqlModel
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy
from capi_assets.settings import Settings
from tests.helpers.order_records import H, OrderRecords, health_row, hour

START = datetime.fromisoformat("2026-11-10T00:00+00:00")
DAYS = 6
NOW = START + timedelta(days=DAYS)
MINUTE = timedelta(minutes=1)
PROMPT = timedelta(minutes=2)


def land(root: Path, at: datetime, delay: timedelta, table: str = "orders", size: int = 10) -> None:
    folder = root / "landing" / table / f"{at:%Y-%m-%d}" / f"{at:%H}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{size}.csv"
    file.write_bytes(b"x" * size)
    landed = (at + HOUR + delay).timestamp()
    os.utime(file, (landed, landed))


def learnt(root: Path, orders_sql: bool = False) -> LandingDelays:
    landing, lake = str(root / "landing"), Lake(root / "lake")
    orders = SqlModel("orders.sql") if orders_sql else LandingFolder(landing, "orders")
    return landing_delays(lake, LandingFolder(landing, "visits"), orders, NOW)


def every_hour(days: int = DAYS) -> list[datetime]:
    return [NOW - (n + 1) * HOUR for n in range(24 * days)]


def export_of_three_hours(at: datetime) -> timedelta:
    return (2 - at.hour % 3) * HOUR + 4 * MINUTE


def always_two_hours_late(at: datetime) -> timedelta:
    return 2 * HOUR + (at.hour % 7) * MINUTE


def once_a_day(at: datetime) -> timedelta:
    return (23 - at.hour) * HOUR + 90 * MINUTE


@pytest.mark.parametrize(
    ("delay", "usual"),
    [
        (lambda at: PROMPT, timedelta(0)),
        (export_of_three_hours, 2 * HOUR + 4 * MINUTE),
        (always_two_hours_late, 2 * HOUR + 6 * MINUTE),
        (once_a_day, 24 * HOUR + 30 * MINUTE),
        (lambda at: timedelta(days=3), timedelta(0)),  # an import, or never in time
    ],
    ids=["prompt", "export of 3 hours", "2 hours late", "once a day", "imported"],
)
def test_the_usual_delay_of_a_table_is_learnt_from_its_files(tmp_path, delay, usual) -> None:
    for at in every_hour():
        land(tmp_path, at, delay(at))
        land(tmp_path, at, PROMPT, "visits")
    assert learnt(tmp_path) == LandingDelays(visits=timedelta(0), orders=usual)


def test_an_outage_and_a_few_days_of_files_teach_nothing(tmp_path: Path) -> None:
    for at in every_hour():
        back = NOW - 30 * HOUR
        is_late = back - 10 * HOUR <= at < back
        land(tmp_path, at, back - at if is_late else PROMPT)
    assert learnt(tmp_path) == AT_ONCE
    for at in every_hour(2):
        land(tmp_path, at, 2 * HOUR, "visits")
    assert learnt(tmp_path / "other") == AT_ONCE


def test_small_corrections_later_do_not_count(tmp_path: Path) -> None:
    for at in every_hour():
        land(tmp_path, at, PROMPT, size=90)
        land(tmp_path, at, 9 * HOUR, size=5)
    assert learnt(tmp_path) == AT_ONCE


def delivered(root: Path, minutes: float) -> None:
    schema = arrow_schema(AttributionHealth)
    for at in every_hour():
        row = health_row(at, freshness_p95_minutes=minutes)
        Lake(root / "lake").write("attribution_health", at, pa.Table.from_pylist([row], schema))


def test_files_that_are_landed_again_every_night_were_there_before(tmp_path: Path) -> None:
    delivered(tmp_path, 58.0)
    for at in every_hour():
        land(tmp_path, at, once_a_day(at))
    assert learnt(tmp_path) == AT_ONCE


def test_the_delay_of_a_sql_model_shows_in_what_was_delivered(tmp_path: Path) -> None:
    delivered(tmp_path, 210.0)
    assert learnt(tmp_path, orders_sql=True) == LandingDelays(orders=2 * HOUR + 30 * MINUTE)


def test_a_landing_folder_that_cannot_be_listed_teaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "orders").write_text("no folder")
    assert learnt(tmp_path) == AT_ONCE


def test_settings_and_a_time_make_the_policy_that_waits(tmp_path: Path) -> None:
    for at in every_hour():
        land(tmp_path, at, always_two_hours_late(at))
    settings = Settings(landing=str(tmp_path / "landing"), lake=str(tmp_path / "lake"))
    policy = coverage_policy(settings, NOW)
    assert policy.delays.text == "orders usually land up to 2 h 6 min after their hour"
    assert policy.wait() == CoveragePolicy().wait() + 2 * HOUR + 6 * MINUTE
    text = policy.delays_text(H, H + 90 * MINUTE)
    assert text.endswith("after their hour: missing ones are judged from 2026-11-20 16:31 UTC on.")
    assert policy.delays_text(H, H + 4 * HOUR) == ""


def test_orders_that_need_their_visit_wait_for_it_as_long_as_visits_usually_take() -> None:
    books = OrderRecords().order(times=20)
    books.order(verdict="invalid", status=None, reason="weak_match_keys", visit=None, times=20)
    patient = CoveragePolicy(delays=LandingDelays(visits=2 * HOUR))
    early, due = H + 2 * HOUR, H + 3 * HOUR + 6 * MINUTE
    flagged = [
        flag_hours(books.health(), patient, now)["cause"].to_pylist() for now in (early, due)
    ]
    assert flagged == [[None], [str(Cause.MATCH_KEYS_LOST)]]
    assert flag_hours(books.health(), CoveragePolicy(), early)["cause"].to_pylist() != [None]
    token = OrderRecords().order(status="pending", reason="token_expired", times=20)
    at_once = flag_hours(token.health(), patient, H + HOUR)
    assert "token" in hour_sentence(H, at_once, hour(1))
