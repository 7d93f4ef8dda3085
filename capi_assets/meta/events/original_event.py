"""`original_event_data`: the link from a refund or change of value to the event it corrects.

Page "Original event data parameters": four fields, all optional. It sits at event level, where
Meta refuses unknown keys, so anything else in it is refused here.
"""

from __future__ import annotations

from typing import Any

from capi_assets.meta.events.json_values import dump, identifier, number
from capi_assets.meta.limits import EARLIEST_EVENT_TIME, LATEST_EVENT_TIME

_TEXTS = ("event_name", "event_id", "order_id")
_BAD = "bad_original_event_data"


def original_event(given: Any) -> tuple[str | None, str | None]:
    """JSON text and null, or null and the reason it is refused; null or `{}` is none."""
    if given is None or given == {}:
        return None, None
    if not isinstance(given, dict) or set(given) - {*_TEXTS, "event_time"}:
        return None, _BAD
    event: dict[str, str | int] = {}
    for name in _TEXTS:
        if name in given:
            text = identifier(given[name])
            if text is None:
                return None, _BAD
            event[name] = text
    if "event_time" in given:
        when = number(given["event_time"])
        if when is None or not EARLIEST_EVENT_TIME <= when <= LATEST_EVENT_TIME:
            return None, _BAD
        event["event_time"] = int(when)
    return dump(event), None
