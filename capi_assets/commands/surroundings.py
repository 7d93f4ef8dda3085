"""What `capi-assets doctor` examines besides the settings: names that are no setting, the clock,
and the port of Dagster's UI.
"""

from __future__ import annotations

import difflib
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests

from capi_assets.coverage.formatting import format_duration
from capi_assets.settings import PREFIX, SQL_PARAMETER_PREFIX, Settings, variable
from capi_assets.web_addresses import is_loopback, open_session

Verdict = tuple[str, str]
"""`ok`, `warning` or `error`, and what there is to say."""

MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""The header has whole seconds and travels for a moment; a clock set by NTP is within one."""

_UI_PORT = 3000  # of `dagster dev`


def unknown_names(env: Iterable[str], settings: Settings) -> dict[str, str]:
    """Text for each variable `CAPI_*` that is no setting, with the most similar one.

    Variables that the file of datasets names are known.
    """
    known = {variable(name) for name in Settings.model_fields}
    named = Path(settings.datasets) if settings.datasets else None
    listed = named.read_text(encoding="utf-8") if named and named.is_file() else ""
    texts = {}
    for name in sorted(env):
        is_ours = name.startswith(PREFIX) and not name.startswith(SQL_PARAMETER_PREFIX)
        if is_ours and name not in known and name not in listed:
            similar = difflib.get_close_matches(name, known, n=1)
            hint = f"; do you mean {similar[0]}?" if similar else ""
            texts[name] = f"is no setting{hint}"
    return texts


def clock(settings: Settings) -> Verdict | None:
    """This machine's clock beside the Graph API's; None if that does not respond."""
    try:
        with open_session(settings.graph_url) as session:
            response = session.head(settings.graph_url, timeout=3, allow_redirects=False)
    except requests.RequestException:
        return None
    return clock_verdict(response.headers, datetime.now(UTC))


def clock_verdict(headers: Mapping[str, str], now: datetime) -> Verdict | None:
    """What the header `Date` says of our `now`; None without a usable one."""
    try:
        theirs = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        return None
    difference = now - theirs
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        return "ok", "agrees with the Graph API's"
    direction = "ahead of" if difference > timedelta(0) else "behind"
    return "warning", (
        f"{format_duration(abs(difference))} {direction} the Graph API's: hours end at the wrong"
        " time, and Meta may refuse events as future; set it by NTP"
    )


def ui_port(settings: Settings) -> tuple[str, Verdict]:
    """The port of Dagster's UI on this machine, and whether it is free or Dagster's."""
    port = _UI_PORT
    with suppress(ValueError):  # an address that is not valid has a finding of its own
        if settings.ui_url and is_loopback(settings.ui_url):
            port = urlsplit(settings.ui_url).port or _UI_PORT
    with socket.socket() as probe:
        probe.settimeout(2)
        is_free = probe.connect_ex(("127.0.0.1", port)) != 0
    if is_free:
        return str(port), ("ok", "free")
    address = f"http://127.0.0.1:{port}"
    try:
        with open_session(address) as session:
            found = session.get(f"{address}/server_info", timeout=3).json()
        is_dagster = "dagster_version" in found
    except (requests.RequestException, ValueError):
        is_dagster = False
    if is_dagster:
        return str(port), ("ok", "a Dagster UI runs there")
    text = f"in use by another program: start the UI with `dagster dev --port {port + 1}`"
    return str(port), ("warning", text)
