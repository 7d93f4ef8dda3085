"""The terminal: what commands print is text, whatever brackets or escape sequences data has."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from capi_assets.printable import printable


class Terminal(Console):
    """A console without markup: styles come from `Text`, and control characters are not printed."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As Rich renders it, with every character of a text printable."""
        for text, style, control in super().render(renderable, options):
            lines = text if control else "\n".join(map(printable, text.split("\n")))
            yield Segment(lines, style, control)
