"""What is installed is pinned, hashed, licensed and checked, and nothing claims more than that."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tools.audit import UNREACHABLE, judge, pinned
from tools.licences import EXCEPTIONS, PAGE

PROJECT = Path(__file__).parents[2]
FILES = ("constraints.txt", "constraints-dev.txt")


def pins(file: str) -> dict[str, str]:
    """The requirements of a file with everything that belongs to them, by normalised name."""
    text = (PROJECT / file).read_text(encoding="utf-8")
    return {pinned(entry).pop(): entry for entry in re.split(r"\n(?=\S)", text) if "==" in entry}


@pytest.mark.parametrize("file", FILES)
def test_every_package_has_a_version_and_hashes_and_no_address(file: str) -> None:
    text = (PROJECT / file).read_text(encoding="utf-8")
    assert not re.search(r"://|^-|index-url|find-links", text, re.MULTILINE)
    for name, entry in pins(file).items():
        lines = entry.rstrip().split(" \\\n")
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^ ;]+(?: ; .+)?", lines[0]), name
        assert len(lines) > 1, name
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", line) for line in lines[1:]), name


def test_what_pyproject_asks_for_is_pinned_and_the_same_for_users_and_developers() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    users, developers = pins(FILES[0]), pins(FILES[1])
    extras = project["optional-dependencies"]
    for asked, got in (
        (project["dependencies"] + extras["postgres"], users),
        (extras["dev"] + extras["bench"], developers),
    ):
        names = {re.split(r"[^A-Za-z0-9._-]", text)[0] for text in asked}
        assert pinned("".join(f"{name}==\n" for name in names)) <= set(got)
    assert users.items() <= developers.items()
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & set(users)


def test_the_page_of_licences_lists_what_is_installed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([a-z0-9-]+) \| (.+) \|$", page, re.MULTILINE))
    assert set(listed) - {"package"} == set(pins(FILES[0])), "run `make licences`"
    assert {name for name, licence in listed.items() if "GPL" in licence} == set(EXCEPTIONS)


def report(**packages: dict[str, object]) -> str:
    entries = [
        {"name": name, "version": "1", "vulns": [], **more} for name, more in packages.items()
    ]
    return json.dumps({"dependencies": entries})


def test_only_a_check_of_every_package_is_called_clean() -> None:
    expected = {"a-b", "c"}
    assert judge(expected, report(a_b={}, C={}), "").status == 0
    found = {"id": "CVE-1", "fix_versions": ["2"]}
    for packages, text in (
        ({"a_b": {}}, "c was not checked"),
        ({"a_b": {}, "c": {"skip_reason": "not found"}}, "c was skipped: not found"),
        ({"a_b": {}, "c": {"vulns": [found]}}, "c 1 has CVE-1, fixed in 2"),
    ):
        verdict = judge(expected, report(**packages), "")
        assert (verdict.status, verdict.text) == (1, text)


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ("requests.exceptions.ConnectionError: Failed to resolve host", UNREACHABLE),
        ("Traceback ...\nValueError: no such option", 1),
        ("", 1),
    ],
)
def test_a_check_that_could_not_run_is_never_called_clean(errors: str, status: int) -> None:
    verdict = judge({"a"}, "", errors)
    assert verdict.status == status
    assert verdict.text.startswith("NOT CHECKED")
