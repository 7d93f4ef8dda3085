"""Writes docs/licences.md: the licence of every package that `make install` installs.

    python -m tools.licences

Exits with 1 if a package's licence is neither permissive nor one of `EXCEPTIONS`.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

from tools.audit import pinned

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "licences.md"
EXCEPTIONS = {
    "psycopg2-binary": (
        "LGPL-3.0 with exceptions. The driver of PostgreSQL, used unmodified and only if a URL asks"
        " for it; installed from its own distribution."
    ),
    "pycountry": (
        "LGPL-2.1. Used unmodified and installed from its own distribution, which its licence"
        " permits to programs of any licence. It has the regions of ISO 3166-2, which Babel has"
        " not; and other names of countries would change hashes that Meta already has."
    ),
}
_PERMISSIVE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|Python-2\.0|MPL|Mozilla|Unlicense|"
    r"HPND|CNRI-Python|Zlib|CC0|Historical Permission)\b",
    re.IGNORECASE,
)
_HEAD = """# Licences

capi_assets is Apache-2.0. These are the packages that `make install` installs, with the licences
that their own metadata name. None is part of this repository. Two are under the LGPL:

{exceptions}

| package | licence |
|---|---|
"""


def licence_of(package: PackageMetadata) -> str:
    """The licence as the package's metadata name it: expression, classifiers or free text."""
    expression = package.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in package.get_all("Classifier") or ()
        if text.startswith("License :: ") and text != "License :: OSI Approved"
    ]
    free = str(package.get("License") or "").strip().splitlines()
    return "; ".join(classifiers) or (free[0][:60] if free else "not named")


def main() -> int:
    names = sorted(pinned((PROJECT / "constraints.txt").read_text(encoding="utf-8")))
    rows, unknown = [], []
    for name in names:
        try:
            licence = licence_of(metadata(name))
        except PackageNotFoundError:
            unknown.append(f"{name} is not installed: run `make install`")
            continue
        rows.append(f"| {name} | {licence} |")
        if name not in EXCEPTIONS and not _PERMISSIVE.search(licence):
            unknown.append(f"{name} has the licence {licence}")
    if unknown:
        print("\n".join(unknown))
        return 1
    exceptions = "\n".join(f"- **{name}**: {why}" for name, why in EXCEPTIONS.items())
    PAGE.write_text(_HEAD.format(exceptions=exceptions) + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
