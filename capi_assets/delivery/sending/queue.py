"""The events of one dataset that wait for their first attempt, first in, first out.

Requests are cut here, within Meta's number of events and our number of bytes. The order in which
events come is decided before, in hours_to_send.py.
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
    "person",
    "payload_sha256",
    "payload",
)
"""What delivery needs of `matched_events`."""


class Queue:
    """Events of one dataset waiting for their first attempt."""

    def __init__(self) -> None:
        self._tables: deque[pa.Table] = deque()
        self.waiting = 0

    def add(self, events: pa.Table) -> None:
        """Puts the events, in their order, behind those that wait already."""
        if not events.num_rows:
            return
        rows = events.select(COLUMNS)
        at = rows.schema.get_field_index("payload")
        # As bytes, which is what is sent; large, since tables joined may pass 2 GB of payloads.
        self._tables.append(rows.set_column(at, "payload", rows["payload"].cast(pa.large_binary())))
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


def _fitting(payloads: pa.ChunkedArray, max_bytes: int) -> int:
    """How many payloads from the first on fit; a single one that does not fit goes alone."""
    lengths = pc.fill_null(pc.binary_length(payloads), 0).to_numpy()
    return max(1, int(np.searchsorted(np.cumsum(lengths + 1), max_bytes, side="right")))
