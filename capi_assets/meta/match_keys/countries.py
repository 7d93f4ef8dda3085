"""`country`: the two-letter code of ISO 3166-1, from a code or a name.

Names come from `pycountry`: English, and the translations it carries (Debian's iso-codes) in the
languages shops print their addresses in. The table of our own holds only what neither knows.
"""

from __future__ import annotations

import gettext
from collections import Counter
from functools import cache

import pycountry

from capi_assets.meta.match_keys.digests import sha256
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import ascii_digits, lookup_key

# Codes: UK is reserved for GB by ISO, EL is what the European Union writes for Greece.
# Names: short forms and old names that ISO 3166-1 does not list.
_ALIASES = {
    "uk": "GB",
    "el": "GR",
    "great britain": "GB",
    "britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "america": "US",
    "the united states of america": "US",
    "the united states": "US",
    "the netherlands": "NL",
    "turkey": "TR",
    "россия": "RU",
    "macedonia": "MK",
    "cape verde": "CV",
    "swaziland": "SZ",
    "burma": "MM",
    "east timor": "TL",
    "palestine": "PS",
    "vatican": "VA",
    "vatican city": "VA",
    "the bahamas": "BS",
    "the gambia": "GM",
    "the philippines": "PH",
    "uae": "AE",
    "emirates": "AE",
    "ksa": "SA",
    "hong kong sar": "HK",
    "macao sar": "MO",
    "congo brazzaville": "CG",
    "congo kinshasa": "CD",
    "dr congo": "CD",
    "drc": "CD",
}
_LANGUAGES = (
    *("de", "fr", "es", "it", "pt", "pt_BR", "nl", "ca", "pl", "cs", "sk", "hu", "ro", "bg", "el"),
    *("sv", "da", "nb_NO", "nn", "fi", "is", "et", "lv", "lt", "sl", "hr", "sr", "bs", "sq", "mk"),
    *("ru", "uk", "be", "tr", "ar", "he", "fa", "hi", "th", "vi", "id", "ms", "ja", "ko"),
    *("zh_CN", "zh_TW", "ga", "cy", "mt", "ka", "hy", "az"),
)


def _names(country: object) -> list[str]:
    attributes = ("name", "common_name", "official_name")
    return [found for each in attributes if (found := getattr(country, each, None))]


@cache
def _codes() -> dict[str, str]:
    """Two-letter codes by code (two or three letters) and by English name."""
    codes: dict[str, str] = {}
    for country in pycountry.countries:
        for name in (country.alpha_2, country.alpha_3, *_names(country)):
            codes[lookup_key(name)] = country.alpha_2
    return codes | {lookup_key(alias): code for alias, code in _ALIASES.items()}


@cache
def _translated() -> dict[str, str]:
    """Two-letter codes by name in other languages.

    Where catalogues disagree (the Slovak one has two Slovakias, of which one is Gambia) the
    majority decides, and a name without one is left out. Read when the first foreign name is met:
    some 50 catalogues, 0.15 s.
    """
    votes: dict[str, Counter[str]] = {}
    for language in _LANGUAGES:
        catalogue = gettext.translation(
            "iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True
        )
        for country in pycountry.countries:
            for name in _names(country):
                key = lookup_key(catalogue.gettext(name))
                votes.setdefault(key, Counter())[country.alpha_2] += 1
    ranked = {key: count.most_common(2) for key, count in votes.items()}
    return {
        key: first[0]
        for key, (first, *others) in ranked.items()
        if not others or others[0][1] < first[1]
    }


@cache
def _by_digest() -> dict[str, str]:
    return {sha256(country.alpha_2.lower()): country.alpha_2 for country in pycountry.countries}


def region_of(text: str) -> str | None:
    """The upper-case ISO 3166-1 alpha-2 code of a country's code, name, or code's digest."""
    if len(text) >= 64:
        hashed = _by_digest().get(text.strip()[:64].lower())
        if hashed:
            return hashed
    key = lookup_key(ascii_digits(text))
    if len(key) <= 3 and key.isascii():
        return _codes().get(key)
    return _codes().get(key) or _translated().get(key)


def country(text: str) -> str | Problem:
    """The lower-case two-letter code."""
    region = region_of(text)
    return region.lower() if region else Problem.UNKNOWN_COUNTRY
