"""`client_ip_address`: the customer's own public address, never hashed.

Meta: a valid IPv4 or IPv6 address without spaces, IPv6 preferred, that of the customer and not of a
proxy (Customer information parameters). Private and reserved networks are those of IANA's
special-purpose registries; the documentation networks count as public, as in Meta's examples.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

import pyarrow as pa

from capi_assets.meta.columns import as_text, map_distinct
from capi_assets.meta.problems import Problem

_MAX_LENGTH = 1_024

# RFC 6890 and the registries that follow it: this network, private, shared with the carrier,
# loopback, link-local, protocol assignments, benchmarks, multicast, reserved.
_NOT_PUBLIC_4 = tuple(
    (int(network.network_address), int(network.broadcast_address))
    for network in map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_GLOBAL_UNICAST_6 = 0b001  # 2000::/3 holds every public IPv6 address

_PORT_4 = re.compile(r"([0-9.]+):\d{1,5}")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::\d{1,5})?")
_APPENDIX = re.compile(r"(.+)\.(?:[A-Za-z0-9_-]{8}|[A-Z][A-Za-z])")


class CheckedColumn(NamedTuple):
    """Two text columns as long as the input: the values that can be sent, and codes of problems."""

    values: pa.Array
    problems: pa.Array


class _Address(NamedTuple):
    text: str
    version: int
    public: bool


def ip_column(ip: pa.Array | pa.ChunkedArray, *, prefer_ipv6: bool = True) -> CheckedColumn:
    """The customer's address out of each value, which may be a forwarded list, with ports or not.

    The first public IPv6 address of a list, else its first public one; `prefer_ipv6=False` keeps
    to the first public one. Otherwise as it was written: an address is not compressed, and the
    appendix of Meta's param builder stays. IPv4 mapped into IPv6 becomes plain IPv4.
    """
    return CheckedColumn(
        *map_distinct(as_text(ip), lambda text: _checked(customer_address(text, prefer_ipv6)))
    )


def _checked(found: str | Problem | None) -> tuple[str | None, str | None]:
    return (None, found.code) if isinstance(found, Problem) else (found, None)


def customer_address(text: str, prefer_ipv6: bool = True) -> str | Problem | None:
    """The one value behind `ip_column`; None where the text is blank."""
    if len(text) > _MAX_LENGTH:
        return Problem.TOO_LONG
    hops = [hop for hop in map(str.strip, text.split(",")) if hop]
    if not hops:
        return None
    addresses = [address for hop in hops if (address := _address(hop))]
    public = [address for address in addresses if address.public]
    if not public:
        return Problem.PRIVATE_IP if addresses else Problem.NOT_AN_IP
    if prefer_ipv6:
        public.sort(key=lambda address: -address.version)  # stable: the first of each version
    return public[0].text


def _address(hop: str) -> _Address | None:
    written = hop.strip('"')
    bracketed = _BRACKETS.fullmatch(written)
    if bracketed:
        written = bracketed[1]
    elif written.count(":") == 1 and (with_port := _PORT_4.fullmatch(written)):
        written = with_port[1]
    parsed = _parsed(written)
    if parsed:
        return parsed
    appended = _APPENDIX.fullmatch(written)
    parsed = _parsed(appended[1]) if appended else None
    if parsed is None or appended is None:
        return None
    return parsed._replace(text=parsed.text + written[len(appended[1]) :])


def _parsed(written: str) -> _Address | None:
    written = written.partition("%")[0]  # the zone of a link-local address
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return _Address(written, 6, int(address) >> 125 == _GLOBAL_UNICAST_6)
        address, written = mapped, str(mapped)
    number = int(address)
    return _Address(written, 4, not any(low <= number <= high for low, high in _NOT_PUBLIC_4))
