"""Legends: what a colour or a pattern stands for, in rows that break where the picture ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from capi_assets.coverage.charts.svg import box, tag, text, text_width


@dataclass(frozen=True, slots=True)
class Entry:
    """One sign: a class or a pattern, or with `dashed` a dashed line."""

    words: str
    class_: str = ""
    pattern: str = ""
    opacity: float = 1.0
    dashed: bool = False


def legend(entries: Iterable[Entry], x: float, y: float, right: float) -> tuple[list[str], float]:
    """The legend's parts from `(x, y)` on, and how high it is; `right` is where it may end."""
    parts: list[str] = []
    at, top = x, y
    for entry in entries:
        room = 22 + text_width(entry.words, 12)
        if at > x and at + room > right:
            at, top = x, top + 19
        if entry.dashed:
            parts.append(tag("line", x1=at, y1=top + 7, x2=at + 15, y2=top + 7, class_="d"))
        else:
            swatch = box(at, top + 1, 12, 11, entry.class_, fill=entry.pattern)
            faded = entry.opacity < 1
            parts.append(tag("g", swatch, opacity=entry.opacity) if faded else swatch)
        parts.append(text(at + 18, top + 11, entry.words, "s"))
        at += room + 16
    return parts, top + 19 - y
