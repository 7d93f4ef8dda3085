"""Finds the invalid events in requests that Meta rejected without naming them.

Its dispatcher calls it once everything else of the dataset was sent. Hours are told apart first,
so that a healthy hour goes out whatever its neighbours are; then each hour with invalid events is
halved again and again, down to single events. The requests that this may cost are shared by the
hours. What remains waits for the next run, which begins with the hours that were tried least.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery.sending.request import Request
from capi_assets.delivery.sending.responses import ResponseDecision

# The least that an hour gets: twice what finds one invalid event in 1,000, so that each run that
# begins an hour settles something of it, and a later one has less to do.
MIN_REQUESTS_PER_HOUR = 40


@dataclass
class Rejected:
    """A request that Meta rejected: at least one of its events is invalid."""

    request: Request
    decision: ResponseDecision
    hours: list[datetime] = field(init=False)

    def __post_init__(self) -> None:
        self.hours = pc.unique(_hours(self.request.events)).to_pylist()


class Bisection:
    """The rejected requests of one dataset, and the requests that their search may still cost."""

    def __init__(self, max_requests: int) -> None:
        self._remaining = max_requests
        self._kept_for_hours = max_requests // 2  # else many hours would leave nothing for events
        self._rejected: list[Rejected] = []
        self._hour: datetime | None = None
        self._hour_ends_at = 0  # of `_remaining`
        self._done: set[datetime] = set()  # hours whose share is spent

    def __len__(self) -> int:
        return len(self._rejected)

    def add(self, request: Request, decision: ResponseDecision) -> None:
        """Adds a rejected request of more than one event."""
        self._rejected.append(Rejected(request, decision))

    def next_part(self) -> Request | None:
        """A part of a rejected request, to be sent before its sibling; None if none may be sent."""
        rejected = self._choose()
        if rejected is None:
            return None
        self._rejected.remove(rejected)
        self._remaining -= 2
        first, second = _split(rejected)
        parent = replace(rejected.decision, suspect_index=None)
        return Request(first, parent=parent, sibling=Request(second, parent=parent))

    def sibling_to_send(self, request: Request, *, is_accepted: bool) -> Request | None:
        """The other part, once `request` is over, if it has to be sent.

        If `request` was accepted, its sibling has the invalid event: it counts as rejected without
        sending it, which saves one request in four.
        """
        sibling = request.sibling
        if sibling is None or sibling.parent is None or not is_accepted or len(sibling) == 1:
            return sibling
        self._remaining += 1
        self.add(sibling, sibling.parent)
        return None

    def take(self) -> list[Rejected]:
        """Takes out all rejected requests, which will not be sent again in this run."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def _choose(self) -> Rejected | None:
        if self._remaining < 2 or not self._rejected:
            return None
        mixed = max(self._rejected, key=lambda rejected: len(rejected.hours))
        if len(mixed.hours) > 1 and self._remaining > self._kept_for_hours:
            return mixed
        if self._hour is not None and self._remaining - 2 < self._hour_ends_at:
            self._done.add(self._hour)
        hours = {rejected.hours[0] for rejected in self._rejected} - self._done
        if not hours:
            return None
        if self._hour not in hours:
            self._hour = min(hours, key=self._attempts)
            share = max(MIN_REQUESTS_PER_HOUR, self._remaining // len(hours))
            self._hour_ends_at = self._remaining - share
        # The last one added is the smallest part of its hour: single events are found soon.
        return next(r for r in reversed(self._rejected) if r.hours[0] == self._hour)

    def _attempts(self, hour: datetime) -> float:
        """How often the events of an hour were attempted in runs before, on average."""
        tables = [r.request.events for r in self._rejected if r.hours[0] == hour]
        attempts = pa.concat_tables([table.select(["attempts"]) for table in tables])["attempts"]
        return float(pc.mean(attempts).as_py())


def _split(rejected: Rejected) -> tuple[pa.Table, pa.Table]:
    """The event that Meta blames and the rest; else halves, between two hours if there are several.

    A right hint ends the search at once, a wrong one costs one request.
    """
    events, suspect = rejected.request.events, rejected.decision.suspect_index
    if suspect is not None and 0 <= suspect < events.num_rows:
        rest = [events.slice(0, suspect), events.slice(suspect + 1)]
        return events.slice(suspect, 1), pa.concat_tables(rest)
    middle = events.num_rows // 2
    # Those tried least go first: each run tries other single events than the run before.
    events = events.take(pc.array_sort_indices(events["attempts"]))
    if len(rejected.hours) > 1:
        hours = _hours(events)
        order = pc.sort_indices(hours)
        events, hours = events.take(order), hours.take(order)
        ends = np.flatnonzero(np.diff(hours.to_numpy().astype(np.int64))) + 1
        middle = int(ends[np.argmin(np.abs(ends - middle))])
    return events.slice(0, middle), events.slice(middle)


def _hours(events: pa.Table) -> pa.ChunkedArray:
    return pc.floor_temporal(events["occurred_at"], unit="hour")
