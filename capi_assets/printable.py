"""Text from files and from Meta as one line that no terminal, log or database interprets."""

from __future__ import annotations

import re

# Control characters (also line ends and ESC), marks that reverse the reading direction, line and
# paragraph separators, and halves of surrogate pairs, which neither Arrow nor a database stores.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` with a replacement character for each that is not printed; other text is unchanged."""
    return _NOT_PRINTABLE.sub("\ufffd", text)
