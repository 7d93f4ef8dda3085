"""The page at `/`: what the sandbox received and which faults are on, with buttons to switch them.

Server-rendered from `templates/`, self-contained; a small script asks for the live part again
every two seconds. Key names are shown, never their values.
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
from capi_assets.sandbox.chart import hourly_chart
from capi_assets.sandbox.faults import KINDS
from capi_assets.sandbox.graph import state_of
from capi_assets.sandbox.state import SandboxState

NEWEST = 20

# What a button switches on, where the kind's defaults would show nothing.
SETTINGS: dict[str, dict[str, Any]] = {
    "throttled": {"retry_after": 30},
    "slow": {"latency_ms": 2000},
}

GROUPS = (
    (
        "Access",
        "Refused until someone acts",
        ("expired_token", "invalid_token", "permission_lost", "unknown_dataset"),
    ),
    (
        "Meta is unwell",
        "Refused, or answered with something else",
        ("throttled", "server_error", "html", "unavailable_text", "redirect"),
    ),
    (
        "Line is cut",
        "The sender cannot know what was accepted",
        (
            "hang_up_before_reading",
            "hang_up_after_accepting",
            "cut_off_answer",
            "truncated_json",
            "too_few_received",
            "read_timeout",
        ),
    ),
    ("Slow", "Accepted, but it takes a while", ("slow", "slow_drip")),
    ("Counts", "Events go through", ("insights_refused", "insights_throttled")),
)


async def show(request: Request) -> HTMLResponse:
    """The whole page, or with `?part=live` only what changes."""
    template = "live.html" if request.query_params.get("part") == "live" else "page.html"
    told = contents(state_of(request), str(request.base_url).rstrip("/"))
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(templates().get_template(template).render(told), headers=headers)


def contents(box: SandboxState, url: str) -> dict[str, Any]:
    """Everything the templates name."""
    now = box.clock.now()
    faults = box.faults.all()
    lit = {fault.kind for fault in faults if not fault.used_up}
    return {
        "url": url,
        "now": now,
        "simulated": box.clock.simulated,
        "tokens": box.tokens.all(),
        "faults": faults,
        "kinds": KINDS,
        "groups": [
            (title, hint, [(kind, kind in lit, SETTINGS.get(kind, {})) for kind in kinds])
            for title, hint, kinds in GROUPS
        ],
        "totals": reports.totals(box.inbox),
        "chart": hourly_chart(reports.received(box.inbox), now),
        "requests": reports.requests(box.inbox, NEWEST),
        "events": reports.events(box.inbox, limit=NEWEST),
    }


@cache
def templates() -> Environment:
    """The templates, with the few filters they use."""
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
        "iso": lambda at: at.isoformat(),
    }
    return environment
