"""The page at `/`: events received, faults that are on, and buttons to switch them.

Rendered from `templates/`, self-contained; a small script reloads the live part every two seconds.
Match keys are shown by name, never by value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from capi_assets.sandbox import reports
from capi_assets.sandbox.faults import ACCESS, CLOSED, COUNTS, ERRORS, KINDS, SLOW
from capi_assets.sandbox.graph import state_of
from capi_assets.sandbox.state import SandboxState

MAX_ROWS = 20
MAX_HOURS = 24

# What a button sends, where the kind's defaults would have no visible effect.
SETTINGS: dict[str, dict[str, Any]] = {
    "throttled": {"retry_after": 30},
    "slow": {"latency_ms": 2000},
}

# What each group of faults means to the sender.
HINTS = {
    ACCESS: "Rejected until a person acts",
    ERRORS: "Errors, or responses not from Meta",
    CLOSED: "The sender cannot know what was accepted",
    SLOW: "Accepted, but slowly",
    COUNTS: "Events are accepted; reads of Meta’s counts are affected",
}


async def show(request: Request) -> HTMLResponse:
    """The whole page, or with `?part=live` only what changes."""
    template = "live.html" if request.query_params.get("part") == "live" else "page.html"
    values = contents(state_of(request), str(request.base_url).rstrip("/"))
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(templates().get_template(template).render(values), headers=headers)


def contents(box: SandboxState, url: str) -> dict[str, Any]:
    now = box.clock.now()
    faults = box.faults.all()
    active = {fault.kind for fault in faults if not fault.used_up}
    return {
        "url": url,
        "now": now,
        "simulated": box.clock.simulated,
        "tokens": box.tokens.all(),
        "faults": faults,
        "kinds": KINDS,
        "active": active,
        "settings": SETTINGS,
        "hints": HINTS,
        "totals": reports.totals(box.inbox),
        "hours": reports.received(box.inbox)[: -MAX_HOURS - 1 : -1],
        "requests": reports.requests(box.inbox, MAX_ROWS),
        "events": reports.events(box.inbox, limit=MAX_ROWS),
    }


@cache
def templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "money": lambda number: f"{number:,.2f}",
        "day_and_time": lambda at: f"{at:%d %b, %H:%M:%S}",
        "unix": lambda seconds: datetime.fromtimestamp(seconds, UTC),
    }
    return environment
