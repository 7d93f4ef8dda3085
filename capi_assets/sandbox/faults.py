"""Faults that can be switched on while the sandbox runs: their kinds, and which calls they hit.

A fault whose response is a Graph error has it here; apply_fault.py makes the others. Faults hit
calls of `/events`; those of the group Access hit reads too; those of Counts hit only /stats and
/dataset_quality.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass as validated

from capi_assets.sandbox.responses import GraphError
from capi_assets.sandbox.settings import STRICT, Share, Time
from capi_assets.sandbox.tokens import proof_required, unknown_token

# What a fault may hit: the connection before it is read, the time until the response, the response
# itself, a read of a node or of what is known of a token, any call of /debug_token, a read of
# counts, the form of /stats.
Stage = Literal["connection", "delay", "events", "reads", "debug_token", "insights", "pages"]

ACCESS = "Access"
ERRORS = "Meta returns errors"
CLOSED = "Connection closed"
SLOW = "Slow"
COUNTS = "Counts"


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault: its label, its group on the page (None: no button), what it may hit,
    whether the events are accepted before it, and its Graph error, if that is always the same."""

    label: str
    group: str | None
    stages: tuple[Stage, ...] = ("events",)
    accepts: bool = False
    error: GraphError | None = None


def _access(label: str, error: GraphError | None = None, *others: Stage) -> FaultKind:
    return FaultKind(label, ACCESS, ("events", "reads", "insights", *others), error=error)


def _accepting(
    label: str, group: str = CLOSED, stage: Stage = "events", error: GraphError | None = None
) -> FaultKind:
    return FaultKind(label, group, (stage,), accepts=True, error=error)


def _error(label: str, error: GraphError, group: str = ERRORS) -> FaultKind:
    return FaultKind(label, group, ("insights" if group == COUNTS else "events",), error=error)


def _refusal(subcode: int, title: str) -> GraphError:
    return GraphError("Invalid parameter", 100, subcode=subcode, title=title)


KINDS: dict[str, FaultKind] = {
    "expired_token": _access("Token expired"),
    "invalid_token": _access("Token unknown", unknown_token()),
    "app_secret_required": _access("App secret required", proof_required(), "debug_token"),
    "permission_lost": _access(
        "Permission lost", GraphError("(#200) Permissions error", 200, status=403)
    ),
    "permission_missing": _access(
        "Permission missing", GraphError("(#100) Missing Permission", 100)
    ),
    "unknown_dataset": _access("Dataset not accessible"),
    "unknown_path": _access(
        "Address unknown", GraphError("Unknown path components: /events", 2500)
    ),
    "not_linked": _error(
        "Page or WhatsApp account not linked",
        _refusal(2804131, "Dataset Not Linked To The Account"),
        ACCESS,
    ),
    "future_event_time": _error(
        "event_time in the future",
        _refusal(2804004, "Event Timestamp Outside The Allowed Window"),
    ),
    "broken_title": _error(
        "Title ends in half an emoji", _refusal(2804019, "Invalid Parameter Value \ud83d")
    ),
    "throttled": _error(
        "Throttled", GraphError("(#4) Application request limit reached", 4, is_transient=True)
    ),
    "server_error": _error(
        "Server error 503",
        GraphError("Service temporarily unavailable", 2, status=503, is_transient=True),
    ),
    "html": FaultKind("HTML error page 502", ERRORS),
    "request_too_large": FaultKind("HTML error page 413", ERRORS),
    "unavailable_text": FaultKind("“Service Unavailable” with 200", ERRORS),
    "redirect": FaultKind("Redirect", ERRORS),
    "error": FaultKind("Any Graph error", None, error=GraphError("Invalid parameter", 100)),
    "hang_up_before_reading": FaultKind(
        "Connection closed before reading", CLOSED, ("connection",)
    ),
    "hang_up_after_accepting": _accepting("Connection closed after accepting"),
    "cut_off_answer": _accepting("Connection closed within the response"),
    "truncated_json": _accepting("Truncated JSON"),
    "too_few_received": _accepting("Fewer events confirmed"),
    "read_timeout": _accepting("No response"),
    "unknown_error": _accepting(
        "Unknown error 500",
        error=GraphError("An unknown error occurred", 1, status=500, subcode=99),
    ),
    "slow": _accepting("Slow", SLOW, "delay"),
    "slow_drip": _accepting("Response byte by byte", SLOW),
    "insights_refused": _error(
        "Insights refused",
        GraphError("(#200) Requires ads_read permission on the dataset", 200, 403),
        COUNTS,
    ),
    "insights_denied": _error(
        "Insights: permission denied", GraphError("(#100) Permission Denied", 100), COUNTS
    ),
    "insights_throttled": _error(
        "Insights throttled",
        GraphError("(#80004) There have been too many calls", 80004, subcode=2446079),
        COUNTS,
    ),
    "insights_in_pages": FaultKind("Stats in pages, one empty", COUNTS, ("pages",)),
}


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; one of {', '.join(KINDS)}")
    return kind


@validated(config=STRICT)
class Fault:
    """One fault that is switched on.

    It hits `share` of the calls that match (with a random generator of its own, `seed`), at most
    `count` times (None: without limit): calls for `dataset` and requests with `event_id`, where
    these are set, from `after` until before `until` on the sandbox's clock. `accepts`: whether the
    events are accepted before it hits; None is the kind's default. `struck` counts its hits.

    `latency_ms` is the delay of slow, the pause between bytes of slow_drip, and the maximum delay
    of read_timeout (0: ten minutes). `http_status`, `message`, `type`, `code`, `subcode`,
    `is_transient`, `title` change the response; `retry_after` (seconds) and `usage_headers` with
    `regain_minutes` are the headers of throttled; `missing` is how many events too_few_received
    does not count; `location` is the target of redirect.

        Fault("server_error", count=2, dataset="1234567890")

    Raises:
        ValueError: the kind is unknown, or a setting is unknown or not valid.
    """

    kind: Annotated[str, AfterValidator(_known)]
    share: Share = 1.0
    count: int | None = None
    dataset: str | None = None
    event_id: str | None = None
    after: Time | None = None
    until: Time | None = None
    seed: int | None = None
    accepts: bool | None = None
    latency_ms: int = 0
    http_status: Annotated[int, Field(ge=200, le=599)] | None = None
    message: str | None = None
    type: str | None = None
    code: int | None = None
    subcode: int | None = None
    is_transient: bool | None = None
    title: str | None = None
    retry_after: int | None = None
    usage_headers: bool = True
    regain_minutes: int = 5
    missing: int = 1
    location: str = "/login/"
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    @property
    def is_accepting(self) -> bool:
        """Whether the events are accepted although the response will not confirm it."""
        return KINDS[self.kind].accepts if self.accepts is None else self.accepts

    @property
    def used_up(self) -> bool:
        return self.count is not None and self.struck >= self.count

    def matches(self, dataset: str, now: datetime) -> bool:
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
        """The fault's kind, share and hits, and the settings that differ from their default."""
        always = ("kind", "share", "struck")
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        defaults = {setting.name: setting.default for setting in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if name in always or value != defaults[name]
        }


class FaultStore:
    """The faults that are on, in the order they were switched on. Safe to use from any thread."""

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()  # replaced as a whole, never changed

    def put(self, fault: Fault) -> Fault:
        """Switches a fault on; it replaces one of the same kind, dataset and event_id."""
        target = (fault.kind, fault.dataset, fault.event_id)
        others = (f for f in self._faults if (f.kind, f.dataset, f.event_id) != target)
        self._faults = (*others, fault)
        return fault

    def remove(self, kind: str | None = None) -> int:
        """Switches off the faults of one kind, or all; returns how many."""
        before = self._faults
        self._faults = tuple(f for f in before if kind not in (None, f.kind))
        return len(before) - len(self._faults)

    def all(self) -> list[Fault]:
        """The faults that are on, including those that are used up."""
        return list(self._faults)

    def draw(
        self,
        stage: Stage,
        dataset: str,
        now: datetime,
        event_ids: Callable[[], Collection[str]] | None = None,
    ) -> Fault | None:
        """The first fault that hits this stage of a call, if one does; counts the hit.

        `event_ids` returns those of the request; None: of a call that has no events.
        """
        for fault in self._faults:
            if stage in KINDS[fault.kind].stages and fault.matches(dataset, now):
                is_for_others = (
                    event_ids is not None
                    and fault.event_id is not None
                    and fault.event_id not in event_ids()
                )
                if not is_for_others and fault.draw():
                    return fault
        return None
