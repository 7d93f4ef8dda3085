"""Letters and digits: the Unicode handling that the match key rules share.

Meta's rule is lower case, no punctuation, UTF-8 (Customer information parameters). `lower()`, not
`casefold()`: Meta keeps the sharp s. Composed characters (NFC), as in Meta's own example of an
accented name.
"""

from __future__ import annotations

import re
import unicodedata

# Letters by their category, but typed for an apostrophe: O'Brien has to be one person.
_APOSTROPHE_LETTERS = frozenset("\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\ua78c")
_VARIATION_SELECTORS = frozenset([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
_FLOAT = re.compile(r"^(\+?\d{3,})\.0+$")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})


class _Kept(dict[int, int | None]):
    """A table for `str.translate` that learns each character the first time it is met.

    Only what is surely not a letter is removed, so that a letter younger than this Python's
    Unicode tables is kept.
    """

    def __init__(self, *, digits: bool) -> None:
        super().__init__()
        self._removed = "PSZ" if digits else "PSZN"

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        removed = (
            category[0] in self._removed
            or category in _INVISIBLE
            or code in _VARIATION_SELECTORS
            or chr(code) in _APOSTROPHE_LETTERS
        )
        self[code] = None if removed else code
        return self[code]


_LETTERS_AND_DIGITS = _Kept(digits=True)
_LETTERS = _Kept(digits=False)


def lower(text: str) -> str:
    """Lower case in composed form (NFC), stable when applied again."""
    if text.isascii():
        return text.lower()
    composed = unicodedata.normalize("NFC", text).lower()
    return unicodedata.normalize("NFC", composed)


def _bare(text: str, kept: _Kept) -> str:
    lowered = lower(text)
    if lowered.isascii():
        return lowered if lowered.isalpha() else lowered.translate(kept)
    return unicodedata.normalize("NFC", lowered.translate(kept))


def letters(text: str) -> str:
    """Lower-case letters only: no punctuation, symbols, spaces or digits."""
    return _bare(text, _LETTERS)


def letters_and_digits(text: str) -> str:
    """Lower-case letters and digits only: no punctuation, symbols or spaces."""
    return _bare(text, _LETTERS_AND_DIGITS)


def ascii_digits(text: str) -> str:
    """Full-width and other compatibility forms folded (NFKC), digits of any script made 0 to 9.

    For texts that are codes, not words: phone numbers, postcodes, dates.
    """
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in folded)


def whole_number(text: str) -> str:
    """Digits without the `.0` that a column of numbers with an empty cell leaves behind them."""
    return _FLOAT.sub(r"\1", text) if text.endswith("0") else text


def without_invisible(text: str) -> str:
    """The text without the zero-width and control marks that copying from documents leaves."""
    if text.isascii():
        return text
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def lookup_key(name: str) -> str:
    """A key to find names by: letters alone, without accents. Never hashed, never sent."""
    decomposed = unicodedata.normalize("NFKD", name).lower()
    return "".join(
        c
        for c in decomposed
        if unicodedata.category(c)[0] in "LM" and not "\u0300" <= c <= "\u036f"
    )
