"""A file is late if its hour was read before it was there, whole, and quiet."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.late_files import LandedFile, landed_files, late_hours
from capi_assets.storage.listing import files_below

H = datetime(2026, 11, 20, 13, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
READ = H + HOUR + 5 * MINUTE
NOW = H + 5 * HOUR


def file(
    after_read: timedelta, name: str = "a.csv", hour: datetime = H, table: str = "orders"
) -> LandedFile:
    return LandedFile(table, hour, name, 10, READ + after_read)


def test_a_file_that_came_after_the_hour_was_read_is_late() -> None:
    files = [file(-MINUTE), file(MINUTE, "b.csv"), file(2 * MINUTE, "c.csv")]
    (late,) = late_hours(files, {("orders", H): READ}, NOW)
    assert (late.table, late.hour, late.files) == ("orders", H, 2)
    assert late.newest == READ + 2 * MINUTE
    assert late_hours(files[:1], {("orders", H): READ}, NOW) == []


def test_an_hour_that_was_never_read_is_still_to_come() -> None:
    assert late_hours([file(MINUTE)], {}, NOW) == []
    assert late_hours([file(MINUTE)], {("visits", H): READ}, NOW) == []


def test_a_file_that_may_still_grow_is_waited_for() -> None:
    files = [file(MINUTE), file(timedelta(minutes=10), "b.csv")]
    read = {("orders", H): READ}
    assert late_hours(files, read, READ + 10 * MINUTE + timedelta(seconds=59)) == []
    assert len(late_hours(files, read, READ + 11 * MINUTE)) == 1


def test_the_mark_changes_with_every_file_and_with_nothing_else() -> None:
    read = {("orders", H): READ}
    files = [file(MINUTE), file(-MINUTE, "b.csv")]
    (late,) = late_hours(files, read, NOW)
    (again,) = late_hours(files[::-1], read, NOW + HOUR)
    (grown,) = late_hours([*files, file(MINUTE, "c.csv")], read, NOW)
    (rewritten,) = late_hours([file(2 * MINUTE), files[1]], read, NOW)
    assert again.mark == late.mark
    assert len({late.mark, grown.mark, rewritten.mark}) == 3


def put(root: Path | UPath, name: str, at: datetime | None = None) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"order_id\n1\n")
    if at is not None:
        os.utime(str(path), (at.timestamp(), at.timestamp()))


def test_only_whole_files_of_the_hours_asked_for_are_listed(tmp_path: Path) -> None:
    for name in (
        "orders/2026-11-20/13/a.csv",
        "orders/2026-11-20/13/_b.csv",
        "orders/2026-11-20/13/.c.csv",
        "orders/2026-11-20/13/d.csv.tmp",
        "orders/2026-11-20/13/e.csv/part-0.csv",
        "orders/2026-11-20/13/e.csv/_SUCCESS",
        "orders/2026-11-20/14/f.csv",
        "orders/2026-11-20/99/g.csv",
        "orders/2026-11-20/h.csv",
        "orders/2026-11-21/00/i.csv",
        "visits/2026-11-20/13/j.csv",
    ):
        put(tmp_path, name, READ)
    found = landed_files(LandingFolder(tmp_path, "orders"), [H, H + 11 * HOUR])
    assert [(f.hour, f.name) for f in found] == [
        (H, "a.csv"),
        (H, "e.csv/part-0.csv"),
        (H + 11 * HOUR, "i.csv"),
    ]
    assert {f.changed_at for f in found} == {READ}
    assert {f.size for f in found} == {11}


def test_a_landing_folder_that_is_not_there_has_no_late_files(tmp_path: Path) -> None:
    assert landed_files(LandingFolder(tmp_path / "none", "orders"), [H]) == []


def test_object_stores_are_listed_alike() -> None:
    root = UPath("memory://late-files/landing")
    put(root, "orders/2026-11-20/13/a.csv")
    (found,) = landed_files(LandingFolder(root, "orders"), [H])
    assert found.name == "a.csv"
    assert found.changed_at.tzinfo is not None
    (late,) = late_hours(
        [found], {("orders", H): found.changed_at - HOUR}, datetime.max.replace(tzinfo=UTC)
    )
    assert late.files == 1


class Store:
    """A file system that tells times as some store does."""

    def __init__(self, **info: object) -> None:
        self.info = info

    def invalidate_cache(self, _path: str) -> None: ...

    def find(self, *_: str, **__: object) -> dict[str, dict[str, object]]:
        return {f"{Folder.path}/13/a.csv": {"type": "file", "size": 3, **self.info}}

    def _strip_protocol(self, path: str) -> str:
        return path


class Folder:
    path = "bucket/orders/2026-11-20"

    def __init__(self, fs: Store, protocol: str = "sftp") -> None:
        self.fs, self.protocol = fs, protocol


@pytest.mark.parametrize(
    "info",
    [
        {"mtime": READ.timestamp()},
        {"LastModified": READ},
        {"last_modified": READ.astimezone(UTC).replace(tzinfo=None)},
        {"updated": "2026-11-20T14:05:00Z"},
    ],
)
def test_every_stores_time_is_understood(info: dict[str, object]) -> None:
    (found,) = files_below(Folder(Store(**info)), depth=2)  # type: ignore[arg-type]
    assert found.parts == ("13", "a.csv")
    assert found.changed_at == READ


def test_a_file_of_the_second_in_which_its_hour_was_read_is_late() -> None:
    landed = READ.replace(microsecond=700_000)  # the store gives whole seconds
    store = Store(LastModified=landed.replace(microsecond=0))
    (found,) = files_below(Folder(store, "s3"), depth=2)  # type: ignore[arg-type]
    assert found.changed_at
    assert found.changed_at > landed
    exact = Store(LastModified=landed)
    (found,) = files_below(Folder(exact, "s3"), depth=2)  # type: ignore[arg-type]
    assert found.changed_at == landed


@pytest.mark.parametrize("info", [{}, {"mtime": None}, {"updated": "yesterday"}])
def test_a_store_without_times_says_so(info: dict[str, object]) -> None:
    (found,) = files_below(Folder(Store(**info)), depth=2)  # type: ignore[arg-type]
    assert found.changed_at is None
