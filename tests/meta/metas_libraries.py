"""Meta's own libraries and ours, asked for the same thing: the normal form of one value."""

from __future__ import annotations

from unittest import mock

import pyarrow as pa
from capi_param_builder import ParamBuilder
from facebook_business.adobjects.serverside.normalize import Normalize

from capi_assets.meta.click_ids import fbc_column, fbp_column, ip_column
from capi_assets.meta.match_keys import HASHED_KEYS, normalise

PLAIN_KEYS = ("fbc", "fbp", "fbclid", "client_ip_address")
COMPARED_KEYS = (*HASHED_KEYS, *PLAIN_KEYS)

NOW = 1_709_136_167  # 2024-02-28 16:02:47 UTC: the row's time, and the param builder's clock
_ROW_TIME = pa.array([NOW * 1_000], pa.timestamp("ms", tz="UTC"))


def sdk(key: str, value: str) -> str | None:
    """What facebook-business makes of a value before hashing; None where it refuses."""
    if key == "external_id":
        return value or None  # it only removes duplicates
    try:
        return Normalize.normalize_field_skip_hashing(key, value)
    except (TypeError, ValueError):
        return None


def param_builder(key: str, value: str) -> str | None:
    """What Meta's param builder makes of a value, without the appendix it adds to everything.

    An address is only recognised by it, not chosen: its text comes back if it is one.
    """
    builder = ParamBuilder(["shop.example"])
    if key == "client_ip_address":
        host = builder._extract_host_from_http_host(value)
        return host if builder._is_ip_address(host) else None
    cookies = {f"_{key}": value} if key in ("fbc", "fbp") else {}
    queries = {"fbclid": [value]} if key == "fbclid" else {}
    with mock.patch("capi_param_builder.param_builder.time.time", return_value=1_709_136_167.0):
        builder.process_request("shop.example", queries, cookies)
    found = builder.get_fbp() if key == "fbp" else builder.get_fbc()
    for appendix in (builder.appendix_no_change, builder.appendix_net_new):
        if found and found != value:
            found = found.removesuffix(f".{appendix}")
    return found


def theirs(key: str, value: str) -> str | None:
    return param_builder(key, value) if key in PLAIN_KEYS else sdk(key, value)


def ours(key: str, value: str, country: str | None = None) -> tuple[str, ...]:
    """Our normal forms of a value; empty where it is dropped."""
    if key not in PLAIN_KEYS:
        return normalise(key, value, country).forms
    column, none, hour = pa.array([value]), pa.array([None], pa.string()), pa.array([HOUR])
    if key == "fbc":
        found = fbc_column(column, none, pa.nulls(1), row_time=hour).fbc
    elif key == "fbclid":
        found = fbc_column(none, column, hour).fbc
    elif key == "fbp":
        found = fbp_column(column).values
    else:
        found = ip_column(column).values
    return tuple(form for form in found.to_pylist() if form is not None)


