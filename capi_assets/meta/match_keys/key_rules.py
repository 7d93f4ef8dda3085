"""Rule and name of each match key as text, for `explain`, the report and docs/normalisation.md.

The rules themselves are functions in the other modules of this package.
"""

from __future__ import annotations

from capi_assets.table_files import table_beside

_TABLE = table_beside(__file__)
RULES: dict[str, str] = _TABLE["rules"]
LABELS: dict[str, str] = _TABLE["labels"]
