"""`ct`, `st`, `zp`: where a person lives.

City and state: lower case without punctuation, spaces and digits, other scripts in UTF-8; a state
of the United States is its two-letter code. Postcode: lower case without spaces and dashes, the
first five digits in the United States (Customer information parameters).
"""

from __future__ import annotations

import gettext
import re
from functools import cache

import pycountry

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import (
    ascii_digits,
    letters,
    letters_and_digits,
    lookup_key,
    whole_number,
)

# Meta asks for codes in the United States; its param builder maps Canada's provinces as well.
_CODED = ("US", "CA")
# What ISO 3166-2 does not list under the United States, but its post office does: everyday names,
# military post offices, and the three freely associated states.
_US_STATE_ALIASES = {
    **{"washingtondc": "dc", "newyorkstate": "ny", "washingtonstate": "wa"},
    **{code: code for code in ("aa", "ae", "ap", "fm", "mh", "pw")},
    **{"armedforcesamericas": "aa", "armedforcespacific": "ap"},
    **{f"armedforces{area}": "ae" for area in ("africa", "canada", "europe", "middleeast")},
    **{"micronesia": "fm", "federatedstatesofmicronesia": "fm"},
    **{"marshallislands": "mh", "palau": "pw"},
    **{"virginislands": "vi", "usvirginislands": "vi", "northernmarianaislands": "mp"},
}
# Addresses of these territories carry ZIP codes though ISO 3166-1 counts them as countries.
_ZIP_REGIONS = frozenset({"US", "PR", "GU", "VI", "AS", "MP", "UM", "FM", "MH", "PW"})
_ZIP = re.compile(r"(\d{5})(?:[^a-z0-9]+.*|\d{4})?")
_GROUPED = re.compile(r"\W*[0-9](?:\W?[0-9]){4}(?:\W?[0-9]){0,4}\W*")  # 98 121-9431, '97317
_ZIP_PLUS_4 = re.compile(r"(\d{5})-\d{4}")
_LONGEST_POSTCODE = 12  # letters and digits; the longest postcode in use has ten


@cache
def _states(region: str) -> dict[str, str]:
    """Lower-case codes of a country's states by code, by ISO 3166-2 code, and by name."""
    french = gettext.translation(
        "iso3166-2", pycountry.LOCALES_DIR, languages=["fr"], fallback=True
    )
    states: dict[str, str] = {}
    for subdivision in pycountry.subdivisions:
        if subdivision.country_code != region:
            continue
        code = subdivision.code.partition("-")[2].lower()
        states |= {code: code, f"{region.lower()}{code}": code}
        states |= {lookup_key(subdivision.name): code}
        if region == "CA":
            states |= {lookup_key(french.gettext(subdivision.name)): code}
    if region == "US":
        states |= _US_STATE_ALIASES
    return states


def city(text: str) -> str | Problem:
    """Letters of the city's name in lower case."""
    return _with_letters(letters(text))


def state(text: str, region: str | None) -> str | Problem:
    """The code of a state of the United States or province of Canada, else the name's letters.

    Names are mapped where the row's country is one of the two or not known. In a row of the
    United States anything but a state is refused: Meta takes only codes there.
    """
    bare = letters(text)
    key = lookup_key(bare)
    for coded in _CODED if region is None else {region}.intersection(_CODED):
        if key in _states(coded):
            return _states(coded)[key]
    if region == "US":
        return Problem.UNKNOWN_STATE
    return _with_letters(bare)


def _with_letters(bare: str) -> str | Problem:
    if bare.isalpha() or any(map(str.isalpha, bare)):
        return bare
    return Problem.NO_LETTERS


def postcode(text: str, region: str | None) -> str | Problem:
    """Letters and digits of the postcode in lower case; five digits in the United States."""
    written = whole_number(ascii_digits(text)).lower()
    if region in _ZIP_REGIONS:
        return _zip(written)
    plus_4 = _ZIP_PLUS_4.fullmatch(written) if region is None else None
    bare = plus_4[1] if plus_4 else letters_and_digits(written)
    if len(bare) < 2:
        return Problem.TOO_SHORT
    return bare if len(bare) <= _LONGEST_POSTCODE else Problem.NOT_A_POSTCODE


def _zip(written: str) -> str | Problem:
    """Five digits, the leading zeros restored that a column of numbers has lost."""
    if _GROUPED.fullmatch(written):
        written = letters_and_digits(written)
    if written.isdecimal() and len(written) in (3, 4, 7, 8):
        written = f"0{written}" if len(written) in (4, 8) else f"00{written}"
    match = _ZIP.fullmatch(written)
    return match[1] if match else Problem.NOT_A_POSTCODE
