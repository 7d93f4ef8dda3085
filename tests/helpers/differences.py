"""What an intended difference is, and the ways to say which values it speaks of.

A difference is stated about the value, never about the two results, so that it cannot excuse a
mistake elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

Applies = Callable[[str, str | None], bool]


@dataclass(frozen=True)
class Difference:
    """One intended difference: for which values of which keys, why, and an example of it.

    The example is shown for the first of the keys, in a row of `country`.
    """

    name: str
    keys: tuple[str, ...]
    applies: Applies
    reason: str
    example: str
    country: str | None = None


def matches(pattern: str) -> Applies:
    """The trimmed value is of this form, in capitals or not."""
    compiled = re.compile(pattern, re.I | re.S)
    return lambda value, country: compiled.fullmatch(value.strip()) is not None


def lacks(pattern: str) -> Applies:
    """The trimmed value does not begin like this."""
    compiled = re.compile(pattern, re.A)
    return lambda value, country: compiled.match(value.strip()) is None


def contains(pattern: str) -> Applies:
    """Something in the trimmed value is like this, in capitals or not."""
    compiled = re.compile(pattern, re.I)
    return lambda value, country: compiled.search(value.strip()) is not None


def holds(*categories: str) -> Applies:
    """A character within the trimmed value is of one of these Unicode categories."""
    return lambda value, country: any(
        unicodedata.category(character).startswith(categories) for character in value.strip()
    )


def is_decomposed(value: str, country: str | None) -> bool:
    """Written with combining accents where composed letters exist."""
    return unicodedata.normalize("NFC", value) != value


def has_foreign_digits(value: str, country: str | None) -> bool:
    """Full-width, or with digits of a script other than Latin."""
    folded = unicodedata.normalize("NFKC", value)
    return folded != value or any(c.isdecimal() and not c.isascii() for c in folded)
