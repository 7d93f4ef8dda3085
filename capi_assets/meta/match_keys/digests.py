"""SHA-256 digests: making them, and recognising values that arrive already hashed.

Meta takes lower-case hexadecimal SHA-256 of UTF-8 text and nothing else. Its param builder appends
a dot and eight (formerly two) characters to a digest and asks that they be passed on unchanged
(Parameter builder library).
"""

from __future__ import annotations

import hashlib
import re

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.placeholders import IN_EVERY_KEY, NOT_IN_NAMES

APPENDIX = r"\.(?:[A-Za-z0-9_-]{8}|[A-Za-z0-9_-]{2})"
"""What the param builder adds behind a value, as a pattern."""

SHORTEST = 32
"""Characters; no shorter text can be a digest, which spares most values the check."""

_SHA256 = re.compile(rf"([0-9a-fA-F]{{64}})((?:{APPENDIX})?)")
_SEVERAL = re.compile(
    rf"[0-9a-fA-F]{{64}}(?:{APPENDIX})?(?:[\s,;]+[0-9a-fA-F]{{64}}(?:{APPENDIX})?)+"
)
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")
_OTHER_DIGESTS = {
    32: Problem.MD5_DIGEST,
    40: Problem.SHA1_DIGEST,
    128: Problem.SHA512_DIGEST,
}
_OF_EMPTY = frozenset(
    # MD5 and SHA-1 are only recognised, never used to hash.
    [
        hashlib.sha256(b"").hexdigest(),
        hashlib.md5(b"", usedforsecurity=False).hexdigest(),
        hashlib.sha1(b"", usedforsecurity=False).hexdigest(),
    ]
)


def sha256(text: str) -> str:
    """The lower-case hexadecimal SHA-256 of the text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def _of_words(words: frozenset[str]) -> frozenset[str]:
    return frozenset(
        sha256(spelling) for word in words for spelling in (word, word.upper(), word.title())
    )


# What an upstream system that hashes everything makes of a missing value.
_OF_PLACEHOLDERS_IN_NAMES = _of_words(IN_EVERY_KEY | {"-", "0"})
_OF_PLACEHOLDERS = _OF_PLACEHOLDERS_IN_NAMES | _of_words(NOT_IN_NAMES) | {sha256("NaN")}
_MD5 = re.compile(r"[0-9a-f]{32}")


def sha256_column(texts: pa.Array) -> pa.Array:
    """The same of a whole text column; null stays null."""
    present = texts.drop_null() if texts.null_count else texts
    hashed = hashlib.sha256
    digests = pa.array(
        [hashed(text).hexdigest() for text in present.cast(pa.binary()).to_pylist()], pa.string()
    )
    if not texts.null_count:
        return digests
    return pc.replace_with_mask(pa.nulls(len(texts), pa.string()), texts.is_valid(), digests)


def digest(form: str) -> str:
    """What is sent for a normal form: the form itself if it is a digest, else its SHA-256.

    32 hexadecimal digits are an external id, which the Pixel does not hash; no other key has such
    a form, see `given`.
    """
    if len(form) >= SHORTEST and (_SHA256.fullmatch(form) or _MD5.fullmatch(form)):
        return form
    return sha256(form)


def given(text: str, *, is_name: bool = False) -> str | Problem | None:
    """The digest that `text` already is, why it is a bad one, or None if it is plain text.

    The digests of placeholders are bad ones; a few of those words are names (`is_name`). A SHA-256
    comes back in lower case with its appendix untouched.
    """
    match = _SHA256.fullmatch(text)
    if match:
        digest = match[1].lower()
        if digest in (_OF_PLACEHOLDERS_IN_NAMES if is_name else _OF_PLACEHOLDERS):
            return Problem.PLACEHOLDER
        return Problem.DIGEST_OF_EMPTY if digest in _OF_EMPTY else digest + match[2]
    if len(text) in _OTHER_DIGESTS and _HEXADECIMAL.fullmatch(text):
        return _OTHER_DIGESTS[len(text)]
    if _BASE64.fullmatch(text):
        return Problem.BASE64_DIGEST
    return None


def given_id(text: str) -> str | Problem | None:
    """Like `given`, for external ids, of which only a SHA-256 counts as hashed: 32 hexadecimal
    digits are often a UUID."""
    if text.lower() in _OF_EMPTY:
        return Problem.DIGEST_OF_EMPTY
    return given(text) if _SHA256.fullmatch(text) else None


def several(text: str) -> list[str] | None:
    """The SHA-256 digests of a list separated by spaces, commas or semicolons, else None."""
    return re.split(r"[\s,;]+", text) if _SEVERAL.fullmatch(text) else None
