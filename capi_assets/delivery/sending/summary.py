"""Totals of one delivery, for metadata, alerts and progress lines.

The outcome per event is in the ledger, folded in results.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from capi_assets.delivery.causes import Diagnosis, diagnose
from capi_assets.delivery.outcome import Outcome


@dataclass
class Stop:
    """Why nothing more was sent to a dataset in this run, and how many events waited.

    `asked_wait` is how long Meta asked to stay away, where that is why.
    """

    dataset_id: str
    outcome: Outcome
    asked_wait: timedelta | None = None
    events_left: int = 0

    @property
    def reason(self) -> str:
        """The reason of its pending events in `delivery_results`."""
        return self.outcome.reason or "stopped"

    @property
    def diagnosis(self) -> Diagnosis:
        """What is wrong, and what to do."""
        answer = self.outcome
        return diagnose(
            stage="pending",
            reason=answer.reason,
            http_status=answer.http_status,
            code=answer.code,
            subcode=answer.subcode,
        )

    def __str__(self) -> str:
        answer = (
            ("HTTP", self.outcome.http_status),
            ("code", self.outcome.code),
            ("subcode", self.outcome.subcode),
            ("trace", self.outcome.fbtrace_id),
        )
        known = [self.reason, *(f"{name} {value}" for name, value in answer if value is not None)]
        wait = f" Meta asks to stay away for {self.asked_wait}." if self.asked_wait else ""
        found = self.diagnosis
        return (
            f"Dataset {self.dataset_id} stopped because {found.headline} ({', '.join(known)})."
            f"{wait} {found.remedy}"
        )


@dataclass
class DeliverySummary:
    """Totals of one call of `deliver`; counts are events unless named otherwise.

    `pending` counts by reason; `not_sent` counts, by the plan's action, events that need not or may
    not be sent any more once claimed. `stops` raise alerts, `warnings` go to the run log.
    """

    run_id: str
    started_at: datetime
    seconds: float = 0.0
    requests: int = 0
    bytes: int = 0
    delivered: int = 0
    rejected: int = 0
    expired: int = 0
    unknown: int = 0
    pending: Counter[str] = field(default_factory=Counter)
    not_sent: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)  # requests by outcome
    stops: list[Stop] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def count(self, outcome: Outcome, events: int) -> None:
        """Counts events whose attempt was their last in this run."""
        match outcome.state:
            case "delivered":
                self.delivered += events
            case "rejected":
                self.rejected += events
            case "expired":
                self.expired += events
            case "unknown":
                self.unknown += events
            case "refused":
                self.pending[outcome.reason or "refused"] += events

    def warn(self, text: str) -> None:
        """Adds a warning, unless it was added before."""
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True)
class Progress:
    """How far a delivery is, after each response."""

    delivered: int
    settled: int  # rejected, expired, or not to be sent
    pending: int
    unknown: int
    requests: int
    in_flight: int
    seconds: float
