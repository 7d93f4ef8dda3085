"""The package as it is installed: from its wheel, in an environment and a folder of its own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path

import pytest
import requests
from packaging.requirements import Requirement

from tests.helpers.open_ui import UI_READY
from tests.helpers.processes import running

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
# What the extras `postgres` and `celery` install.
_OPTIONAL = {"dagster_celery", "dagster_postgres", "psycopg2", "pyspark"}
_OF_PYDANTIC = {"pydantic_core"}  # pydantic requires exactly the version that fits it


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel, and this one's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside its source, and reads old ones
    shutil.copytree(
        PROJECT / "capi_assets",
        source / "capi_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    _run([*pip, *build, str(source)], folder)
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(source)
    environment = folder / "environment"
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
    python = str(environment / "bin" / "python")
    _run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], folder)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path in a .pth file is searched, but its own .pth files, such as that of the clone's
    # editable installation, are not read.
    dependencies = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return environment / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory outside the clone."""
    return tmp_path


def _environment() -> dict[str, str]:
    hidden = ("CAPI_", "DAGSTER_", "PYTHON", "VIRTUAL_ENV")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**clean, "COLUMNS": "160", "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_package_comes_from_the_wheel(installed: Path, folder: Path) -> None:
    script = "import capi_assets; print(capi_assets.__file__)"
    package = Path(_run([str(installed / "python"), "-c", script], folder).strip())
    assert package.is_relative_to(installed.parent)
    version = _run([str(installed / "capi-assets"), "--version"], folder)
    assert re.search(r"\d+\.\d+", version)


def test_the_wheel_has_every_file_of_the_package(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/capi_assets")
    tracked = {
        path.relative_to(PROJECT / "capi_assets")
        for path in (PROJECT / "capi_assets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    # The template of new migrations, which are written in the clone.
    missing = {path for path in tracked if not (package / path).exists()}
    assert {path.name for path in missing} <= {"script.py.mako"}


def test_the_wheel_requires_all_that_it_imports(installed: Path) -> None:
    (metadata,) = installed.parent.glob("lib/python*/site-packages/capi_assets-*.dist-info")
    required = {
        _normal(requirement.name)
        for text in Distribution.at(metadata).requires or []
        if not (requirement := Requirement(text)).marker
    }
    (package,) = installed.parent.glob("lib/python*/site-packages/capi_assets")
    imported = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    foreign = imported - sys.stdlib_module_names - _OPTIONAL - _OF_PYDANTIC - {"capi_assets"}
    distributions = packages_distributions()
    assert {"dagster", "duckdb", "yaml"} <= foreign
    for name in sorted(foreign):
        assert required & {_normal(each) for each in distributions[name]}, name


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_definitions_load_in_an_empty_folder(installed: Path, folder: Path) -> None:
    validate = ["-m", "dagster", "definitions", "validate", "-m", "capi_assets.definitions"]
    assert "passed validation" in _run([str(installed / "python"), *validate], folder)


def test_the_doctor_examines_an_empty_folder(installed: Path, folder: Path) -> None:
    done = subprocess.run(
        [installed / "capi-assets", "doctor"], cwd=folder, capture_output=True, text=True,
        env={**_environment(), "CAPI_GRAPH_URL": "http://127.0.0.1:9"}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "CAPI_DATASET_ID" in done.stdout
    assert "Traceback" not in done.stderr


def test_demo_and_ui_run_in_an_empty_folder(installed: Path, folder: Path) -> None:
    capi = str(installed / "capi-assets")
    printed = _run([capi, "demo", "--hours", "4", "--visits-per-day", "20000"], folder)
    assert "they agree" in " ".join(printed.split())
    # As in the clone: more than four runs at once would make a laptop unusable.
    instance = (folder / "data" / "demo" / "dagster" / "dagster.yaml").read_text()
    assert "max_concurrent_runs: 4" in instance
    report = ["report", _hour_of(folder), "--out", "report.html"]
    _run([capi, "--stage", "data/demo", *report], folder)
    assert "</html>" in (folder / "report.html").read_text()
    _ui_starts_and_stops(capi, folder)


def _hour_of(folder: Path) -> str:
    path = min((folder / "data" / "demo" / "lake" / "attribution_health").glob("date=*/hour=*"))
    date, hour = path.parts[-2:]
    return f"{date.removeprefix('date=')}-{hour.removeprefix('hour=')}:00"


def _ui_starts_and_stops(capi: str, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "ui.log"
    with running(
        [capi, "ui", "--port", str(port)], lambda: UI_READY in log.read_text(),
        stop=signal.SIGINT, patience=60, log=log, cwd=folder, env=_environment(),
    ) as process:  # fmt: skip
        query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
        answer = requests.post(
            f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=30
        )
        nodes = answer.json()["data"]["repositoriesOrError"]["nodes"]
        assert [node["name"] for node in nodes] == ["__repository__"]
    assert process.returncode == 0


def test_the_clone_has_the_files_that_init_writes() -> None:
    files = PROJECT / "capi_assets" / "commands" / "init" / "files"
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (PROJECT / name).read_bytes() == (files / name).read_bytes(), name
