"""`client_ip_address`: the customer's own public address, never hashed.

Meta: a valid IPv4 or IPv6 address without spaces, IPv6 preferred, that of the customer and not of a
proxy (Customer information parameters). Private and reserved networks are those of IANA's
special-purpose registries; the documentation networks count as public, as in Meta's examples.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from bisect import bisect_right
from typing import NamedTuple

import pyarrow as pa

from capi_assets.meta.match_keys.columns import as_text, map_distinct
from capi_assets.meta.match_keys.key_problems import Problem

_MAX_LENGTH = 1_024  # some 20 hops of IPv6; no forwarded list of a real request is longer

# RFC 6890 and the registries that follow it: this network, private, shared with the carrier,
# loopback, link-local, protocol assignments, benchmarks, multicast, reserved.
_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("224.0.0.0/4", "240.0.0.0/4"),
    )
]
_FIRST = [int(network.network_address) for network in _NOT_PUBLIC_4]
_LAST = [int(network.broadcast_address) for network in _NOT_PUBLIC_4]
_GLOBAL_UNICAST_6 = 0b001  # 2000::/3 holds every public IPv6 address
_MAPPED_4 = bytes(10) + b"\xff\xff"

_PORT_4 = re.compile(r"([0-9.]+):\d{1,5}")
_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::\d{1,5})?")
_APPENDIX = re.compile(r"(.+)\.(?:[A-Za-z0-9_-]{8}|[A-Z][A-Za-z])")


class CheckedColumn(NamedTuple):
    """Two text columns as long as the input: the values that can be sent, and codes of problems."""

    values: pa.Array
    problems: pa.Array


class _Address(NamedTuple):
    text: str
    public: bool


def ip_column(ip: pa.Array | pa.ChunkedArray) -> CheckedColumn:
    """The customer's address in each value, which may be a forwarded list, with ports or not.

    The first public address of a list: proxies append theirs, so a later one is not the
    customer's. It stays as it was written (not compressed, with the appendix of Meta's param
    builder); only IPv4 mapped into IPv6 becomes plain IPv4.
    """
    return CheckedColumn(*map_distinct(as_text(ip), lambda text: _checked(_customer_address(text))))


def _checked(found: str | Problem | None) -> tuple[str | None, str | None]:
    return (None, found.code) if isinstance(found, Problem) else (found, None)


def _customer_address(text: str) -> str | Problem | None:
    """The public address in one value; None where the text is blank."""
    if len(text) > _MAX_LENGTH:
        return Problem.TOO_LONG
    if "," not in text:
        only = _address(text.strip())
        if only is not None and only.public:
            return only.text
    hops = [hop for hop in map(str.strip, text.split(",")) if hop]
    if not hops:
        return None
    addresses = [address for hop in hops if (address := _address(hop))]
    public = [address for address in addresses if address.public]
    if not public:
        return Problem.PRIVATE_IP if addresses else Problem.NOT_AN_IP
    return public[0].text


def _address(hop: str) -> _Address | None:
    plain = _parsed(hop)
    if plain:
        return plain
    written = hop.strip('"')
    bracketed = _BRACKETS.fullmatch(written) or _PORT_4.fullmatch(written)
    if bracketed:
        return _parsed(bracketed[1])
    appended = _APPENDIX.fullmatch(written)
    parsed = _parsed(appended[1] if appended else written)
    if parsed is None or appended is None:
        return parsed
    return parsed._replace(text=parsed.text + written[len(appended[1]) :])


def _parsed(written: str) -> _Address | None:
    """The address that this text is, without ports and the like."""
    try:
        if ":" not in written:
            four = socket.inet_pton(socket.AF_INET, written)
            return _Address(written, _is_public_4(four))
        written = written.partition("%")[0]  # the zone of a link-local address
        six = socket.inet_pton(socket.AF_INET6, written)
    except (OSError, ValueError):
        return None
    if six.startswith(_MAPPED_4):
        return _Address(socket.inet_ntop(socket.AF_INET, six[12:]), _is_public_4(six[12:]))
    return _Address(written, six[0] >> 5 == _GLOBAL_UNICAST_6)


def _is_public_4(address: bytes) -> bool:
    number = int.from_bytes(address, "big")
    place = bisect_right(_FIRST, number) - 1
    return place < 0 or number > _LAST[place]
