"""The few SVG elements that the charts need, as text that is well-formed for any input."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.sax import saxutils

WIDE, NARROW = 860, 372
"""Widths for a page (or paper) and for a phone, in CSS pixels, drawn at their true size."""

STACKED_BELOW = 520
"""In a chart narrower than this, names stand above their rows instead of beside them."""

# What XML 1.0 cannot hold, not even escaped.
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LETTER_PX = 6.9
"""Width of a letter at 13 px in the widest of the usual system fonts; figures are wider."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and what a page writes around it: `headline` lines, `legend` as (class, text)."""

    svg: str
    headline: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)


def escape(text: str) -> str:
    """`text` as XML character data and attribute value; what XML cannot hold is replaced."""
    return saxutils.escape(_IMPOSSIBLE.sub("�", text), {'"': "&quot;"})


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; `content` is SVG. `class_` is written `class`, `aria_label` with a hyphen."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}="
        f'"{escape(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, content: str, class_: str = "") -> str:
    """A line of text with its baseline at `y`; classes as in charts.css."""
    return tag("text", escape(content), x=x, y=y, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> str:
    """A rectangle; `title` is shown on hover and read out."""
    return tag("rect", titled(title), x=x, y=y, width=width, height=height, class_=class_)


def titled(title: str) -> str:
    """The title of the element that holds it; empty for an empty one."""
    return tag("title", escape(title)) if title else ""


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "grid") -> str:
    """A line: `grid`, or `dashed` for marks."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def picture(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    """The whole SVG; `label` is read out instead of it."""
    return tag(
        "svg",
        "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def text_width(content: str, size: float = 13) -> float:
    """About how wide a text is in pixels; no font is at hand to measure it."""
    return len(content) * _LETTER_PX * size / 13 + sum(c.isdigit() for c in content) * 0.7


def truncate(content: str, room: float) -> str:
    """The text, cut with an ellipsis where it would be wider than `room` pixels."""
    fits = int(room / _LETTER_PX)
    return content if len(content) <= fits else f"{content[: max(fits - 1, 1)].rstrip()}…"
