"""The table of refusals in docs/events.md: from the rules, and what Meta is known to do itself.

`python -m tools.events_page` writes it between its two marks; test_events_page.py fails if it
is not up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from capi_assets.meta.events.refusals import REFUSALS, Refusal
from tests.helpers.sandbox_differences import DIFFERENCES, always

PAGE = Path(__file__).parents[1] / "docs" / "events.md"

_SECTION = re.compile(r"(<!-- refusals: [^\n]*-->\n).*(<!-- end of refusals -->)", re.DOTALL)


def written(page: str) -> str:
    """The page with the table as the rules have it now."""
    rows = [f"| `{refusal.reason}` | {refusal.text} | {_meta(refusal)} |" for refusal in REFUSALS]
    table = ["", "| reason | what is wrong and what to do | Meta |", "|---|---|---|", *rows, "", ""]
    return _SECTION.sub(lambda found: found[1] + "\n".join(table) + found[2], page)


def _meta(refusal: Refusal) -> str:
    enforced = str(refusal.subcode) if refusal.subcode else "required"
    for difference in DIFFERENCES:
        if difference.reason == refusal.reason:
            why = f"*{difference.whose}:* {difference.why}"
            return why if difference.applies is always else f"{enforced}; {why}"
    return enforced


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
