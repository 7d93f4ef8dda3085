"""A person's decision about events that no run sends again.

Held events have an unknown outcome past Meta's 48 hours. `resend` treats them as never accepted:
the next materialization sends them, and Meta may count them twice (page "Deduplicate"). `write_off`
treats them as lost for good. `retry` is for events that Meta rejected, such as by a mistake of its
own: they are sent once more, and Meta has none of them. Which events are held or rejected is
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
from capi_assets.delivery.identity import IDENTITY, aligned

DecisionKind = Literal["resend", "write_off", "retry"]

_WITHOUT_EFFECT = pa.array(["rejected", "refused", "expired"])
"""Outcomes of attempts of which Meta accepted nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with the events, with the person and the reason.

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


def undecided(planned: pa.Table, kind: DecisionKind) -> pa.Table:
    """The rows of a plan that a decision of this kind is about, the oldest first: held events, or
    those that Meta rejected."""
    if kind == "retry":
        by_meta = pc.fill_null(pc.not_equal(planned["reason"], reasons.WRITTEN_OFF), True)
        rows = planned.filter(pc.and_(pc.equal(planned["action"], "rejected"), by_meta))
    else:
        rows = planned.filter(pc.equal(planned["action"], "hold_unknown"))
    return rows.sort_by([("occurred_at", "ascending"), ("event_id", "ascending")])


def surely_not_at_meta(known: pa.Table, attempts: pa.Table) -> pa.ChunkedArray:
    """Which events (`known`, as `schema.STATE`) Meta certainly has not: each attempt of theirs is
    recorded, and its response says that nothing was accepted.

    `attempts` is `Ledger.attempts_for` these events. An attempt without a response counts as
    accepted, also if Meta rejected the event later.
    """
    certain = attempts.filter(pc.is_in(attempts["outcome"], value_set=_WITHOUT_EFFECT))
    counted = certain.group_by([*IDENTITY]).aggregate([([], "count_all")])
    recorded = aligned(counted, to=known)["count_all"]
    return pc.fill_null(pc.equal(recorded, known["attempts"]), False)


def decidable(rows: pa.Table, kind: DecisionKind, now: datetime) -> pa.Table:
    """The rows to which this decision applies: past its deadline an event cannot be sent."""
    if kind == "write_off":
        return rows
    in_time = pc.greater(rows["deliver_until"], pa.scalar(now, UTC_MICROSECONDS))
    return rows.filter(pc.and_(in_time, pc.not_equal(rows["reason"], reasons.HELD_TOO_LATE)))
