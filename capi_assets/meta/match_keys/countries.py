"""`country`: the two-letter code of ISO 3166-1, from a code or a name.

Codes and formal names come from `pycountry`, everyday names in the languages of shops from
Unicode's CLDR, which `Babel` carries. countries.toml has only what neither knows.
"""

from __future__ import annotations

import gettext
import re
from collections import Counter
from functools import cache

import pycountry

from capi_assets.meta.match_keys.digests import sha256
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import ascii_digits, letters, lookup_key
from capi_assets.table_files import table_beside

_ALIASES: dict[str, str] = table_beside(__file__)
# Of both Congos, depending on the language.
_AMBIGUOUS = frozenset({"kongo"})
# The languages that shops print addresses in, those with the most shops first: CLDR's names are
# searched in one after the other, because reading those of one language takes some 20 ms.
_LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "ja", "tr", "sv", "da", "nb", "fi"),
    *("cs", "sk", "hu", "ro", "bg", "el", "uk", "zh", "zh_Hant", "ko", "vi", "id", "th", "ar"),
    *("he", "fa", "hi", "ms", "ca", "nn", "is", "et", "lv", "lt", "sl", "hr", "sr", "bs", "sq"),
    *("mk", "be", "ga", "cy", "mt", "ka", "hy", "az"),
)
_SAINT = re.compile(r"\b(?:st|ste|sainte)\b")
_BRACKETED = re.compile(r"(.+?)\s*[(\[](.+?)[)\]]\s*")


def _name_key(name: str) -> str:
    """A key to find names by, in which `&` is and, `St.` is Saint, and `The` does not count."""
    spoken = name.lower().replace("&", " and ").removeprefix("the ")
    return lookup_key(_SAINT.sub("saint", spoken))


def _names(country: object) -> list[str]:
    attributes = ("name", "common_name", "official_name")
    return [found for each in attributes if (found := getattr(country, each, None))]


def _spoken(name: str) -> str:
    """`Republic of Korea` for the `Korea, Republic of` of ISO 3166-1."""
    return " ".join(reversed(name.split(", ", 1)))


@cache
def _codes() -> dict[str, str]:
    """Two-letter codes by code (two or three letters) and by English name."""
    codes: dict[str, str] = {}
    for country in pycountry.countries:
        names = _names(country)
        for name in (country.alpha_2, country.alpha_3, *names, *map(_spoken, names)):
            codes[_name_key(name)] = country.alpha_2
    return codes | {_name_key(alias): code for alias, code in _ALIASES.items()}


@cache
def _everyday(language: str) -> tuple[dict[str, str], dict[str, str]]:
    """Two-letter codes by the everyday names of one language (CLDR): by key, and as written."""
    from babel import Locale  # 0.1 s, for names that nothing else knows

    known = {country.alpha_2 for country in pycountry.countries}
    named = Locale.parse(language).territories.items()
    names = [(name, code) for code, name in named if code in known]
    by_key = {_name_key(name): code for name, code in names}
    return by_key, {letters(name): code for name, code in names}


@cache
def _formal() -> dict[str, str]:
    """Two-letter codes by formal name in other languages, such as Slovenská republika.

    From pycountry's catalogues (Debian's iso-codes), 0.15 s for all. Where they disagree (the
    Slovak one has two Slovakias, of which one is Gambia) the majority decides, and a name without
    one is left out.
    """
    votes: dict[str, Counter[str]] = {}
    for language in _LANGUAGES:
        catalogue = gettext.translation(
            "iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True
        )
        for country in pycountry.countries:
            for name in _names(country):
                key = _name_key(catalogue.gettext(name))
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
    """The upper-case ISO 3166-1 alpha-2 code of a country's code, name, or code's digest.

    A name may carry another in brackets, `United States (US)`, unless they contradict each other.
    """
    if len(text) >= 64:
        hashed = _by_digest().get(text.strip()[:64].lower())
        if hashed:
            return hashed
    written = ascii_digits(text.strip())
    bracketed = _BRACKETED.fullmatch(written)
    if bracketed is None or _name_key(written) in _codes():
        return _named(written)
    found = {code for part in bracketed.groups() if (code := _named(part))}
    return found.pop() if len(found) == 1 else None


def _named(name: str) -> str | None:
    """The code of one code or name. Accents count in short names: Áo is Vietnamese for Austria."""
    key = _name_key(name)
    short = len(key) <= 3 and key.isascii()
    if short and name.isascii():
        return _codes().get(key)
    if not key or key in _AMBIGUOUS:
        return None
    found = None if short else _codes().get(key) or _formal().get(key)
    if found:
        return found
    for language in _LANGUAGES:
        by_key, as_written = _everyday(language)
        found = as_written.get(letters(name)) if short else by_key.get(key)
        if found:
            return found
    return None


def country(text: str) -> str | Problem:
    """The lower-case two-letter code."""
    region = region_of(text)
    return region.lower() if region else Problem.UNKNOWN_COUNTRY
