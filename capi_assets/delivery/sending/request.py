"""One request to Meta: its events, how often it was tried, and its other part if it was split."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from capi_assets.delivery.sending.responses import ResponseDecision


@dataclass
class Request:
    """Events that are sent together: columns of `queue.COLUMNS`, and `CLAIM_COLUMNS` once claimed.

    If it is a part of a rejected request, `parent` is the decision about that one, and `sibling` is
    the other part, which is sent after this one.
    """

    events: pa.Table
    tries: int = 0
    parent: ResponseDecision | None = None
    sibling: Request | None = None
    claim_checks: int = 0  # of claims that another run holds
    waiting_since: float = 0.0  # for these claims; seconds of the sender's monotonic clock
    attempt: int | None = None  # the ledger's number, once it left

    @property
    def is_claimed(self) -> bool:
        """Whether this run has claimed the events already."""
        return "ref" in self.events.column_names

    def __len__(self) -> int:
        return int(self.events.num_rows)


CLAIM_COLUMNS = ("ref", "attempts", "last_attempt_at")
"""The ledger's row of each event; how often, and when last, it was attempted before this claim."""
