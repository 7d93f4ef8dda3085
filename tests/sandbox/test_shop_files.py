"""The sample shop's landing zone: every format says the same, and rewriting is always safe."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from upath import UPath

from capi_assets.sandbox.shop.files import FORMATS, TABLES, write_landing
from capi_assets.sandbox.shop.outages import Outage
from capi_assets.sandbox.shop.sample import END, SAMPLE, START
from capi_assets.sandbox.shop.shop import Shop
from tests.helpers.shop_truth import truth

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHOP = Shop(seed=2, visits_per_day=6_000, conversion_rate=0.3, opened=MONDAY)
REPOSITORY = Path(__file__).parents[2]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _read(path: Path) -> pd.DataFrame:
    """A file's rows as text, by means the shop does not use to write them."""
    if path.suffix == ".parquet":
        frame = pq.read_table(path).to_pandas()
        frame["occurred_at"] = frame["occurred_at"].astype("int64") // 1_000
        return frame.astype(object)
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    if ".csv" in path.name:
        frame = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False, na_values=[""])
    else:
        frame = pd.DataFrame([json.loads(line) for line in text.splitlines()], dtype=object)
        if "contents" in frame:
            frame["contents"] = frame["contents"].map(json.dumps, na_action="ignore")
    times = pd.to_datetime(frame["occurred_at"], utc=True, unit=_unit(frame), format=_format(frame))
    frame["occurred_at"] = times.dt.as_unit("ms").astype("int64")
    return frame.astype(object)


def _unit(frame: pd.DataFrame) -> str | None:
    return "ms" if isinstance(frame["occurred_at"].iloc[0], int) else None


def _format(frame: pd.DataFrame) -> str | None:
    return None if _unit(frame) else "ISO8601"


def _rows(landing: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table in one form, in no order."""
    rows = []
    for path in sorted((landing / table).rglob("shop-*")):
        for row in _read(path).to_dict("records"):
            present = {name: cell for name, cell in row.items() if not pd.isna(cell)}
            # What is no number cannot be told from nothing in Parquet: null everywhere.
            plain = {name: _plain(name, cell) for name, cell in present.items()}
            rows.append({"value": None} | plain)
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def _plain(name: str, cell: Any) -> Any:
    if name == "contents":
        return json.loads(cell)
    if name in ("value", "num_items"):
        try:
            return float(cell)
        except ValueError:
            return None
    return str(cell).lower() if name == "consent" else str(cell)


def test_every_format_says_the_same(tmp_path: Path) -> None:
    for format_ in FORMATS:
        write_landing(
            tmp_path / format_, MONDAY + 18 * HOUR, MONDAY + 21 * HOUR, SHOP, formats=[format_]
        )
    for table in TABLES:
        rows = {format_: _rows(tmp_path / format_, table) for format_ in FORMATS}
        assert len(rows["csv"]) > 100
        assert all(of_format == rows["csv"] for of_format in rows.values())


def test_an_hour_is_several_files_in_several_formats_and_nothing_else(tmp_path: Path) -> None:
    written = write_landing(tmp_path, MONDAY + 19 * HOUR, MONDAY + 23 * HOUR, SHOP)
    files = _files(tmp_path)
    assert written.files == len(files)
    for hour in range(19, 23):
        names = [Path(name).name for name in files if name.startswith(f"visits/2026-11-16/{hour}/")]
        assert [name.split(".")[0] for name in names] == [
            "shop-00",
            "shop-15",
            "shop-30",
            "shop-45",
        ]
        assert len({name.partition(".")[2] for name in names}) == 4
    for table in TABLES:
        formats = {Path(name).name.partition(".")[2] for name in files if name.startswith(table)}
        assert formats == set(FORMATS)
    assert written.visits == SHOP.visits(MONDAY + 19 * HOUR, MONDAY + 23 * HOUR).num_rows
    assert written.orders == SHOP.orders(MONDAY + 19 * HOUR, MONDAY + 23 * HOUR).num_rows


def test_writing_again_changes_no_byte(tmp_path: Path) -> None:
    write_landing(tmp_path, MONDAY, MONDAY + 6 * HOUR, SHOP)
    before = _files(tmp_path)
    write_landing(tmp_path, MONDAY + 2 * HOUR, MONDAY + 4 * HOUR, SHOP)
    assert _files(tmp_path) == before


def test_the_open_hour_can_be_fed_every_minute(tmp_path: Path) -> None:
    hour = MONDAY + 20 * HOUR
    seen: dict[str, bytes] = {}
    for minute in range(1, 61, 7):
        write_landing(tmp_path, hour, hour + HOUR, SHOP, until=hour + timedelta(minutes=minute))
        files = _files(tmp_path)
        closed = {name for name in seen if int(name.split("shop-")[1][:2]) + 15 <= minute - 7}
        assert all(files[name] == seen[name] for name in closed)
        seen = files
    write_landing(tmp_path, hour, hour + HOUR, SHOP)
    fed = _files(tmp_path)
    write_landing(tmp_path / "once", hour, hour + HOUR, SHOP)
    assert fed == _files(tmp_path / "once")


def test_what_no_longer_belongs_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    write_landing(tmp_path, MONDAY, MONDAY + 3 * HOUR, SHOP)
    theirs = tmp_path / "visits/2026-11-16/01/export.csv"
    theirs.write_text("visit_id,occurred_at\n")
    gone = Outage("visits_missing", MONDAY + HOUR, MONDAY + 2 * HOUR)
    struck = Shop(2, 6_000, conversion_rate=0.3, opened=MONDAY, outages=(gone,))
    write_landing(tmp_path, MONDAY, MONDAY + 3 * HOUR, struck, formats=["csv"])
    left = [name for name in _files(tmp_path) if name.startswith("visits/2026-11-16/01/")]
    assert left == ["visits/2026-11-16/01/export.csv"]
    assert all(name.endswith(".csv") for name in _files(tmp_path))


def test_a_missing_hour_leaves_no_folder(tmp_path: Path) -> None:
    out = Outage("orders_missing", MONDAY, MONDAY + 24 * HOUR)
    write_landing(tmp_path, MONDAY, MONDAY + 24 * HOUR, Shop(2, outages=(out,)))
    assert not (tmp_path / "orders").exists()
    assert len(list((tmp_path / "visits/2026-11-16").iterdir())) == 24


def test_late_visits_land_in_a_file_of_their_own(tmp_path: Path) -> None:
    late = Outage("late_visits", MONDAY + HOUR, MONDAY + 2 * HOUR, delay=timedelta(hours=5))
    shop = Shop(2, 6_000, outages=(late,))
    for until, names in ((MONDAY + 3 * HOUR, set()), (MONDAY + 8 * HOUR, {"shop-late"})):
        write_landing(tmp_path, MONDAY + HOUR, MONDAY + 2 * HOUR, shop, until=until)
        found = {Path(n).name.split(".")[0] for n in _files(tmp_path) if n.startswith("visits/")}
        assert found == names


def test_object_stores_are_written_too() -> None:
    landing = UPath("memory://shop-files-test")
    written = write_landing(landing, MONDAY, MONDAY + 2 * HOUR, SHOP)
    assert written.files == len([path for path in landing.rglob("shop-*") if path.is_file()])


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"xlsx.*known: csv"):
        write_landing(tmp_path, MONDAY, MONDAY + HOUR, SHOP, formats=["xlsx"])


def test_the_sample_in_the_repository_is_the_shops_and_holds_every_format(tmp_path: Path) -> None:
    sample = REPOSITORY / "data/sample"
    write_landing(tmp_path, START, END, SAMPLE)
    committed, made = _files(sample), _files(tmp_path)
    assert list(committed) == list(made)
    assert sum(map(len, committed.values())) < 200_000
    for table in TABLES:
        assert _rows(sample, table) == _rows(tmp_path, table)
        formats = {Path(n).name.partition(".")[2] for n in committed if n.startswith(table)}
        assert formats == set(FORMATS)
    counted = truth(SAMPLE, START, END).sum()
    assert (
        counted[["broken", "broken_email", "impossible_phone", "ambiguous_birth_date"]] > 0
    ).all()


def test_a_file_that_would_be_the_same_is_left_alone(tmp_path: Path) -> None:
    end = MONDAY + 2 * HOUR
    write_landing(tmp_path, MONDAY, end, SHOP)
    paths = [path for path in tmp_path.rglob("shop-*") if path.is_file()]
    for path in paths:
        os.utime(path, (1_000, 1_000))
    write_landing(tmp_path, MONDAY, end, SHOP)
    # Otherwise a shop that goes on selling would make every file a late one.
    assert {path.stat().st_mtime for path in paths} == {1_000}
    write_landing(tmp_path, MONDAY, end, SHOP, formats=("csv",))
    assert any(path.stat().st_mtime > 1_000 for path in tmp_path.rglob("shop-*"))
