"""`db`: a date of birth as YYYYMMDD.

Meta: year from 1900 to now, month 01 to 12, day 01 to 31 (Customer information parameters). Day and
month are never guessed: a date is read in its declared format, or only when there is one reading.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import ascii_digits, whole_number

_MONTH_NAMES = (
    *("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july"),
    *("aug august", "sep sept september", "oct october", "nov november", "dec december"),
)
_MONTHS = {
    name: number for number, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()
}
_TIME = re.compile(r"(?<=\d)[T ]\s*\d{1,2}:\d{2}.*$", re.I | re.S)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_YEAR_FIRST = re.compile(r"(\d{4})([-/. ])(\d{1,2})\2(\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})")
_DAY_NAMED_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[-/. ]*([a-z]+)[-/., ]*(\d{4})")
_NAMED_MONTH_DAY = re.compile(r"([a-z]+)[-/. ]*(\d{1,2})(?:st|nd|rd|th)?[-/., ]+(\d{4})")
_OLDEST_YEAR = 1900
_ZERO_DATE = date(1900, 1, 1)  # what spreadsheets and SQL Server make of no date


def check_format(date_format: str) -> None:
    """Raises ValueError unless the format (as of `strptime`) says year, month and day.

    The year in four digits: Meta matches none with two.
    """
    sample = datetime(1925, 3, 27, tzinfo=UTC)
    try:
        read = datetime.strptime(sample.strftime(date_format), date_format).replace(tzinfo=UTC)
    except ValueError:
        read = None
    if read is None or read.date() != sample.date():
        raise ValueError(
            f"date format {date_format!r} must say year (%Y), month and day, such as %d/%m/%Y"
        )


def date_of_birth(text: str, date_format: str | None, today: date | None) -> str | Problem:
    """The date in eight digits.

    `date_format` is the column's declared format; a date with the year first is taken beside it.
    `today` bounds the date above; without it only 1900 bounds it below.
    """
    written = " ".join(ascii_digits(text).split())
    parts = _read(whole_number(written), date_format)
    if isinstance(parts, Problem):
        return parts
    try:
        born = date(*parts)
    except ValueError:
        return Problem.YEAR_OUT_OF_RANGE if parts[0] < _OLDEST_YEAR else Problem.IMPOSSIBLE_DATE
    if born == _ZERO_DATE:
        return Problem.PLACEHOLDER
    if born.year < _OLDEST_YEAR or (today is not None and born > today):
        return Problem.YEAR_OUT_OF_RANGE
    return born.strftime("%Y%m%d")


def _read(written: str, date_format: str | None) -> tuple[int, int, int] | Problem:
    """Year, month and day, not yet looked up in the calendar."""
    day = _TIME.sub("", written)
    if date_format is not None:
        for candidate in (written, day):
            with suppress(ValueError):
                read = datetime.strptime(candidate, date_format).replace(tzinfo=UTC)
                return read.year, read.month, read.day
    day = day.lower()
    year_first = _COMPACT.fullmatch(day)
    if year_first:
        return int(year_first[1]), int(year_first[2]), int(year_first[3])
    year_first = _YEAR_FIRST.fullmatch(day)
    if year_first:
        return int(year_first[1]), int(year_first[3]), int(year_first[4])
    if date_format is not None:
        return Problem.OTHER_DATE_FORMAT
    year_last = _YEAR_LAST.fullmatch(day)
    if year_last:
        return _in_order(int(year_last[1]), int(year_last[3]), int(year_last[4]))
    return _named_month(day)


def _in_order(first: int, second: int, year: int) -> tuple[int, int, int] | Problem:
    """Day and month where only one order gives a month; 31/02 has one too, and fails later."""
    if first == second or (first <= 12 < second):
        return year, first, second
    if second <= 12 < first:
        return year, second, first
    return Problem.AMBIGUOUS_DATE if first <= 12 else Problem.IMPOSSIBLE_DATE


def _named_month(day: str) -> tuple[int, int, int] | Problem:
    match = _DAY_NAMED_MONTH.fullmatch(day)
    if match and match[2] in _MONTHS:
        return int(match[3]), _MONTHS[match[2]], int(match[1])
    match = _NAMED_MONTH_DAY.fullmatch(day)
    if match and match[1] in _MONTHS:
        return int(match[3]), _MONTHS[match[1]], int(match[2])
    return Problem.NOT_A_DATE
