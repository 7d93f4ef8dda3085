"""Where our hashed keys differ from facebook-business on purpose, each with its reason."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import date

import phonenumbers
import pycountry

from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS
from tests.helpers.differences import (
    Difference,
    contains,
    has_foreign_digits,
    holds,
    is_decomposed,
    matches,
)
from tests.helpers.metas_libraries import sdk

# What the SDK hashes at all; it sends external ids as they are.
ANY = ("fn", *(key for key in HASHED_KEYS if key not in ("fn", "external_id")))

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_NOTHING_HASHED = (b"undefined", b"UNDEFINED", b"N/A", b"0")
_LIST = "Meta takes lists; the SDK hashes the whole text as if it were one value."
_NOTHING = "Nothing is left of it; the SDK hashes the empty text."


def _full_number(value: str, country: str | None) -> str | None:
    try:
        number = phonenumbers.parse(value, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def _is_national(value: str, country: str | None) -> bool:
    """Without + or 00 in front, and not what the same digits would be with a plus."""
    digits = re.sub(r"\D", "", value)
    if re.match(r"\D*(\+|00)", value):
        return False
    if country is None:
        return value.startswith("(") or _full_number(f"+{digits}", None) != digits
    return _full_number(value, country) != digits


def _is_of_no_plan(value: str, country: str | None) -> bool:
    digits = re.sub(r"\D", "", value).lstrip("0")
    return _full_number(f"+{digits}", None) is None


def _is_birthday(digits: str) -> bool:
    try:
        return date.fromisoformat(digits.strip()).year >= 1900
    except ValueError:
        return False


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, unicodedata.normalize("NFKD", name))).lower()


_STATES = {
    _letters(name)
    for state in pycountry.subdivisions
    if state.country_code in ("US", "CA")
    for name in (state.name, state.code)
}

DIFFERENCES = (
    Difference(
        "MD5 digest",
        ANY,
        matches(r"[0-9a-f]{32}"),
        "Meta's documentation asks for SHA-256; an MD5 is taken for hashed and matches nobody.",
        "5d41402abc4b2a76b9719d911017c592",
    ),
    Difference(
        "SHA-1 digest",
        ANY,
        matches(r"[0-9a-f]{40}"),
        "A digest of another kind; hashed once more it matches nobody.",
        "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    ),
    Difference(
        "digest of an empty text",
        ANY,
        matches(rf"{_EMPTY}(\..*)?"),
        "Something upstream hashed a missing value; sent, it would count as a match key.",
        _EMPTY,
    ),
    Difference(
        "digest with appendix",
        ANY,
        matches(r"[0-9a-f]{64}\.([\w-]{8}|[\w-]{2})"),
        "The form Meta's param builder writes, which Meta asks to pass on unchanged.",
        "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f.AQQCAQIB",
    ),
    Difference(
        "placeholder",
        (*ANY, "external_id"),
        matches(r"null|undefined|none|n/a|unknown|[0-]+|\W+|(none|test|noemail)@.*"),
        "What systems write for no value; hashed, it would make one person of strangers.",
        "undefined",
    ),
    Difference(
        "digest of a placeholder",
        ANY,
        matches("|".join(rf"{hashlib.sha256(word).hexdigest()}.*" for word in _NOTHING_HASHED)),
        "Something upstream hashed a word for no value.",
        hashlib.sha256(b"undefined").hexdigest(),
    ),
    Difference("JSON list", ANY, matches(r"\[.*\]"), _LIST, '["Mary", "Ann"]'),
    Difference(
        "decomposed characters",
        ("fn", "ln", "ct", "st", "em"),
        is_decomposed,
        "The same letters as in Meta's published example, which is composed (NFC).",
        "Vale\u0301ry",
    ),
    Difference(
        "external id",
        ("external_id",),
        lambda value, country: True,
        "As the Pixel, the Node SDK and the param builder send it; the Python SDK sends the id as"
        " it is. `CAPI_HASH_EXTERNAL_ID=false` does the same.",
        "ABC-123 ",
    ),
    # em
    Difference(
        "several addresses", ("em",), contains("[,;]"), _LIST, "john@example.com, ann@example.com"
    ),
    Difference(
        "not one address",
        ("em",),
        matches(r'.*([\s<>()\[\]:"\\]|@.*@|@\.|\.$|@.*\.\.|@.*[^\w.-]).*|.*@.*\.\d+'),
        "The SDK asks only for something, an @, something, a dot, something.",
        "Mary <mary@example.com>",
    ),
    Difference(
        "invisible characters",
        ("em",),
        holds("Cf"),
        "Zero-width marks come with copied text and are no part of the address.",
        "john@example.com\u200b",
    ),
    # ph
    Difference(
        "national number",
        ("ph",),
        _is_national,
        "Meta makes the country code mandatory; the SDK hashes the digits as they stand.",
        "(650) 555-1212",
        "US",
    ),
    Difference(
        "trunk zero",
        ("ph",),
        lambda value, country: re.match(r"\D*(\+|00)[1-9]\d{0,2}\D*0", value) is not None,
        "The zero in +44 (0)7700 is dialled only inside the country.",
        "+44 (0)7700 900123",
    ),
    Difference(
        "retired mobile prefix",
        ("ph",),
        matches(r"\D*52\D*1(\D*\d){10}"),
        "Mexico dropped the 1 behind +52 in 2019; a number that still has it is the same one.",
        "+52 1 55 5123 4567",
    ),
    Difference(
        "dots, slashes, letters, extension",
        ("ph",),
        contains(r"[^\d\s()+-]|.\+"),
        "Meta: remove symbols and letters; the SDK refuses the number.",
        "+44.7700.900123",
    ),
    Difference(
        "digits of other scripts",
        ("ph",),
        has_foreign_digits,
        "The same number; the SDK hashes the foreign digits.",
        "１６５０５５５１２１２",
    ),
    Difference(
        "number of no numbering plan",
        ("ph",),
        _is_of_no_plan,
        "No telephone has it, so that it can match nobody, or somebody else.",
        "+1 111 111 1111",
    ),
    # fn ln
    Difference(
        "punctuation, symbols and spaces in names",
        ("fn", "ln"),
        holds("P", "S", "Z", "C"),
        "Meta: no punctuation. Spaces go as in Meta's param builder.",
        "Mary-Ann O'Brien",
    ),
    Difference(
        "name without letters",
        ("fn", "ln"),
        lambda value, country: not any(map(str.isalpha, value)),
        "No name; the SDK hashes it.",
        "12345",
    ),
    # db ge
    Difference(
        "date in any form but YYYYMMDD",
        ("db",),
        lambda value, country: re.fullmatch(r"\d{8}", value.strip(), re.A) is None,
        "Meta: YYYYMMDD. The SDK hashes the text as it stands.",
        "2/16/1997",
    ),
    Difference(
        "impossible date",
        ("db",),
        lambda value, country: not _is_birthday(value),
        "The calendar has no such day, or Meta no such year (from 1900).",
        "19970231",
    ),
    Difference(
        "word for a gender",
        ("ge",),
        lambda value, country: value.strip().lower() not in ("f", "m"),
        "Meta: f or m. The SDK hashes any word.",
        "Female",
    ),
    # ct st zp country
    Difference(
        "punctuation in places",
        ("ct", "st"),
        contains(r"[^\w\s.()-]|_"),
        "Meta: no punctuation. The SDK removes dots, dashes and parentheses only.",
        "Washington, D.C.",
    ),
    Difference(
        "city without letters",
        ("ct",),
        lambda value, country: sdk("ct", value) == "",
        _NOTHING,
        "123",
    ),
    Difference(
        "state without letters",
        ("st",),
        lambda value, country: sdk("st", value) == "",
        _NOTHING,
        "75",
    ),
    Difference(
        "digits of other scripts in places",
        ("ct", "st"),
        has_foreign_digits,
        "Digits go, as the SDK removes 0 to 9; it leaves the others.",
        "Paris １５",
    ),
    Difference(
        "state or province by name",
        ("st",),
        lambda value, country: _letters(value) in _STATES and len(_letters(value)) > 2,
        "Meta: the two-letter code. Meta's param builder maps the names of both countries.",
        "California",
    ),
    Difference(
        "no state of the United States",
        ("st",),
        lambda value, country: country == "US" and _letters(value) not in _STATES,
        "Meta takes only codes there.",
        "Bayern",
        "US",
    ),
    Difference(
        "postcode with dash",
        ("zp",),
        contains("[-－]"),
        "Meta: no dash. The SDK cuts at the dash, which is right in the United States only.",
        "100-0001",
    ),
    Difference(
        "postcode of the United States",
        ("zp",),
        lambda value, country: country == "US" and not re.fullmatch(r"\s*\d{5}\s*", value, re.A),
        "Meta: the first five digits, or it is none.",
        "940351234",
        "US",
    ),
    Difference(
        "punctuation in postcodes",
        ("zp",),
        contains(r"[^\w\s-]"),
        "Only letters and digits can match.",
        "94035.0",
    ),
    Difference(
        "postcode of one character, or of more than twelve",
        ("zp",),
        matches(r"\W*\w?\W*|(\W*\w){13,}\W*"),
        "No country has such; Meta's param builder refuses the short ones too.",
        "7",
    ),
    Difference(
        "full-width postcode",
        ("zp",),
        has_foreign_digits,
        "The same postcode, as it is typed in Japan.",
        "１０００００１",
    ),
    Difference(
        "country by name or three letters",
        ("country",),
        lambda value, country: len(_letters(value)) > 2 or not value.isascii(),
        "Meta: the two-letter code. The SDK refuses names.",
        "United States",
    ),
    Difference(
        "UK and EL",
        ("country",),
        lambda value, country: _letters(value) in ("uk", "el"),
        "Common codes for GB and GR, of no country in ISO 3166-1.",
        "UK",
    ),
)
