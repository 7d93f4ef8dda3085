"""Checks the pinned versions for known vulnerabilities, at OSV (osv.dev), with pip-audit.

    python -m tools.audit

Exits with 0 if every package of both constraints files was checked and none has a known
vulnerability, 1 if one has or could not be checked, 3 if the database could not be reached: then
nothing was checked, and the text says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
FILES = ("constraints.txt", "constraints-dev.txt")
UNREACHABLE = 3
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_NO_NETWORK = re.compile(r"connect|resolve|timed? ?out|unreachable|proxy", re.IGNORECASE)


class Verdict(NamedTuple):
    """An exit status, and the text for people."""

    status: int
    text: str


def pinned(text: str) -> set[str]:
    """The names of the packages in a constraints file, normalised."""
    return {_normalised(name) for name in _PIN.findall(text)}


def judge(expected: set[str], report: str, errors: str) -> Verdict:
    """What pip-audit's JSON `report` on the packages `expected` means."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip() or "no message").splitlines()[-1]
        status = UNREACHABLE if _NO_NETWORK.search(errors) else 1
        return Verdict(status, f"NOT CHECKED: the vulnerability check could not run ({last})")
    problems = [
        f"{package['name']} was skipped: {package['skip_reason']}"
        for package in packages
        if "skip_reason" in package
    ]
    problems += [
        f"{package['name']} {package['version']} has {found['id']}, fixed in"
        f" {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    missing = expected - {_normalised(package["name"]) for package in packages}
    problems += [f"{name} was not checked" for name in sorted(missing)]
    if problems:
        return Verdict(1, "\n".join(problems))
    return Verdict(0, f"{len(expected)} packages checked, none has a known vulnerability")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    status = 0
    for file in FILES:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv",
             "--requirement", file, "--require-hashes", "--disable-pip", "--format", "json",
             "--progress-spinner", "off", "--timeout", "20"],
            cwd=PROJECT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        names = pinned((PROJECT / file).read_text(encoding="utf-8"))
        verdict = judge(names, done.stdout, done.stderr)
        print(f"{file}: {verdict.text}")
        status = max(status, verdict.status) if 1 not in (status, verdict.status) else 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
