"""What went wrong, what it is called, and what to do: one table for every reader.

`diagnose` looks up the evidence that the ledger and `delivery_results` store (stage, reason, HTTP
status, Meta's code and subcode). Run log, checks, gaps, alerts, `explain`, `preflight`, `doctor`,
the report and automatic recovery all read the `Diagnosis` it finds, so they cannot disagree. Which
word an answer of Meta's gets is decided once, in `meta.graph.errors.classify`.

`diagnose(stage="pending", reason="app_blocked", http_status=400, code=368, subcode=None).cause`
is `Cause.BLOCKED`. The texts are in causes.toml. Which hours are flagged for a cause is in
coverage/flags.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from capi_assets.delivery import reasons
from capi_assets.meta.events.refusals import REFUSAL_TEXTS
from capi_assets.meta.graph.error_subcodes import (
    EXPIRED_SUBCODE,
    SUBCODES,
    is_payload_subcode,
    subcode_name,
)
from capi_assets.meta.graph.errors import Body, ErrorKind, MetaError, classify
from capi_assets.order_identity import IDENTITY_CONFLICT
from capi_assets.table_files import table_beside

TOKEN_SETTINGS = (
    "CAPI_ACCESS_TOKEN (or the file CAPI_ACCESS_TOKEN_FILE names, or the dataset's variable in"
    " CAPI_DATASETS)"
)
"""Where an access token is set, for remedies."""

NOT_PLANNED = "not_planned"
"""The reason of an event that has no delivery result: its delivery was never materialized."""


class Cause(StrEnum):
    """Why an hour is flagged."""

    TOKEN = "token"
    PERMISSION = "permission"
    BLOCKED = "blocked"
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
    CONSENT_MISSING = "consent_missing"
    CONFIRMATIONS_MISSING = "confirmations_missing"
    ORDERS_DOUBLED = "orders_doubled"
    VALUE_CHANGED = "value_changed"
    LATE_DELIVERY = "late_delivery"
    TIME_SHIFT = "time_shift"
    LANDING_STOPPED = "landing_stopped"

    @property
    def headline(self) -> str:
        """What happened, as a clause without capital or full stop."""
        return _OF_CAUSE[self].headline

    def headline_for(self, reasons: Iterable[str]) -> str:
        """The headline of the first of `reasons` (the commonest) that has this cause."""
        return self.diagnosis_for(reasons).headline

    @property
    def remedy(self) -> str:
        """What a person should do, without the range to materialize."""
        return _OF_CAUSE[self].remedy

    def remedy_for(self, reasons: Iterable[str]) -> str:
        """The remedy of the first of `reasons` (the commonest) that has this cause."""
        return self.diagnosis_for(reasons).remedy

    def diagnosis_for(self, reasons: Iterable[str]) -> Diagnosis:
        """The diagnosis of the first of `reasons` that has this cause, else the cause's own."""
        known = (DIAGNOSES.get(reason) for reason in reasons)
        return next((d for d in known if d and d.cause is self), _OF_CAUSE[self])

    @property
    def ended_by(self) -> EndedBy:
        """What ends it."""
        return _OF_CAUSE[self].ended_by

    @property
    def cured_by_data(self) -> bool:
        """Whether single rows are at fault: a few are normal, and need other input."""
        return self in (Cause.PAYLOAD, Cause.MATCH_KEYS_LOST, Cause.QUARANTINE)

    @property
    def matched_again(self) -> bool:
        """Whether its cure begins before delivery, so that orders look for their visits again."""
        return self.ended_by is EndedBy.DATA

    @property
    def brings_orders(self) -> bool:
        """Whether its cure brings orders that nobody has counted yet, until Meta's deadline."""
        return self in (
            *(Cause.ORDERS_MISSING, Cause.LANDING_STOPPED, Cause.TIME_SHIFT),
            *(Cause.CONSENT_MISSING, Cause.CONFIRMATIONS_MISSING),
        )

    @property
    def certain(self) -> bool:
        """Whether waiting cannot help, so that not even the hour's end need be awaited."""
        return self in (Cause.TOKEN, Cause.PERMISSION, Cause.BLOCKED)

    @property
    def warns_only(self) -> bool:
        """Whether orders are sent, but differ from usual: a warning, however many there are."""
        return self in (Cause.ORDERS_DOUBLED, Cause.VALUE_CHANGED, Cause.LATE_DELIVERY)


class EndedBy(StrEnum):
    """Who or what can end a trouble."""

    WAITING = "waiting"  # it passes; a preflight shows when
    SETUP = "set_up"  # a person changes a setting or a right; a preflight shows when
    PERSON = "person"  # a person clears it up with Meta, or decides; asking again does harm
    DATA = "data"  # other input, matched and built again
    RUN = "run"  # a run is all that is missing
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong and what to do about it.

    Attributes:
        headline: what happened, as a clause without capital or full stop.
        action: what a person should do, in sentences; complete where no hours are spoken of.
        then: what to do with the hours afterwards; may be empty.
    """

    cause: Cause
    headline: str
    action: str
    ended_by: EndedBy
    then: str = "Then materialize the range."
    reason: str | None = None

    @property
    def remedy(self) -> str:
        """What a person should do; the range of hours is named beside it."""
        return f"{self.action} {self.then}".rstrip()


_TABLE = table_beside(__file__)


def _fields(entry: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: text.replace("{token_settings}", TOKEN_SETTINGS) for name, text in entry.items()
    }
    if "ended_by" in fields:
        fields["ended_by"] = EndedBy(fields["ended_by"])
    return fields


_OF_CAUSE = {
    Cause(name): Diagnosis(Cause(name), **_fields(entry))
    for name, entry in _TABLE["causes"].items()
}


def _row(reason: str, cause: str, **entry: str) -> Diagnosis:
    """A row of the table; what is left out is the cause's own."""
    return replace(_OF_CAUSE[Cause(cause)], reason=reason, **_fields(entry))


def _sentence(words: str) -> str:
    """`words` as the begin of a text: a column's name is not to be capitalised."""
    return words if words[0].isupper() else f"The field {words}"


DIAGNOSES: dict[str, Diagnosis] = {
    **{
        known.name: _row(
            known.name,
            Cause.PAYLOAD,
            action=f"Meta says: {known.meaning}. Correct the orders at their source.",
        )
        for number, known in SUBCODES.items()
        if is_payload_subcode(number)
    },
    **{
        reason: _row(reason, Cause.PAYLOAD, action=_sentence(text))
        for reason, text in REFUSAL_TEXTS.items()
    },
    **{reason: _row(reason, **entry) for reason, entry in _TABLE["reasons"].items()},
}
"""The one table, by reason. A refusal for content that Meta invents tomorrow is not in it."""

_BY_STAGE = {
    "quarantined": Cause.QUARANTINE,
    "invalid": Cause.PAYLOAD,
    "rejected": Cause.PAYLOAD,
    "expired": Cause.TOO_LATE,
    "unknown": Cause.UNKNOWN_OUTCOME,
    "future_dated": Cause.NOT_MATERIALIZED,
}

_ONCE_BROADER = {
    reasons.TOKEN_INVALID: ErrorKind.TOKEN,
    reasons.PERMISSION_LOST: ErrorKind.PERMISSION,
    reasons.THROTTLED: ErrorKind.THROTTLED,
}
"""Words that older ledgers hold for what has words of its own now; code and subcode tell."""


def diagnose(
    *,
    stage: str,
    reason: str | None,
    http_status: int | None,
    code: int | None,
    subcode: int | None,
) -> Diagnosis:
    """What is wrong with one undelivered order, and what to do.

    Called for rows of `delivery_results`, the ledger and the waterfall, for a dataset that stopped,
    and for a preflight. Never raises; what nobody knows is `Cause.UNEXPLAINED`.

    Args:
        stage: the waterfall's. An expired event keeps the cause of its last failed attempt: the
            token lost it, not the calendar.
        reason: the word stored with it; those of older ledgers are read as well.
        http_status, code, subcode: Meta's, of the latest attempt.
    """
    if stage in ("invalid", "rejected", "quarantined") and reason != reasons.WRITTEN_OFF:
        return _of_refused(stage, reason, subcode)
    answered = code is not None or http_status is not None
    problem = classify(http_status, MetaError(Body.ERROR, code, subcode)) if answered else None
    found = DIAGNOSES.get(reason or "")
    if found and not (problem and found.cause is Cause.TOO_LATE):
        same_kind = problem and problem.kind is _ONCE_BROADER.get(found.reason or "")
        return DIAGNOSES[problem.reason] if problem and same_kind else found
    if problem and problem.kind is not ErrorKind.UNRECOGNISED:
        return DIAGNOSES.get(problem.reason, _OF_CAUSE[Cause.PAYLOAD])
    return _OF_CAUSE[_BY_STAGE.get(stage, Cause.UNEXPLAINED)]


def _of_refused(stage: str, reason: str | None, subcode: int | None) -> Diagnosis:
    """Of an order that is settled because of its content."""
    if subcode == EXPIRED_SUBCODE:
        return DIAGNOSES["expired"]
    words = [reason, subcode_name(subcode)]
    if stage == "quarantined":
        words = [reason] if reason == IDENTITY_CONFLICT else []
    known = (DIAGNOSES.get(word or "") for word in words)
    own = replace(_OF_CAUSE[_BY_STAGE[stage]], reason=reason)
    return next((d for d in known if d and d.cause.cured_by_data), own)


def cause_of(
    *,
    stage: str,
    reason: str | None,
    http_status: int | None,
    code: int | None,
    subcode: int | None,
) -> Cause:
    """The cause that `diagnose` finds for the same evidence."""
    return diagnose(
        stage=stage, reason=reason, http_status=http_status, code=code, subcode=subcode
    ).cause
