"""The least SVG that the pictures need: elements as text, one style sheet, well-formed for any
input. What a picture shows is in the other files of this room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WIDE, NARROW = 860, 372
"""Widths for a page (or paper) and for a telephone, in CSS pixels, drawn at their true size."""

STACKED_BELOW = 520
"""In a picture narrower than this, names stand above their bars instead of beside them."""

# What XML 1.0 cannot hold, not even escaped.
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LETTER = 6.9
"""Width of a letter at 13 px in the widest of the usual system fonts; figures are wider."""
_HEAVY = 1.06

_STYLE = (
    ".cp{--g:#fff;--t:#1b2330;--s:#5d6878;--l:#dfe3e9;--m:#3b5bdb;--p:#a9b8f2;--o:#a3acb9;"
    "--w:#e0a100;--b:#b42337;font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
    "font-variant-numeric:tabular-nums}"
    "@media screen and (prefers-color-scheme:dark){.cp{--g:#191f29;--t:#e7ebf1;--s:#9aa5b5;"
    "--l:#303949;--m:#8aa3ff;--p:#4d5fa8;--o:#687385;--w:#f0bd6b;--b:#ff7d8d}}"
    ".cp text{fill:var(--t)}.cp .s{fill:var(--s);font-size:12px}.cp .h{font-weight:650}"
    ".cp .e{text-anchor:end}.cp .c{text-anchor:middle}"
    ".cp .l{stroke:var(--l)}.cp .d{stroke:var(--s);stroke-dasharray:3 3}"
    ".cp .m{fill:var(--m)}.cp .p{fill:var(--p)}.cp .o{fill:var(--o)}.cp .w{fill:var(--w)}"
    ".cp .b{fill:var(--b)}"
)


def escape(text: str) -> str:
    """Text as it may stand between tags and in attributes, whatever it held."""
    text = _IMPOSSIBLE.sub("�", text)
    for plain, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(plain, written)
    return text


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; `content` is SVG. `class_` is written `class`, `stroke_width` with a hyphen."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _attribute(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else number(value)


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, class_: str = "") -> str:
    """A line of text with its baseline at `y`; classes: s soft, h heavy, e ends at x, c centred."""
    return tag("text", escape(words), x=x, y=y, **({"class_": class_} if class_ else {}))


def headline(words: str, width: float, y: float = 28) -> tuple[list[str], float]:
    """What a picture says first, over as many lines as it needs, and how much more height than
    one line that took."""
    lines = wrapped(words, width - 32)
    return [text(16, y + 18 * i, line, "h") for i, line in enumerate(lines)], 18.0 * (
        len(lines) - 1
    )


def box(
    x: float, y: float, width: float, height: float, class_: str, title: str = "", fill: str = ""
) -> str:
    """A rectangle; `title` is what hovering says, `fill` the name of a pattern."""
    told = tag("title", escape(title)) if title else ""
    painted = {"fill": f"url(#{fill})"} if fill else {"class_": class_}
    return tag("rect", told, x=x, y=y, width=max(width, 0), height=max(height, 0), **painted)


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "l") -> str:
    """A line; classes: l for the grid, d dashed for marks."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def hatch(identity: str, colour: str, ground: str = "none") -> str:
    """A pattern of slanted stripes in a colour of the style sheet (`b` for lost)."""
    field = tag("rect", width=6, height=6, style=f"fill:{ground}")
    stripe = tag("rect", width=3.4, height=6, class_=colour)
    return tag(
        "pattern",
        field + stripe if ground != "none" else stripe,
        id=identity,
        width=6,
        height=6,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )


def picture(width: float, height: float, label: str, parts: Iterable[str], defs: str = "") -> str:
    """The whole SVG: `label` is read out instead of it (none where an image around it has a
    text of its own), the ground is its own."""
    return tag(
        "svg",
        tag("style", _STYLE)
        + (tag("defs", defs) if defs else "")
        + tag("rect", width=width, height=height, rx=8, style="fill:var(--g)")
        + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        class_="cp",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        **({"role": "img", "aria_label": label} if label else {}),
    )


def text_width(words: str, size: float = 13) -> float:
    """About how wide a text is; no font is at hand to measure it."""
    return len(words) * _LETTER * size / 13 + sum(c.isdigit() for c in words) * 0.7


def wrapped(words: str, room: float) -> list[str]:
    """The text in lines no wider than `room`; a longer word has a line of its own."""
    lines = [""]
    for word in words.replace(" %", "\u00a0%").split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer) * _HEAVY > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def truncate(words: str, room: float) -> str:
    """The text, cut with an ellipsis where it would be wider than `room`."""
    fits = int(room / _LETTER)
    return words if len(words) <= fits else f"{words[: max(fits - 1, 1)].rstrip()}…"
