"""Rule and name of each match key as text, for `explain`, the report and docs/normalisation.md.

The rules themselves are functions in the other modules of this package.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
RULES: dict[str, str] = _TABLE["rules"]
LABELS: dict[str, str] = _TABLE["labels"]
