"""Event names: which custom ones were probably meant to be one of Meta's standard events.

Meta takes any name, and letter case counts: a `purchase` is a custom event of that name, and no
campaign that optimises for Purchase sees it (page "Server event parameters", Pixel reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from capi_assets.meta.limits import STANDARD_EVENTS


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


_STANDARD = {_plain(name): name for name in STANDARD_EVENTS}


def meant_names(names: Iterable[str]) -> dict[str, str]:
    """The custom names that differ from a standard one in case, blanks or signs only, each with
    the standard name."""
    found = {name: _STANDARD.get(_plain(name)) for name in names if name not in STANDARD_EVENTS}
    return {name: standard for name, standard in sorted(found.items()) if standard}
