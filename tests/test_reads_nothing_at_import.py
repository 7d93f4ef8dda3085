"""Importing the package reads no setting: neither the environment nor a file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "capi_assets"
READERS = {"read_settings", "environment", "sql_parameters", "dotenv_values", "environ", "getenv"}
"""Names that a module may use in a function, never while it is imported."""

IMPORT_ALL = """
import builtins, importlib, pkgutil, sys
import capi_assets, capi_assets.settings as settings

def fail(*_, **__):
    raise AssertionError("a setting was read at import")

for name in ("environment", "read_settings", "sql_parameters", "dotenv_values"):
    setattr(settings, name, fail)

def audit(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".env", ".yaml", ".sql", ".html", ".css")):
        if "site-packages" not in str(arguments[0]):
            raise AssertionError(f"{arguments[0]} was read at import")

sys.addaudithook(audit)
for module in pkgutil.walk_packages(capi_assets.__path__, "capi_assets."):
    if ".migrations." not in module.name:  # Alembic runs these
        importlib.import_module(module.name)
assert "capi_assets.definitions" in sys.modules
"""


def test_every_module_can_be_imported_where_no_setting_can_be_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CAPI_SETTLE_MINUTES=soon\n")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PACKAGE.parent), "CAPI_START_DATE": "never"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_no_module_reads_settings_outside_of_a_function(path: Path) -> None:
    read = set(_names_at_import(ast.parse(path.read_text(encoding="utf-8"))))
    assert not read & READERS, f"{path.name}: pass settings as an argument instead"


def _names_at_import(node: ast.AST) -> Iterator[str]:
    """Names that are used while a module is imported; decorators and defaults are, bodies not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for used in (*getattr(child, "decorator_list", ()), child.args):
                yield from _names_at_import(used)
            continue
        if isinstance(child, ast.Name):
            yield child.id
        if isinstance(child, ast.Attribute):
            yield child.attr
        yield from _names_at_import(child)
