"""Meta's own libraries and ours, asked for the same thing: the normal form of one value."""

from __future__ import annotations

from unittest import mock

import pyarrow as pa
from capi_param_builder import ParamBuilder
from facebook_business.adobjects.serverside.normalize import Normalize

from capi_assets.meta.match_keys.click_ids import fbc_column, fbp_column, ip_column
from capi_assets.meta.match_keys.hashed_keys import normalise

PLAIN_KEYS = ("fbc", "fbp", "fbclid", "client_ip_address")

NOW = 1_709_136_167  # 2024-02-28 16:02:47 UTC: the rows' own time, and the param builder's clock
MINTED = "a random one"


def theirs(key: str, value: str) -> str | None:
    """The normal form of facebook-business, or of the param builder where it has the key."""
    return param_builder(key, value) if key in PLAIN_KEYS else sdk(key, value)


def sdk(key: str, value: str) -> str | None:
    """What facebook-business makes of a value before hashing; None where it refuses."""
    if key == "external_id":
        return value  # it removes duplicates, nothing else
    try:
        form: str | None = Normalize.normalize_field_skip_hashing(key, value)
    except (TypeError, ValueError):
        return None
    return form


def param_builder(key: str, value: str) -> str | None:
    """What Meta's param builder makes of a value, without the appendix it adds to everything.

    It finds an address within a host and port, but chooses none from a list.
    """
    builder = ParamBuilder(["shop.example"])
    if key == "client_ip_address":
        with_port = value.startswith("[") or value.count(":") < 2
        host: str = builder._extract_host_from_http_host(value) if with_port else value
        return host if builder._is_ip_address(host) else None
    cookies = {f"_{key}": value} if key in ("fbc", "fbp") else {}
    queries = {"fbclid": [value]} if key == "fbclid" else {}
    with mock.patch("capi_param_builder.param_builder.time.time", return_value=float(NOW)):
        builder.process_request("shop.example", queries, cookies)
    found: str | None = builder.get_fbp() if key == "fbp" else builder.get_fbc()
    if found is None or found == value:
        return found
    if key == "fbp" and not (value and found.startswith(value)):
        return MINTED
    appendix = builder.appendix_net_new if key == "fbclid" else builder.appendix_no_change
    return found.removesuffix(f".{appendix}")


def ours(key: str, value: str, country: str | None = None) -> tuple[str, ...]:
    """Our normal forms of a value; none where it is dropped."""
    if key not in PLAIN_KEYS:
        return normalise(key, value, country).forms
    return tuple(form for form in our_column(key, [value]) if form is not None)


def our_column(key: str, values: list[str]) -> list[str | None]:
    """What we keep of a column of click ids, cookies or addresses, in rows of the time `NOW`."""
    column = pa.array(values, pa.string())
    absent = pa.nulls(len(values), pa.string())
    now = pa.array([NOW * 1_000] * len(values), pa.timestamp("ms", tz="UTC"))
    if key == "fbc":
        kept = fbc_column(column, absent, pa.nulls(len(values)), row_time=now).fbc
    elif key == "fbclid":
        kept = fbc_column(absent, column, now).fbc
    elif key == "fbp":
        kept = fbp_column(column).values
    else:
        kept = ip_column(column).values
    values_kept: list[str | None] = kept.to_pylist()
    return values_kept
