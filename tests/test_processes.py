"""Files are private, nothing is left behind: permissions, core dumps, what DuckDB spills."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from capi_assets.commands.doctor import examine_here
from capi_assets.settings import SettingsError, read_settings

OPEN = """
import sys, time
from capi_assets.engine import open_duckdb
connection = open_duckdb()
connection.execute("SET memory_limit = '60MB'")
connection.execute("SET threads = 1")
connection.execute("CREATE TABLE t AS SELECT range AS n, repeat('x', 500) AS t FROM range(400000)")
print(connection.sql("SELECT current_setting('temp_directory')").fetchall()[0][0], flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""


def run_in(folder: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_what_duckdb_spills_is_private_and_gone_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with run_in(tmp_path, OPEN, "wait") as waiting:
        assert waiting.stdout is not None
        spilled = Path(waiting.stdout.readline().strip())
        assert spilled.parent == tmp_path / "tmp"
        assert stat.S_IMODE(spilled.stat().st_mode) == 0o700
        assert any(file.stat().st_size for file in spilled.rglob("*"))
        sweep = "from capi_assets.processes import remove_abandoned; remove_abandoned()"
        assert run_in(tmp_path, sweep).wait(60) == 0
        assert spilled.exists()  # of a process that lives
        waiting.kill()
    assert spilled.exists()
    assert run_in(tmp_path, sweep).wait(60) == 0
    assert not spilled.exists()
    with run_in(tmp_path, OPEN, "end") as ending:
        assert ending.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


CREATE = """
import os, pathlib, subprocess, resource
from capi_assets.definitions import defs
from capi_assets.policies import open_ledger
from capi_assets.settings import read_settings
defs()
open_ledger(read_settings()).close()
subprocess.run(["sh", "-c", "mkdir sub; echo x > sub/file"], check=True)
print(resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@pytest.mark.parametrize(("umask", "file", "folder"), [("", 0o600, 0o700), ("027", 0o640, 0o750)])
def test_files_and_folders_are_private_unless_opened(
    tmp_path: Path, umask: str, file: int, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPI_UMASK", umask)
    (tmp_path / "tmp").mkdir(mode=folder)
    with run_in(tmp_path, CREATE) as made:
        assert made.stdout is not None
        assert made.stdout.read().strip() == "0"
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.name != "tmp"
    }
    assert {"data", "data/ledger.db", "sub", "sub/file"} <= set(modes)
    assert set(modes.values()) == {file, folder}


def test_a_umask_is_octal() -> None:
    assert read_settings({"CAPI_UMASK": "0007"}).umask == "0007"
    for wrong in ("rwx", "99", "-1", "0o77"):
        with pytest.raises(SettingsError, match="CAPI_UMASK"):
            read_settings({"CAPI_UMASK": wrong})


def test_doctor_names_files_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dotenv = tmp_path / ".env"
    dotenv.write_text("CAPI_LAKE=lake\n")
    dotenv.chmod(0o640)
    (tmp_path / "lake").mkdir(mode=0o755)
    (tmp_path / "lake").chmod(0o755)
    shown = {finding.name: finding for finding in examine_here()}
    assert (shown[".env"].verdict, "chmod 600" in shown[".env"].text) == ("warning", True)
    assert shown["CAPI_UMASK"].text.endswith("chmod -R go= lake")
    dotenv.chmod(0o600)
    (tmp_path / "lake").chmod(0o700)
    shown = {finding.name: finding for finding in examine_here()}
    assert ".env" not in shown
    assert shown["CAPI_UMASK"].verdict == "ok"
