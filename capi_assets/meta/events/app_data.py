"""`app_data` of app events: known keys only, flags as 0 or 1, `extinfo` in its 16 positions.

Rules: page "Conversions API for app events". A wrong `extinfo` is refused with 2804043.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from capi_assets.meta.events.json_text import read_distinct
from capi_assets.meta.events.json_values import dump, load
from capi_assets.meta.limits import EXTINFO_LENGTH, EXTINFO_VERSIONS

_FLAGS = (
    "advertiser_tracking_enabled",
    "application_tracking_enabled",
    "consider_views",
    "include_dwell_data",
    "include_video_data",
)
APP_DATA_FIELDS = frozenset(
    {
        *_FLAGS,
        "campaign_ids",
        "extinfo",
        "install_referrer",
        "installer_package",
        "receipt_data",
        "url_schemes",
        "vendor_id",
        "windows_attribution_id",
    }
)
"""Keys taken, from the page and Meta's Python SDK; others are refused (judgement): Meta refuses
keys it does not know at event level, and only of custom_data says that its keys are free."""

_OS_VERSION = 4
_SCHEMA = {
    "app_data": pa.string(),
    "app_data_problem": pa.string(),
    "has_tracking": pa.bool_(),
    "has_extinfo": pa.bool_(),
}


def read_app_data(values: pa.Array) -> dict[str, pa.Array]:
    """`app_data` (compact JSON text), `app_data_problem` (a reason or null), and whether
    `advertiser_tracking_enabled` and `extinfo` are given (`has_tracking`, `has_extinfo`)."""
    return read_distinct(values, _app_data, _SCHEMA)


def _app_data(text: str) -> tuple[str | None, str | None, bool, bool]:
    given = load(text)
    if not isinstance(given, dict):
        return _refused("malformed_app_data")
    if not given.keys() <= APP_DATA_FIELDS:
        return _refused("unknown_app_data_key")
    for name in _FLAGS:
        if name in given:
            if given[name] not in (0, 1, "0", "1"):
                return _refused("malformed_app_data")
            given[name] = int(given[name])
    extinfo = None
    if "extinfo" in given:
        # A null position is an unknown one, so nulls are needed here.
        extinfo = _extinfo(load(text, keep_nulls=True)["extinfo"])
        if extinfo is None:
            return _refused("bad_extinfo")
        given["extinfo"] = extinfo
    written = dump(given)
    if written is None:
        return _refused("malformed_app_data")
    return written, None, _FLAGS[0] in given, extinfo is not None


def _refused(reason: str) -> tuple[None, str, bool, bool]:
    return None, reason, False, False


def _extinfo(positions: Any) -> list[str] | None:
    """All positions as text, unknown ones empty; None if Meta would refuse them."""
    if not isinstance(positions, list) or len(positions) != EXTINFO_LENGTH:
        return None
    if any(isinstance(position, bool | list | dict) for position in positions):
        return None
    texts = ["" if position is None else str(position) for position in positions]
    return texts if texts[0] in EXTINFO_VERSIONS and texts[_OS_VERSION].strip() else None
