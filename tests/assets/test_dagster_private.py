"""What this project takes from Dagster's private modules is in one file, which says what to do
when Dagster moves it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from capi_assets.defs import dagster_private

PROJECT = Path(__file__).parents[2]


def test_a_name_that_dagster_has_moved_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = "dagster._core.storage.dagster_run"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, moved, ModuleType(moved))
        with pytest.raises(ImportError) as error:
            importlib.reload(dagster_private)
    importlib.reload(dagster_private)
    for part in ("NOT_FINISHED_STATUSES", "constraints.txt", "dagster_private.py"):
        assert part in str(error.value)


def test_no_other_file_imports_private_names() -> None:
    private = re.compile(r"^\s*(from|import) dagster\._", re.MULTILINE)
    folders = ("capi_assets", "tests", "benchmarks", "tools")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*.py")]
    found = [path for path in files if private.search(path.read_text(encoding="utf-8"))]
    assert found == [Path(dagster_private.__file__)]
