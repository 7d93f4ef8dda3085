"""Where our click ids and addresses differ from Meta's Python param builder on purpose."""

from __future__ import annotations

import ipaddress
import re

from tests.helpers.differences import Difference, contains, lacks, matches
from tests.helpers.metas_libraries import NOW, PLAIN_KEYS

_DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
_LIFETIME = 90 * 86_400


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    written = re.sub(r"^\[(.*)\]:\d+$|^([\d.]+):\d+$", r"\1\2", value.strip())
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None


def _is_private(value: str, country: str | None) -> bool:
    address = _address(value)
    if address is None:
        return False
    if address.version == 6:
        return address not in ipaddress.ip_network("2000::/3")
    if address.is_global:
        return False
    return not any(address in ipaddress.ip_network(network) for network in _DOCUMENTATION)


def _is_outside_90_days(value: str, country: str | None) -> bool:
    made = re.match(r"fb\.\d\.(\d{13})\.", value.strip())
    return made is not None and not NOW - _LIFETIME <= int(made[1]) / 1_000 <= NOW + 300


def _is_discarded(value: str, country: str | None) -> bool:
    """Too few or too many parts for the param builder, or an appendix it does not know."""
    parts = value.split(".")
    appendix_known = len(parts) < 5 or re.fullmatch(r".{8}|A[Qgw]|B[AQg]", parts[4]) is not None
    return len(parts) not in (4, 5) or not appendix_known


DIFFERENCES = (
    Difference(
        "white space around a value",
        PLAIN_KEYS,
        lambda value, country: value != value.strip(),
        "Trimmed.",
        " fb.1.1709136167115.IwAR2F4",
    ),
    Difference(
        "not a cookie of Meta's",
        ("fbc", "fbp"),
        lacks(r"fb\.[0-9]\."),
        "The param builder counts the dots and does not look at the prefix.",
        "GA1.2.1709136167115.456",
    ),
    Difference(
        "time of a cookie",
        ("fbc", "fbp"),
        lacks(r"fb\.\d\.\d{13}\."),
        "Milliseconds have 13 digits. An fbc in seconds is repaired where the row's time allows.",
        "fb.1.1709136167.IwAR2F4",
    ),
    Difference(
        "click outside its 90 days",
        ("fbc",),
        _is_outside_90_days,
        "The param builder does not know the event's time; an older click no longer counts.",
        "fb.1.1554763741205.AbCdEfGhIjKl",
    ),
    Difference(
        "click id that lost its case",
        ("fbc", "fbclid"),
        contains(r"(^|\.)(?!(?-i:IwAR|IwY2|IwZX))(iwar|iwy2|iwzx)"),
        "Click ids are case-sensitive; one that changed on its way matches nobody.",
        "fb.1.1709136167115.iwar2f4",
    ),
    Difference(
        "placeholder, or no click id",
        ("fbclid", "fbc"),
        contains(r"(^|\.)(null|undefined|-)(\.|$)|[^\w.-]|[^\x00-\x7f]|\.$|\.\.|^$"),
        "Click ids have letters, digits, `_` and `-` only, or Meta refuses the whole request"
        " (2804001). The param builder writes anything behind the time.",
        "IwAR0abc%2Fdef",
    ),
    Difference(
        "click id with a dot",
        ("fbclid",),
        contains(r"\."),
        "The parts of an fbc are separated by dots; it could not be read again.",
        "Iw.AR",
    ),
    Difference(
        "appendix of two unknown characters",
        ("fbc", "fbp"),
        matches(r"fb\.\d\.\d{13}\.[^.]+\.(?-i:(?!AQ|Ag|Aw|BA|BQ|Bg))[\w-]{2}"),
        "The param builder knows the six it once wrote; what another one writes shall pass.",
        "fb.1.1709136167115.IwAR2F4.Cg",
    ),
    Difference(
        "fbp whose last part is not a number",
        ("fbp",),
        lacks(r"fb\.\d\.\d{13}\.\d{1,20}(\.|$)"),
        "The Pixel writes digits.",
        "fb.1.1596403881668.11164x6470",
    ),
    Difference(
        "fbp for a browser that has none",
        ("fbp",),
        _is_discarded,
        "The param builder draws one by lot wherever the cookie is missing or broken; we invent"
        " none.",
        "fb.1.1709136167115",
    ),
    Difference(
        "private or reserved address",
        ("client_ip_address",),
        _is_private,
        "Not the customer's. Meta's other param builders drop it too; Python's chooses none.",
        "192.168.1.10",
    ),
    Difference(
        "IPv4 mapped into IPv6",
        ("client_ip_address",),
        contains("::ffff:"),
        "The same address.",
        "::ffff:203.0.113.7",
    ),
    Difference(
        "forwarded list, appendix, or not quite an address",
        ("client_ip_address",),
        lambda value, country: _address(value) is None,
        "The customer's address is taken out of it, if there is one; the param builder's pattern"
        " takes whatever begins like IPv6.",
        "203.0.113.7, 10.0.0.1",
    ),
)
