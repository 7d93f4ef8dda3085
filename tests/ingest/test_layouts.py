"""A landed file belongs to its hour in every common layout, or is named: none is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from capi_assets.ingest.landing_folder import LandingFolder
from tests.helpers.factories import HOUR, H, Row, encoded, landed_order
from tests.helpers.ingest_harness import IngestHarness


def put(root: Path | UPath, name: str, content: list[Row] | None = None) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded("a.csv", content or [landed_order()]))


LAYOUTS = [
    "orders/2026-11-20/13/o.csv",
    "orders/2026-11-20/13.csv",
    "orders/2026/11/20/13/o.csv",  # Firehose
    "orders/date=2026-11-20/hour=13/o.csv",  # Hive
    "orders/dt=2026-11-20/hr=13/o.csv",
    "orders/year=2026/month=11/day=20/hour=13/o.csv",
    "orders/2026-11-20/13/orders.csv/part-00000-c000.csv",  # Spark
    "orders/2026-11-20/13/orders.csv/0.part",  # Dask
    "orders/2026/11/20/13/05/o.csv",
]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("store", ["local", "memory"])
def test_a_file_is_read_in_every_common_layout(
    harness: IngestHarness, name: str, store: str
) -> None:
    root = harness.landing if store == "local" else UPath(f"memory://{harness.landing}/{name}")
    put(root, name)
    ingested = harness.ingest("orders", [H, H + HOUR], source=LandingFolder(root, "orders"))
    assert [hour.rows.num_rows for hour in ingested.hours] == [1, 0]
    assert ingested.misplaced == []


def test_hours_before_ten_may_have_one_digit(harness: IngestHarness) -> None:
    early = H - 10 * HOUR
    row = landed_order(occurred_at=early.isoformat())
    put(harness.landing, "orders/2026-11-20/3/o.csv", [row])
    assert harness.hour("orders", hours=[early]).rows.num_rows == 1


def test_a_folder_of_parts_is_a_file_and_its_marks_are_not(harness: IngestHarness) -> None:
    folder = "orders/2026-11-20/13/orders.csv"
    for number in range(3):
        row = landed_order(order_id=f"o{number}")
        put(harness.landing, f"{folder}/part-0000{number}.csv", [row])
    for name in ("_SUCCESS", ".part-00000.csv.crc", "_temporary/0/task/part-00009.csv"):
        put(harness.landing, f"{folder}/{name}")
    hour = harness.hour("orders")
    assert (hour.rows.num_rows, hour.files, hour.file_problems) == (3, 3, [])


def test_several_layouts_make_one_hour_in_the_order_of_their_names(harness: IngestHarness) -> None:
    put(harness.landing, "orders/2026-11-20/13/2.csv", [landed_order(status="cancelled")])
    put(harness.landing, "orders/2026/11/20/13/1.csv", [landed_order(status="confirmed")])
    (order,) = harness.rows("orders")
    assert order["status"] == "cancelled"


def test_a_part_of_no_known_format_costs_its_hour(harness: IngestHarness) -> None:
    put(harness.landing, "orders/2026-11-20/13/delivery-stream-1")
    (problem,) = harness.hour("orders").file_problems
    assert problem.reason == "unknown_format"


MISPLACED = [
    "orders/o.csv",
    "orders/latest/o.csv",
    "orders/2026-13-01/13/o.csv",
    "orders/2026/week47/o.csv",
    "orders/2026-11-20/o.csv",
    "orders/2026-11-20/24/o.csv",
    "orders/2026-11-20/noon/o.csv",
]


@pytest.mark.parametrize("store", ["local", "memory"])
def test_what_fits_no_hour_is_named(harness: IngestHarness, store: str) -> None:
    root = harness.landing if store == "local" else UPath(f"memory://{harness.landing}/misplaced")
    for name in (*MISPLACED, LAYOUTS[0], "orders/_SUCCESS", "orders/.DS_Store"):
        put(root, name)
    ingested = harness.ingest("orders", source=LandingFolder(root, "orders"))
    assert ingested.hours[0].rows.num_rows == 1
    assert ingested.misplaced == sorted(
        [
            *("orders/2026-11-20/24/o.csv", "orders/2026-11-20/noon/o.csv"),
            *("orders/2026-11-20/o.csv", "orders/2026-13-01", "orders/2026/week47"),
            *("orders/latest", "orders/o.csv"),
        ]
    )
