"""One request to Meta: its events, how often it was tried, and how it is halved when Meta rejects
it without naming the invalid event.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass
class BisectionBudget:
    """Requests that the bisection of one original request may still cost."""

    remaining: int
    is_spent: bool = False


@dataclass
class Request:
    """Events (columns of `queue.COLUMNS`, and `ref` once claimed) that are sent together.

    The halves of a rejected request go one after the other, `behind` after this one. If a half is
    accepted, its twin must hold the invalid event and is halved again unsent: one request in four
    is saved.
    """

    events: pa.Table
    budget: BisectionBudget
    tries: int = 0
    behind: Request | None = None
    has_twin_behind: bool = False
    is_surely_invalid: bool = False  # its twin was accepted
    claim_checks: int = 0  # of claims that another run holds
    waiting_since: float = 0.0  # for these claims; seconds of the sender's monotonic clock

    @property
    def is_claimed(self) -> bool:
        """Whether this run has claimed the events already."""
        return "ref" in self.events.column_names

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def halved(self, suspect: int | None) -> Request:
        """Two requests, the first with the other behind it, and what was behind this one last.

        `suspect` is the position of the event that Meta seems to blame: it goes first, alone. A
        right hint ends the search at once, a wrong one costs one request.
        """
        if suspect is not None and 0 <= suspect < len(self):
            rest = [self.events.slice(0, suspect), self.events.slice(suspect + 1)]
            parts = self.events.slice(suspect, 1), pa.concat_tables(rest)
        else:
            middle = len(self) // 2
            parts = self.events.slice(0, middle), self.events.slice(middle)
        self.budget.remaining -= 2
        second = Request(parts[1], self.budget, behind=self.behind)
        return Request(parts[0], self.budget, behind=second, has_twin_behind=True)

    def with_followers(self) -> list[Request]:
        """This request and all that wait behind it."""
        return [self, *(self.behind.with_followers() if self.behind else ())]
