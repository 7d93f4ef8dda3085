"""A `dg` project on disk as a team has one, of which our code knows nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

PYPROJECT = """
[project]
name = "{name}"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{name}"
"""


def write_project(root: Path, name: str, defs: Mapping[str, str]) -> Path:
    """A project in `root` whose folder `defs` has these files, by their path in it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format(name=name))
    for path, text in {"__init__.py": "", **defs}.items():
        file = root / "src" / name / "defs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "src" / name / "__init__.py").touch()
    return root


def load_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """All definitions of the project, as `dg dev` loads them."""
    monkeypatch.syspath_prepend(str(root / "src"))
    monkeypatch.chdir(root)
    before = set(sys.modules)
    try:
        return dg.load_from_defs_folder(path_within_project=root)
    finally:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == next((root / "src").iterdir()).name:
                del sys.modules[name]
