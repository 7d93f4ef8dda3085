"""The Graph API's `fields` syntax: `web{event_name,event_match_quality{composite_score}}`."""

from __future__ import annotations

import re
from typing import Any

from capi_assets.sandbox.responses import GraphError

Selection = dict[str, "Selection"]

is_name = re.compile(r"[A-Za-z0-9_.]+").fullmatch
tokens = re.compile(r"[A-Za-z0-9_.]+|\S").findall


def read_fields(text: str) -> Selection:
    """The selection as nested names.

    Raises:
        GraphError: 2500 for a syntax error.
    """
    open_braces: list[Selection] = [{}]
    last: Selection | None = None  # what a brace now would open
    for token in tokens(text):
        if token == ",":
            last = None
        elif token == "{" and last is not None:
            open_braces.append(last)
            last = None
        elif token == "}" and len(open_braces) > 1:
            last = open_braces.pop()
        elif is_name(token) and last is None:
            last = open_braces[-1][token] = {}
        else:
            raise GraphError(f"Syntax error at {token} in the fields parameter", 2500)
    if len(open_braces) > 1:
        raise GraphError("Syntax error at end of string in the fields parameter", 2500)
    return open_braces[0]


def select(value: Any, selection: Selection) -> Any:
    """Only the named fields of an object, or of each object in a list; no names means all."""
    if not selection:
        return value
    if isinstance(value, list):
        return [select(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: select(value[name], inner) for name, inner in selection.items() if name in value}
