"""`event_source_url`: the address of the page, as far as it names a host."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.ip_addresses import CheckedColumn
from capi_assets.meta.match_keys.key_problems import Problem

_WITH_SCHEME = r"(?i)^[a-z][a-z0-9+.-]*://[^\s/?#]"
_HOST = r"(?i)^[\pL\pN_-]+(?:\.[\pL\pN_-]+)*\.\pL{2,}(?::[0-9]+)?(?:[/?#]|$)"
_TEXT = pa.string()


def page_column(urls: pa.Array) -> CheckedColumn:
    """Addresses with a host; `not_a_page` where there is none, such as `/checkout/thank-you`.

    `//shop.example/x` gets `https:`. `shop.example/x` stays as it is: see `with_scheme`.
    """
    given = pc.utf8_trim_whitespace(urls)
    relative = pc.match_substring_regex(given, "^//[^/]")
    complete = pc.if_else(relative, pc.binary_join_element_wise("https:", given, ""), given)
    fits = pc.or_(has_scheme(complete), pc.match_substring_regex(complete, _HOST))
    misfit = pc.and_(pc.invert(fits), pc.greater(pc.binary_length(given), 0))
    problem = pc.if_else(misfit, Problem.NOT_A_PAGE.code, pa.scalar(None, _TEXT))
    return CheckedColumn(pc.if_else(fits, complete, pa.scalar(None, _TEXT)), problem)


def has_scheme(urls: pa.Array) -> pa.Array:
    """Where an address is whole: scheme and host."""
    return pc.match_substring_regex(urls, _WITH_SCHEME)


def with_scheme(urls: pa.Array) -> pa.Array:
    """The same with `https://` before a host without scheme, which is a guess."""
    guessed = pc.binary_join_element_wise("https://", urls, "")
    return pc.if_else(has_scheme(urls), urls, guessed)
