"""`fbc`, `fbp` and `fbclid`: the click on the ad and the browser, never hashed.

Meta: `fb`, subdomain index, creation time in milliseconds and the value, joined by dots; the click
id is case-sensitive and is never invented or given a new time (fbp and fbc parameters). A fifth
part is the param builder's appendix and stays (Parameter builder library). Called by ingest for
visits and orders, and by matching for an order's click id whose visit is known.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import as_text, map_distinct
from capi_assets.meta.match_keys.digests import APPENDIX
from capi_assets.meta.match_keys.ip_addresses import CheckedColumn, ip_column
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.placeholders import is_placeholder

__all__ = [
    "CheckedColumn",
    "ClickIds",
    "fbc_column",
    "fbclid_from_url_column",
    "fbp_column",
    "ip_column",
    "with_click_id",
]

COOKIE_LIFETIME_MS = 7_776_000_000
"""90 days, the lifetime Meta advises for its cookie (fbp and fbc parameters)."""

CLOCK_SKEW_MS = 300_000
"""A browser's clock stamps the cookie, a server's the row: five minutes are forgiven."""

_MAX_LENGTH = 2_048  # characters; the longest click ids seen have some 250
# Meta's alphabet. With any other character Meta refuses the whole request (2804001).
_CLICK_ID = "[_-]*[A-Za-z0-9][A-Za-z0-9_-]*"
_FBC = re.compile(rf"fb\.([0-9])\.([0-9]{{10}}|[0-9]{{13}})\.({_CLICK_ID})((?:{APPENDIX})?)")
_FBP = re.compile(rf"fb\.[0-9]\.[0-9]{{13}}\.[0-9]{{1,20}}(?:{APPENDIX})?")
_OTHER_CLICK_ID = re.compile(rf"fb\.[0-9]\.[0-9]{{10,13}}\.[^.]+(?:{APPENDIX})?")
_COOKIE = r"^\s*fb\.[0-9]\."
_SENDABLE = rf"^fb\.[0-9]\.[0-9]+\.{_CLICK_ID}(?:{APPENDIX})?$"
_BARE = re.compile(_CLICK_ID)
_IN_QUERY = re.compile(r"(?:^|&)fbclid=([^&]+)")
# How Meta's click ids begin, as far as seen; one that begins so in another case was changed.
_BEGINNINGS = {beginning.lower(): beginning for beginning in ("IwAR", "IwY2", "IwZX")}

_TEXT, _NUMBER = pa.string(), pa.int64()
_MILLISECONDS = pa.timestamp("ms", tz="UTC")


class _Cookies(NamedTuple):
    """The parts of a column of fbc cookies."""

    text: pa.Array
    made: pa.Array  # milliseconds since 1970
    in_seconds: pa.Array
    click: pa.Array
    bare: pa.Array  # a click id without the rest
    problem: pa.Array


_COOKIE_TYPES = _Cookies(_TEXT, _NUMBER, pa.bool_(), _TEXT, _TEXT, _TEXT)
_NOTHING = (None, None, None, None, None, None)


class ClickIds(NamedTuple):
    """Three text columns as long as the input: `fbc` to send, its click id, codes of problems.

    A problem is reported only where there is no `fbc`.
    """

    fbc: pa.Array
    fbclid: pa.Array
    problems: pa.Array


def fbc_column(
    fbc: pa.Array | pa.ChunkedArray,
    fbclid: pa.Array | pa.ChunkedArray,
    first_seen: pa.Array | pa.ChunkedArray,
    *,
    row_time: pa.Array | pa.ChunkedArray | None = None,
) -> ClickIds:
    """The fbc of each row: the given cookie, else one made of the click id and its first time.

    `first_seen` (timestamp): when this click id was first seen, such as the time of the visit;
    without it no fbc is made. `row_time` (timestamp): the row's own time, by which the age of a
    given fbc is checked; default `first_seen`.

    A given fbc is unchanged. As in Meta's param builder, a different click id in `fbclid` is the
    later click and replaces it, if `first_seen` is known. Seconds become milliseconds only where
    the row's time confirms them. A cookie later than the row's time, or more than 90 days before
    it, is dropped and not made again from the same click id. Never raises for a value.
    """
    seen = _milliseconds(first_seen)
    now = seen if row_time is None else _milliseconds(row_time)
    named = as_text(fbclid)
    # Some trackers store the whole cookie as the click id.
    is_cookie = pc.fill_null(pc.match_substring_regex(named, _COOKIE), False)
    cookies = pc.coalesce(as_text(fbc), _only(named, is_cookie))
    cookie = _Cookies(*map_distinct(cookies, _cookie, _COOKIE_TYPES))
    click, click_problem = map_distinct(_only(named, pc.invert(is_cookie)), _click)
    click = pc.coalesce(click, cookie.bare)

    cookie_age = _age_problem(cookie.made, now)
    # Without the row's time, or against it, ten digits might be anything.
    unsure = pc.and_(cookie.in_seconds, pc.or_(pc.is_null(now), pc.is_valid(cookie_age)))
    cookie_problem = pc.coalesce(
        cookie.problem, _where(unsure, Problem.SECONDS_NOT_MILLISECONDS), cookie_age
    )
    kept = _only(cookie.text, pc.is_null(cookie_problem))

    click_age = _age_problem(seen, now)
    same = pc.or_(pc.equal(click, cookie.click), pc.equal(click, pc.ascii_lower(cookie.click)))
    later = _only(click, pc.and_(pc.invert(pc.fill_null(same, False)), pc.is_null(click_age)))
    made = pc.binary_join_element_wise("fb", "1", seen.cast(_TEXT), later, ".")

    result = pc.coalesce(made, kept)
    problem = pc.coalesce(cookie_problem, click_problem, _only(click_age, pc.is_valid(click)))
    return ClickIds(
        fbc=result,
        fbclid=pc.coalesce(later, _only(cookie.click, pc.is_valid(kept))),
        problems=_only(problem, pc.is_null(result)),
    )


def fbp_column(fbp: pa.Array | pa.ChunkedArray) -> CheckedColumn:
    """The _fbp cookie where it is one; never made up for a browser that had none."""
    return CheckedColumn(*map_distinct(as_text(fbp), _browser))


def fbclid_from_url_column(url: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The click id in each address's query string, decoded once, its case kept; null if none.

    Not checked: `fbc_column` does that, and reports what is no click id.
    """
    urls = as_text(url)
    (clicks,) = map_distinct(
        pc.if_else(pc.match_substring(urls, "fbclid="), urls, pa.scalar(None, _TEXT)),
        lambda address: (_click_of_url(address),),
        [_TEXT],
    )
    return clicks


def with_click_id(fbc: pa.Array) -> pa.Array:
    """The column with null where Meta would refuse the click id (2804001).

    Called for every event before it is built: rows stored by earlier versions were not checked.
    """
    return _only(fbc, pc.match_substring_regex(fbc, _SENDABLE))


def _milliseconds(times: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
    return whole.cast(_MILLISECONDS, safe=False).cast(_NUMBER)


def _age_problem(made: pa.Array, now: pa.Array) -> pa.Array:
    """Codes where a click was made after `now` or too long before it, null where either is."""
    late = pc.greater(made, pc.add(now, CLOCK_SKEW_MS))
    stale = pc.greater(pc.subtract(now, made), COOKIE_LIFETIME_MS)
    return pc.coalesce(
        _where(late, Problem.CLICK_AFTER_EVENT), _where(stale, Problem.CLICK_TOO_OLD)
    )


def _where(condition: pa.Array, problem: Problem) -> pa.Array:
    return pc.if_else(condition, pa.scalar(problem.code), pa.scalar(None, _TEXT))


def _only(values: pa.Array, condition: pa.Array) -> pa.Array:
    return pc.if_else(condition, values, pa.scalar(None, _TEXT))


def _cookie(text: str) -> tuple[str | int | bool | None, ...]:
    """One fbc as a row of `_Cookies`."""
    value = text.strip()
    if not value:
        return _NOTHING
    if len(value) > _MAX_LENGTH:
        return _refused(Problem.TOO_LONG)
    if "." not in value:
        bare, problem = _click(value)
        return (None, None, None, None, bare, problem)
    match = _FBC.fullmatch(value)
    if match is None:
        if _FBC.fullmatch(value.lower()):
            return _refused(Problem.CASE_LOST)
        has_time = _OTHER_CLICK_ID.fullmatch(value)
        return _refused(Problem.NOT_A_CLICK_ID if has_time else Problem.NOT_FBC)
    index, stamp, click, appendix = match.groups()
    if is_placeholder("fbclid", click):
        return _refused(Problem.PLACEHOLDER)
    if _has_lost_case(click):
        return _refused(Problem.CASE_LOST)
    if len(stamp) == 13:
        return (value, int(stamp), False, click, None, None)
    made = int(stamp) * 1_000
    return (f"fb.{index}.{made}.{click}{appendix}", made, True, click, None, None)


def _refused(problem: Problem) -> tuple[str | int | bool | None, ...]:
    return (*_NOTHING[:-1], problem.code)


def _has_lost_case(click: str) -> bool:
    beginning = _BEGINNINGS.get(click[:4].lower())
    return beginning is not None and not click.startswith(beginning)


def _click(text: str) -> tuple[str | None, str | None]:
    """One click id, and its problem's code."""
    value = text.strip()
    if not value:
        return None, None
    if len(value) > _MAX_LENGTH:
        return None, Problem.TOO_LONG.code
    if not _BARE.fullmatch(value):
        return None, Problem.NOT_A_CLICK_ID.code
    if is_placeholder("fbclid", value):
        return None, Problem.PLACEHOLDER.code
    if _has_lost_case(value):
        return None, Problem.CASE_LOST.code
    return value, None


def _click_of_url(address: str) -> str | None:
    query = address.partition("#")[0].partition("?")[2]
    found = _IN_QUERY.search(query)
    return unquote_plus(found[1]) if found else None


def _browser(text: str) -> tuple[str | None, str | None]:
    """One fbp, and its problem's code."""
    value = text.strip()
    if not value:
        return None, None
    return (value, None) if _FBP.fullmatch(value) else (None, Problem.NOT_FBP.code)
