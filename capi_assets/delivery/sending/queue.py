"""Which events go next: what expires in the same hour by money, the nearest hour first.

Deadlines are whole seconds and nearly all different, so money would never decide without the
hour. Requests are cut here, within Meta's number of events and our number of bytes.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery.policy import Policy

COLUMNS = (
    "dataset_id",
    "event_name",
    "event_id",
    "order_id",
    "occurred_at",
    "event_time",
    "value",
    "currency",
    "deliver_until",
    "verdict",
    "reason",
    "pixel_reported_at",
    "payload_sha256",
    "payload",
)
"""What delivery needs of `matched_events`."""


def by_urgency(events: pa.Table) -> pa.Table:
    """The events (of which `deliver_until` and `value` are read) in the order of their sending."""
    keys = pa.table(
        {
            "hour": pc.floor_temporal(events["deliver_until"], unit="hour"),
            "value": pc.fill_null(events["value"], 0.0),
            "until": events["deliver_until"],
        }
    )
    order = [("hour", "ascending"), ("value", "descending"), ("until", "ascending")]
    return events.take(pc.sort_indices(keys, sort_keys=order))


class Queue:
    """Events of one dataset waiting for their first attempt."""

    def __init__(self) -> None:
        self._tables: deque[pa.Table] = deque()
        self.waiting = 0

    def add(self, events: pa.Table) -> None:
        """Puts the events behind those that wait already, the most urgent of them first."""
        if not events.num_rows:
            return
        # Large offsets: a take over more than 2 GB of payloads would overflow plain ones.
        kept = events.select(COLUMNS)
        at = kept.schema.get_field_index("payload")
        kept = kept.set_column(at, "payload", kept["payload"].cast(pa.large_binary()))
        self._tables.append(by_urgency(kept))
        self.waiting += events.num_rows

    def next_request(self, policy: Policy) -> pa.Table | None:
        """The events of the next request; None if nothing waits."""
        parts: list[pa.Table] = []
        missing = policy.events_per_request
        while missing and self._tables:
            part = self._tables[0].slice(0, missing)
            parts.append(part)
            missing -= part.num_rows
            self._drop(part.num_rows)
        if not parts:
            return None
        request = pa.concat_tables(parts)
        fits = _fitting(request["payload"], policy.bytes_per_request)
        if fits < request.num_rows:
            self._tables.appendleft(request.slice(fits))
            self.waiting += request.num_rows - fits
        return request.slice(0, fits)

    def drain(self) -> list[pa.Table]:
        """Everything that waits; the queue is empty afterwards."""
        tables, self._tables, self.waiting = list(self._tables), deque(), 0
        return tables

    def _drop(self, rows: int) -> None:
        first = self._tables.popleft()
        if first.num_rows > rows:
            self._tables.appendleft(first.slice(rows))
        self.waiting -= rows


def _fitting(payloads: pa.ChunkedArray, limit: int) -> int:
    """How many payloads from the first on fit the limit; a single one that does not goes alone."""
    lengths = pc.fill_null(pc.binary_length(payloads), 0).to_numpy()
    return max(1, int(np.searchsorted(np.cumsum(lengths + 1), limit, side="right")))
