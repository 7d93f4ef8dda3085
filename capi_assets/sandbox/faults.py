"""Faults that can be switched on while the sandbox runs: what they are, and when they strike.

How a fault looks on the wire stands in `misbehaviour`. Faults strike calls of `/events`; those of
token and permission strike reads too; those of insights strike nothing but /stats and
/dataset_quality.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from threading import Lock
from typing import Any

from capi_assets.sandbox.clock import parse_utc


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault: what it does in a word, and whether the events are booked before it."""

    says: str
    accepts: bool = False
    strikes_reads: bool = False
    only_insights: bool = False


KINDS: dict[str, FaultKind] = {
    "expired_token": FaultKind("Token expired", strikes_reads=True),
    "invalid_token": FaultKind("Token unknown", strikes_reads=True),
    "permission_lost": FaultKind("Permission lost", strikes_reads=True),
    "unknown_dataset": FaultKind("Dataset out of reach", strikes_reads=True),
    "throttled": FaultKind("Throttled"),
    "server_error": FaultKind("Server error 503"),
    "html": FaultKind("HTML error page 502"),
    "unavailable_text": FaultKind("“Service Unavailable” with 200"),
    "redirect": FaultKind("Redirect"),
    "error": FaultKind("A refusal of your choice"),
    "hang_up_before_reading": FaultKind("Hangs up before reading"),
    "hang_up_after_accepting": FaultKind("Hangs up after accepting", accepts=True),
    "cut_off_answer": FaultKind("Hangs up in the middle of the answer", accepts=True),
    "truncated_json": FaultKind("Answer cut short", accepts=True),
    "too_few_received": FaultKind("Counts too few", accepts=True),
    "read_timeout": FaultKind("Never answers", accepts=True),
    "slow": FaultKind("Slow", accepts=True),
    "slow_drip": FaultKind("Answers byte by byte", accepts=True),
    "insights_refused": FaultKind("Counts may not be read", only_insights=True),
    "insights_throttled": FaultKind("Counts are throttled", only_insights=True),
}


WHOLE_NUMBERS = (
    "count",
    "seed",
    "latency_ms",
    "http_status",
    "code",
    "subcode",
    "retry_after",
    "regain_minutes",
    "missing",
)


@dataclass
class Fault:
    """One fault that is switched on.

    `share` of the calls it meets is struck (by a generator of its own, `seed`), at most `count`
    times (None: no end), only for `dataset` and only for requests that hold `event_id` where these
    are set, from `after` until before `until` on the sandbox's clock. `accepts` says whether the
    events are booked before it strikes; None takes the kind's own way.

    `latency_ms` is the delay of slow, the pause between bytes of slow_drip, and the longest
    silence of read_timeout (0: ten minutes). `http_status`, `code`, `subcode`, `is_transient`
    change what is answered; `retry_after` (seconds) and `usage_headers` with `regain_minutes`
    what throttled says about coming back; `missing` how many too_few_received hides; `location`
    where redirect points.
    """

    kind: str
    share: float = 1.0
    count: int | None = None
    dataset: str | None = None
    event_id: str | None = None
    after: datetime | None = None
    until: datetime | None = None
    seed: int | None = None
    accepts: bool | None = None
    latency_ms: int = 0
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None
    is_transient: bool | None = None
    retry_after: int | None = None
    usage_headers: bool = True
    regain_minutes: int = 5
    missing: int = 1
    location: str = "/login/"
    struck: int = 0
    _dice: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; one of {', '.join(KINDS)}")
        if not 0 <= self.share <= 1:
            raise ValueError("share must lie between 0 and 1")
        for name in WHOLE_NUMBERS:
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise ValueError(f"{name} must be a whole number")
        for name in ("after", "until"):
            at = getattr(self, name)
            if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
                raise ValueError(f"{name} must be a time with its zone")
        if self.http_status is not None and not 200 <= self.http_status <= 599:
            raise ValueError("http_status must lie between 200 and 599")
        self._dice = random.Random(self.seed)

    @property
    def books_events(self) -> bool:
        """Whether the events count although the answer will not say so."""
        return KINDS[self.kind].accepts if self.accepts is None else self.accepts

    @property
    def used_up(self) -> bool:
        """Whether it has struck as often as it was meant to."""
        return self.count is not None and self.struck >= self.count

    def meets(self, dataset: str, now: datetime) -> bool:
        """Whether a call on this dataset at this moment is one it may strike."""
        return (
            not self.used_up
            and (self.dataset is None or self.dataset == dataset)
            and (self.after is None or now >= self.after)
            and (self.until is None or now < self.until)
        )

    def strikes(self) -> bool:
        """Throw the dice once; counts the hit."""
        hit = self.share >= 1 or self._dice.random() < self.share
        self.struck += hit
        return hit

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON, without what was left at its default."""
        told: dict[str, Any] = {"kind": self.kind, "share": self.share, "struck": self.struck}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in told or one.name.startswith("_") or value == one.default:
                continue
            told[one.name] = value.isoformat() if isinstance(value, datetime) else value
        return told


def read_fault(given: Mapping[str, Any]) -> Fault:
    """A fault from its JSON form; ValueError names what cannot be read."""
    settings = dict(given)
    allowed = {one.name for one in fields(Fault) if one.init} - {"struck"}
    if unknown := settings.keys() - allowed:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(allowed)}")
    if "kind" not in settings:
        raise ValueError(f"kind is missing; one of {', '.join(KINDS)}")
    for name in ("after", "until"):
        if isinstance(settings.get(name), str):
            settings[name] = parse_utc(settings[name])
    try:
        return Fault(**settings)
    except TypeError as wrong:
        raise ValueError(str(wrong)) from wrong


class FaultStore:
    """The faults that are on, in the order they were switched on. Safe to use from any thread."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._numbers = itertools.count(1)
        self._lock = Lock()

    def put(self, fault: Fault) -> Fault:
        """Switch a fault on; it replaces one of the same kind, dataset and event_id."""
        aim = (fault.kind, fault.dataset, fault.event_id)
        with self._lock:
            for number, other in list(self._faults.items()):
                if (other.kind, other.dataset, other.event_id) == aim:
                    del self._faults[number]
            self._faults[next(self._numbers)] = fault
        return fault

    def remove(self, kind: str | None = None) -> int:
        """Switch off the faults of one kind, or all; how many went off."""
        with self._lock:
            gone = [n for n, fault in self._faults.items() if kind in (None, fault.kind)]
            for number in gone:
                del self._faults[number]
        return len(gone)

    def all(self) -> list[Fault]:
        """The faults that are on, used up ones included."""
        with self._lock:
            return list(self._faults.values())

    def at_the_door(self, dataset: str, now: datetime) -> Fault | None:
        """The fault that strikes before the request is read, if one does."""
        return self._draw(dataset, now, lambda fault: fault.kind == "hang_up_before_reading")

    def on_events(
        self, dataset: str, now: datetime, event_ids: Callable[[], Collection[str]]
    ) -> tuple[Fault | None, int]:
        """The first fault that strikes this request, and the milliseconds that slow adds to it."""
        latency = 0

        def fits(fault: Fault) -> bool:
            if fault.kind == "hang_up_before_reading" or KINDS[fault.kind].only_insights:
                return False
            return fault.event_id is None or fault.event_id in event_ids()

        slow = self._draw(dataset, now, lambda fault: fault.kind == "slow" and fits(fault))
        if slow is not None:
            latency = slow.latency_ms
        return self._draw(dataset, now, lambda f: f.kind != "slow" and fits(f)), latency

    def on_read(self, dataset: str, now: datetime) -> Fault | None:
        """The token or permission fault that strikes a read, if one does."""
        return self._draw(dataset, now, lambda fault: KINDS[fault.kind].strikes_reads)

    def on_insights(self, dataset: str, now: datetime) -> Fault | None:
        """The fault that strikes a read of counts or quality, if one does."""

        def fits(fault: Fault) -> bool:
            return KINDS[fault.kind].strikes_reads or KINDS[fault.kind].only_insights

        return self._draw(dataset, now, fits)

    def _draw(self, dataset: str, now: datetime, fits: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._faults.values():
                if fault.meets(dataset, now) and fits(fault) and fault.strikes():
                    return fault
        return None
