"""Why orders are missing: from the evidence of one outcome (stage, reason, Meta's codes) to one
cause, and from a cause to what to do about it.

Which hours are flagged is in flags.py. Meta's codes are sorted by `meta.graph.errors.classify`, the
words for what delivery decided are in `delivery.reasons`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from capi_assets.delivery import reasons
from capi_assets.meta.graph.errors import TOKEN_SETTINGS, ErrorKind, classify


class Cause(StrEnum):
    """Why an hour is flagged. One per hour: the one that costs most orders."""

    TOKEN = "token"
    PERMISSION = "permission"
    THROTTLED = "throttled"
    META_DOWN = "meta_down"
    PAYLOAD = "payload"
    VISITS_MISSING = "visits_missing"
    ORDERS_MISSING = "orders_missing"
    NOT_MATERIALIZED = "not_materialized"
    MATCH_KEYS_LOST = "match_keys_lost"
    QUARANTINE = "quarantine"
    TIME_BUDGET = "time_budget"
    UNKNOWN_OUTCOME = "unknown_outcome"
    TOO_LATE = "too_late"
    UNEXPLAINED = "unexplained"

    @property
    def headline(self) -> str:
        """What happened, as a clause without capital or full stop."""
        return _ADVICE[self].headline

    def headline_for(self, reasons: Iterable[str]) -> str:
        """The headline, more precise where the commonest of `reasons` (it comes first) is."""
        return _PRECISE.get((self, next(iter(reasons), None)), self.headline)

    @property
    def remedy(self) -> str:
        """What a person should do, without the range to materialize."""
        return _ADVICE[self].remedy

    def remedy_for(self, reasons: Iterable[str]) -> str:
        """The remedy, more precise where the commonest of `reasons` (it comes first) is."""
        return _PRECISE_REMEDY.get((self, next(iter(reasons), None)), self.remedy)

    @property
    def cured_by_data(self) -> bool:
        """Whether the fault lies in single rows: a trickle is normal, and needs other input."""
        return self in _IN_THE_DATA

    @property
    def matched_again(self) -> bool:
        """Whether its cure begins before delivery, so that orders look for their visits again."""
        return self in _BEFORE_DELIVERY

    @property
    def certain(self) -> bool:
        """Whether waiting cannot help, so that not even the hour's end need be awaited."""
        return self in (Cause.TOKEN, Cause.PERMISSION)


@dataclass(frozen=True, slots=True)
class _Advice:
    headline: str
    remedy: str


_IN_THE_DATA = frozenset({Cause.PAYLOAD, Cause.MATCH_KEYS_LOST, Cause.QUARANTINE})

_BEFORE_DELIVERY = _IN_THE_DATA | {Cause.VISITS_MISSING, Cause.ORDERS_MISSING}

_ADVICE = {
    Cause.TOKEN: _Advice(
        "the access token is not accepted",
        f"Create a new access token in Events Manager and set {TOKEN_SETTINGS}, then materialize"
        " the range.",
    ),
    Cause.PERMISSION: _Advice(
        "the token may not write to the dataset",
        "Give the token's system user access to the dataset in Business Settings and check"
        " CAPI_DATASET_ID, then materialize the range.",
    ),
    Cause.THROTTLED: _Advice(
        "Meta limits our calls",
        "Wait until the limit lifts, then materialize the range; calling on prolongs the block.",
    ),
    Cause.META_DOWN: _Advice(
        "Meta does not answer as it should",
        "Look at metastatus.com and at any proxy in between; once Meta answers, materialize the"
        " range. Within 48 hours of the first attempt nothing is counted twice.",
    ),
    Cause.PAYLOAD: _Advice(
        "events are refused for what they carry",
        "Look at the reasons in delivery_results and correct the orders at their source, then"
        " materialize the range from orders on.",
    ),
    Cause.VISITS_MISSING: _Advice(
        "visits are missing",
        "Bring back the hour's visits (tracker, landing folder or SQL model), then materialize"
        " the range from visits on, so that orders find their match keys.",
    ),
    Cause.ORDERS_MISSING: _Advice(
        "fewer orders arrived than their visits promise",
        "Compare with the shop's books. Bring back what is missing (export, landing folder or SQL"
        " model), then materialize the range from orders on. If the shop was closed, nothing is"
        " lost.",
    ),
    Cause.NOT_MATERIALIZED: _Advice(
        "the hours were not materialized",
        "Materialize the range. If the schedule should have done it, see that it and the Dagster"
        " daemon run.",
    ),
    Cause.MATCH_KEYS_LOST: _Advice(
        "orders carry too few match keys",
        "See which match keys the orders lost against earlier hours and mend their source, then"
        " materialize the range from orders on.",
    ),
    Cause.QUARANTINE: _Advice(
        "orders break their contract",
        "Read the quarantine of these hours: it names file, line and reason. Correct the source,"
        " then materialize the range from orders on.",
    ),
    Cause.TIME_BUDGET: _Advice(
        "the run ended before every event had its turn",
        "Materialize the range again: only what is left is sent. If it recurs, raise"
        " CAPI_TIME_BUDGET_SECONDS or CAPI_REQUESTS_IN_FLIGHT.",
    ),
    Cause.UNKNOWN_OUTCOME: _Advice(
        "the fate of events is unknown and they are held",
        "Compare these hours with Events Manager, decide with `capi-assets resolve` to resend the"
        " events or to write them off, then materialize the range.",
    ),
    Cause.TOO_LATE: _Advice(
        "orders were too old when their turn came",
        "Nothing can be sent any more. Find out why these orders came so late.",
    ),
    Cause.UNEXPLAINED: _Advice(
        "events are undelivered for a reason this version does not know",
        "Look at the reasons in delivery_results, then materialize the range.",
    ),
}

_PRECISE: dict[tuple[Cause, str | None], str] = {
    (Cause.TOKEN, reasons.NO_ACCESS): "no access token is set up for the dataset",
    (Cause.NOT_MATERIALIZED, reasons.FUTURE): "orders are dated in the future",
}

_PRECISE_REMEDY: dict[tuple[Cause, str | None], str] = {
    (Cause.NOT_MATERIALIZED, reasons.FUTURE): (
        "Check clock and time zone of where these orders come from, or materialize the range once"
        " their time has come."
    ),
}

_BY_KIND = {
    ErrorKind.TRANSIENT: Cause.META_DOWN,
    ErrorKind.THROTTLED: Cause.THROTTLED,
    ErrorKind.TOKEN: Cause.TOKEN,
    ErrorKind.PERMISSION: Cause.PERMISSION,
    ErrorKind.PAYLOAD: Cause.PAYLOAD,
    ErrorKind.EXPIRED: Cause.TOO_LATE,
    ErrorKind.UNKNOWN_OUTCOME: Cause.META_DOWN,
}

VISIT_SUPPLIED_REASONS = frozenset({"missing_client_user_agent", "missing_event_source_url"})
"""Reasons of invalid events that lack what a visit lends: see `meta.events.refusals`."""

NOT_PLANNED = "not_planned"
"""The reason of an event that has no delivery result: its delivery was never materialized."""

_BY_REASON = {
    NOT_PLANNED: Cause.NOT_MATERIALIZED,
    reasons.TOKEN_EXPIRED: Cause.TOKEN,
    reasons.TOKEN_INVALID: Cause.TOKEN,
    reasons.PERMISSION_LOST: Cause.PERMISSION,
    reasons.NO_ACCESS: Cause.TOKEN,
    reasons.THROTTLED: Cause.THROTTLED,
    reasons.META_DOWN: Cause.META_DOWN,
    reasons.REDIRECTED: Cause.META_DOWN,
    reasons.NO_ANSWER: Cause.META_DOWN,
    reasons.UNEXPECTED_ANSWER: Cause.META_DOWN,
    reasons.REFUSED_TOGETHER: Cause.PAYLOAD,
    reasons.BISECTION_BUDGET: Cause.PAYLOAD,
    reasons.TIME_BUDGET: Cause.TIME_BUDGET,
    reasons.CLAIMED_ELSEWHERE: Cause.TIME_BUDGET,
    reasons.INTERRUPTED: Cause.TIME_BUDGET,
    reasons.IN_FLIGHT: Cause.TIME_BUDGET,
    reasons.NOT_ATTEMPTED: Cause.TIME_BUDGET,
    reasons.CORRECTED: Cause.NOT_MATERIALIZED,
    reasons.RESEND_DECIDED: Cause.NOT_MATERIALIZED,
    reasons.HELD: Cause.UNKNOWN_OUTCOME,
    reasons.HELD_TOO_LATE: Cause.UNKNOWN_OUTCOME,
}

_BY_STAGE = {
    "quarantined": Cause.QUARANTINE,
    "invalid": Cause.PAYLOAD,
    "rejected": Cause.PAYLOAD,
    "expired": Cause.TOO_LATE,
    "unknown": Cause.UNKNOWN_OUTCOME,
    "future_dated": Cause.NOT_MATERIALIZED,
}

_EXPIRED_SUBCODES = frozenset({2804003, 2804004})
_WEAK_MATCH_KEYS = 2804050


def cause_of(
    *,
    stage: str,
    reason: str | None,
    http_status: int | None,
    code: int | None,
    subcode: int | None,
) -> Cause:
    """The cause of one undelivered order.

    `stage` is the waterfall's; `code` and `subcode` are Meta's, of the latest attempt. An expired
    event keeps the cause of its last failed attempt: the token lost it, not the calendar.
    """
    if reason == reasons.WRITTEN_OFF:  # settled by a person, not refused by Meta
        return Cause.UNKNOWN_OUTCOME
    if stage in ("invalid", "rejected", "quarantined"):
        if subcode == _WEAK_MATCH_KEYS:
            return Cause.MATCH_KEYS_LOST
        return Cause.TOO_LATE if subcode in _EXPIRED_SUBCODES else _BY_STAGE[stage]
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if code is not None or http_status is not None:
        answered = _BY_KIND.get(classify(http_status, code, subcode))
        if answered:
            return answered
    return _BY_STAGE.get(stage, Cause.UNEXPLAINED)
