"""The Graph API's `fields` syntax: `web{event_name,event_match_quality{composite_score}}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from capi_assets.sandbox.responses import GraphError

Selection = dict[str, "Selection"]

token = re.compile(r"\s*([A-Za-z0-9_.]+|[{},])").match


def read_fields(text: str) -> Selection:
    """The selection as nested names.

    Raises:
        GraphError: 2500 for a syntax error.
    """
    return _names(_tokens(text), closing=None)


def select(value: Any, selection: Selection) -> Any:
    """Only the named fields of an object, or of each object in a list; no names means all."""
    if not selection:
        return value
    if isinstance(value, list):
        return [select(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: select(value[name], inner) for name, inner in selection.items() if name in value}


def _names(tokens: Iterator[str], closing: str | None) -> Selection:
    names: Selection = {}
    last: str | None = None
    for one in tokens:
        if one == closing:
            return names
        if one == ",":
            last = None
        elif one == "{":
            if last is None:
                raise _broken(one)
            names[last] = _names(tokens, closing="}")
        elif one == "}" or last is not None:
            raise _broken(one)
        else:
            names[one] = {}
            last = one
    if closing is not None:
        raise _broken("end of string")
    return names


def _tokens(text: str) -> Iterator[str]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = token(text, position)
        if found is None:
            raise _broken(text[position])
        yield found[1]
        position = found.end()


def _broken(at: str) -> GraphError:
    return GraphError(f"Syntax error at {at} in the fields parameter", 2500)
