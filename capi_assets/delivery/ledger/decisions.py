"""A person's decision about held events: those with unknown outcome past Meta's 48 hours.

`resend` treats them as never accepted: the next materialization sends them, and Meta may count
them twice (page "Deduplicate"). `write_off` treats them as lost for good. Which events are held is
decided in plan.py; `Ledger.decide` records a decision with its author.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.delivery import reasons

DecisionKind = Literal["resend", "write_off"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`resend` or `write_off` held events, with the person and the reason.

        Decision("resend", who="Ada", why="not in Events Manager")

    Raises:
        ValueError: the person or the reason is empty, or too long.
    """

    kind: DecisionKind
    who: str
    why: str

    def __post_init__(self) -> None:
        for name in ("who", "why"):
            text = getattr(self, name).strip()
            if not text or "\0" in text:
                raise ValueError(f"{name} is empty or contains NUL")
        if len(self.who) > 256:
            raise ValueError("who is longer than 256 characters")


def held(planned: pa.Table) -> pa.Table:
    """The rows of a plan that wait for a person's decision, the oldest first."""
    rows = planned.filter(pc.equal(planned["action"], "hold_unknown"))
    return rows.sort_by([("occurred_at", "ascending"), ("event_id", "ascending")])


def decidable(rows: pa.Table, kind: DecisionKind, now: datetime) -> pa.Table:
    """The held rows to which this decision applies: past its deadline an event cannot be resent."""
    if kind == "write_off":
        return rows
    in_time = pc.greater(rows["deliver_until"], pa.scalar(now, UTC_MICROSECONDS))
    return rows.filter(pc.and_(in_time, pc.not_equal(rows["reason"], reasons.HELD_TOO_LATE)))
