"""`em`: an e-mail address, trimmed and in lower case.

Meta names no more than that (Customer information parameters): dots and plus-tags stay, in Gmail
addresses too. What is not one address is refused here, because Meta would only fail to match it.
"""

from __future__ import annotations

import re

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import lower, without_invisible

# Addresses and domains beyond ASCII exist (RFC 6531); two dots in a row before the @ do too, at
# Japanese mobile carriers.
_DOMAIN = r"(?:[a-z0-9-]|[^\x00-\x7f\s])+"
_ADDRESS = re.compile(rf"[^\s\x00-\x1f\x7f@,;:<>()\[\]\\\"]+@{_DOMAIN}(?:\.{_DOMAIN})+")
_LONGEST = 320


def email(text: str) -> str | Problem:
    """The address in lower case."""
    if len(text) > _LONGEST:
        return Problem.TOO_LONG
    address = lower(without_invisible(text))
    if not _ADDRESS.fullmatch(address):
        return Problem.NOT_AN_ADDRESS
    if address.rpartition(".")[2].isdigit():  # an IP address, or a version number
        return Problem.NOT_AN_ADDRESS
    return address
