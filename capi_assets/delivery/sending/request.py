"""One request on its way: its events, how often it was tried, and how it is halved when Meta
refuses it without saying which event is guilty.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass
class Budget:
    """Requests that the bisection of one original request may still cost."""

    left: int
    is_spent: bool = False


@dataclass
class Request:
    """Events (columns of `queue.COLUMNS`, and `ref` once claimed) that travel together.

    Halves go one after the other, `behind` after this one: if a half is accepted, its twin must
    be the guilty one and is halved again unsent, which saves one request in four.
    """

    events: pa.Table
    budget: Budget
    tries: int = 0
    behind: Request | None = None
    twin_is_behind: bool = False
    is_guilty: bool = False  # its twin was accepted
    looks: int = 0  # at claims that another run holds
    looking_since: float = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this run has claimed the events already."""
        return "ref" in self.events.column_names

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def halved(self, suspect: int | None) -> Request:
        """Two requests, the first with the other behind it, and what was behind this one last.

        `suspect` is the position of an event that Meta seems to blame: it goes first, alone. A
        right hint ends the search at once, a wrong one costs one request.
        """
        if suspect is not None and 0 <= suspect < len(self):
            rest = [self.events.slice(0, suspect), self.events.slice(suspect + 1)]
            parts = self.events.slice(suspect, 1), pa.concat_tables(rest)
        else:
            middle = len(self) // 2
            parts = self.events.slice(0, middle), self.events.slice(middle)
        self.budget.left -= 2
        second = Request(parts[1], self.budget, behind=self.behind)
        return Request(parts[0], self.budget, behind=second, twin_is_behind=True)

    def chain(self) -> list[Request]:
        """This request and all that wait behind it."""
        return [self, *(self.behind.chain() if self.behind else ())]
