"""Faults that can be switched on while the sandbox runs: their kinds, and which calls they hit.

The response of each fault is in apply_fault.py. Faults hit calls of `/events`; those of token and
permission hit reads too; those of insights hit only /stats and /dataset_quality.
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
    """One kind of fault: its label, and whether the events are accepted before it."""

    label: str
    accepts: bool = False
    hits_reads: bool = False
    only_insights: bool = False


KINDS: dict[str, FaultKind] = {
    "expired_token": FaultKind("Token expired", hits_reads=True),
    "invalid_token": FaultKind("Token unknown", hits_reads=True),
    "permission_lost": FaultKind("Permission lost", hits_reads=True),
    "unknown_dataset": FaultKind("Dataset not accessible", hits_reads=True),
    "throttled": FaultKind("Throttled"),
    "server_error": FaultKind("Server error 503"),
    "html": FaultKind("HTML error page 502"),
    "unavailable_text": FaultKind("“Service Unavailable” with 200"),
    "redirect": FaultKind("Redirect"),
    "error": FaultKind("Any Graph error"),
    "hang_up_before_reading": FaultKind("Connection closed before reading"),
    "hang_up_after_accepting": FaultKind("Connection closed after accepting", accepts=True),
    "cut_off_answer": FaultKind("Connection closed within the response", accepts=True),
    "truncated_json": FaultKind("Truncated JSON", accepts=True),
    "too_few_received": FaultKind("Fewer events confirmed", accepts=True),
    "read_timeout": FaultKind("No response", accepts=True),
    "slow": FaultKind("Slow", accepts=True),
    "slow_drip": FaultKind("Response byte by byte", accepts=True),
    "insights_refused": FaultKind("Insights refused", only_insights=True),
    "insights_throttled": FaultKind("Insights throttled", only_insights=True),
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

    It hits `share` of the calls that match (with a random generator of its own, `seed`), at most
    `count` times (None: without limit): calls for `dataset` and requests with `event_id`, where
    these are set, from `after` until before `until` on the sandbox's clock. `accepts`: whether the
    events are accepted before it hits; None is the kind's default. `struck` counts its hits.

    `latency_ms` is the delay of slow, the pause between bytes of slow_drip, and the maximum delay
    of read_timeout (0: ten minutes). `http_status`, `code`, `subcode`, `is_transient` change the
    response; `retry_after` (seconds) and `usage_headers` with `regain_minutes` are the headers of
    throttled; `missing` is how many events too_few_received does not count; `location` is the
    target of redirect.

        Fault("server_error", count=2, dataset="1234567890")

    Raises:
        ValueError: the kind is unknown, or a setting is out of range.
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
    _rng: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; one of {', '.join(KINDS)}")
        if not 0 <= self.share <= 1:
            raise ValueError("share must be between 0 and 1")
        for name in WHOLE_NUMBERS:
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise ValueError(f"{name} must be a whole number")
        for name in ("after", "until"):
            at = getattr(self, name)
            if at is not None and (not isinstance(at, datetime) or at.tzinfo is None):
                raise ValueError(f"{name} must be a datetime with a zone")
        if self.http_status is not None and not 200 <= self.http_status <= 599:
            raise ValueError("http_status must be between 200 and 599")
        self._rng = random.Random(self.seed)

    @property
    def is_accepting(self) -> bool:
        """Whether the events are accepted although the response will not confirm it."""
        return KINDS[self.kind].accepts if self.accepts is None else self.accepts

    @property
    def used_up(self) -> bool:
        """Whether it has hit as often as it may."""
        return self.count is not None and self.struck >= self.count

    def matches(self, dataset: str, now: datetime) -> bool:
        """Whether it may hit a call for this dataset at this time."""
        return (
            not self.used_up
            and (self.dataset is None or self.dataset == dataset)
            and (self.after is None or now >= self.after)
            and (self.until is None or now < self.until)
        )

    def draw(self) -> bool:
        """Whether it hits this call, at random; counts the hit."""
        is_hit = self.share >= 1 or self._rng.random() < self.share
        self.struck += is_hit
        return is_hit

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON, without settings that have their default."""
        settings: dict[str, Any] = {"kind": self.kind, "share": self.share, "struck": self.struck}
        for field_ in fields(self):
            name, value = field_.name, getattr(self, field_.name)
            if name in settings or name.startswith("_") or value == field_.default:
                continue
            settings[name] = value.isoformat() if isinstance(value, datetime) else value
        return settings


def read_fault(document: Mapping[str, Any]) -> Fault:
    """A fault from its JSON form.

    Raises:
        ValueError: a setting is unknown or not valid; the message names it.
    """
    settings = dict(document)
    allowed = {setting.name for setting in fields(Fault) if setting.init} - {"struck"}
    if unknown := settings.keys() - allowed:
        raise ValueError(
            f"unknown setting: {', '.join(sorted(unknown))}; one of {', '.join(sorted(allowed))}"
        )
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
        """Switches a fault on; it replaces one of the same kind, dataset and event_id."""
        target = (fault.kind, fault.dataset, fault.event_id)
        with self._lock:
            for number, other in list(self._faults.items()):
                if (other.kind, other.dataset, other.event_id) == target:
                    del self._faults[number]
            self._faults[next(self._numbers)] = fault
        return fault

    def remove(self, kind: str | None = None) -> int:
        """Switches off the faults of one kind, or all; returns how many."""
        with self._lock:
            removed = [n for n, fault in self._faults.items() if kind in (None, fault.kind)]
            for number in removed:
                del self._faults[number]
        return len(removed)

    def all(self) -> list[Fault]:
        """The faults that are on, including those that are used up."""
        with self._lock:
            return list(self._faults.values())

    def before_reading(self, dataset: str, now: datetime) -> Fault | None:
        """The fault that hits before the request is read, if one does."""
        return self._draw(dataset, now, lambda fault: fault.kind == "hang_up_before_reading")

    def on_events(
        self, dataset: str, now: datetime, event_ids: Callable[[], Collection[str]]
    ) -> tuple[Fault | None, int]:
        """The first fault that hits this request, and the milliseconds that slow adds to it."""
        latency = 0

        def is_possible(fault: Fault) -> bool:
            if fault.kind == "hang_up_before_reading" or KINDS[fault.kind].only_insights:
                return False
            return fault.event_id is None or fault.event_id in event_ids()

        slow = self._draw(dataset, now, lambda fault: fault.kind == "slow" and is_possible(fault))
        if slow is not None:
            latency = slow.latency_ms
        return self._draw(dataset, now, lambda f: f.kind != "slow" and is_possible(f)), latency

    def on_read(self, dataset: str, now: datetime) -> Fault | None:
        """The token or permission fault that hits a read, if one does."""
        return self._draw(dataset, now, lambda fault: KINDS[fault.kind].hits_reads)

    def on_insights(self, dataset: str, now: datetime) -> Fault | None:
        """The fault that hits a read of /stats or /dataset_quality, if one does."""

        def is_possible(fault: Fault) -> bool:
            return KINDS[fault.kind].hits_reads or KINDS[fault.kind].only_insights

        return self._draw(dataset, now, is_possible)

    def _draw(
        self, dataset: str, now: datetime, is_possible: Callable[[Fault], bool]
    ) -> Fault | None:
        with self._lock:
            for fault in self._faults.values():
                if fault.matches(dataset, now) and is_possible(fault) and fault.draw():
                    return fault
        return None
