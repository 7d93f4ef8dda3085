"""One request on its way: its events, how often it was tried, and how it is halved when Meta
refuses it without saying which event is guilty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa


@dataclass
class Budget:
    """Requests that the bisection of one original request may still cost."""

    left: int


@dataclass
class Request:
    """Events (columns of `queue.COLUMNS`, and `ref` once claimed) that travel together."""

    events: pa.Table
    budget: Budget
    tries: int = 0
    waits: int = 0  # looks at claims that another run holds
    waits_since: float = field(default=0.0)

    @property
    def is_held(self) -> bool:
        """Whether this run has claimed the events already."""
        return "ref" in self.events.column_names

    def __len__(self) -> int:
        return int(self.events.num_rows)

    def halves(self, guilty: int | None) -> list[Request]:
        """The request in two, each with half of the suspects; both draw on one budget.

        `guilty` is a hint: if it is right, the search ends at once; if not, it costs one request.
        """
        if guilty is not None and 0 <= guilty < len(self):
            rest = [self.events.slice(0, guilty), self.events.slice(guilty + 1)]
            parts = [self.events.slice(guilty, 1), pa.concat_tables(rest)]
        else:
            middle = len(self) // 2
            parts = [self.events.slice(0, middle), self.events.slice(middle)]
        self.budget.left -= len(parts)
        return [Request(part, self.budget) for part in parts]
