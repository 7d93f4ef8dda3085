"""What went wrong, what it is called, and what to do: one table for every reader.

`diagnose` looks up the evidence that the ledger and `delivery_results` store (stage, reason, HTTP
status, Meta's code and subcode). Run log, checks, gaps, alerts, `explain`, `preflight`, `doctor`,
the report and automatic recovery all read the `Diagnosis` it finds, so they cannot disagree. Which
word an answer of Meta's gets is decided once, in `meta.graph.errors.classify`.

`diagnose(stage="pending", reason="app_blocked", http_status=400, code=368, subcode=None).cause`
is `Cause.BLOCKED`. Which hours are flagged for a cause is in coverage/flags.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

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

TOKEN_SETTINGS = (
    "CAPI_ACCESS_TOKEN (or the file CAPI_ACCESS_TOKEN_FILE names, or the dataset's variable in"
    " CAPI_DATASETS)"
)
"""Where an access token is set, for remedies."""

NOT_PLANNED = "not_planned"
"""The reason of an event that has no delivery result: its delivery was never materialized."""


class Cause(StrEnum):
    """Why an hour is flagged. One per hour: the one that costs most orders."""

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
    def certain(self) -> bool:
        """Whether waiting cannot help, so that not even the hour's end need be awaited."""
        return self in (Cause.TOKEN, Cause.PERMISSION, Cause.BLOCKED)


class EndedBy(StrEnum):
    """Who or what can end a trouble."""

    WAITING = "waiting"  # it passes; a preflight shows when
    SETUP = "set_up"  # a person changes a setting or a right; a preflight shows when
    PERSON = "person"  # a person clears it up with Meta, or decides; asking again does harm
    DATA = "data"  # other input, matched and built again
    RUN = "run"  # a run is all that is missing
    NOTHING = "nothing"


_AGAIN = "Then materialize the range."
_FROM_ORDERS = "Then materialize the range from orders on."


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
    then: str = _AGAIN
    reason: str | None = None

    @property
    def remedy(self) -> str:
        """What a person should do; the range of hours is named beside it."""
        return f"{self.action} {self.then}".rstrip()


_OF_CAUSE = {
    found.cause: found
    for found in (
        Diagnosis(
            Cause.TOKEN,
            "the access token is not accepted",
            f"Create a new access token in Events Manager and set {TOKEN_SETTINGS}.",
            EndedBy.SETUP,
        ),
        Diagnosis(
            Cause.PERMISSION,
            "the token may not write to the dataset",
            "Give the token's system user access to the dataset in Business Settings and check"
            " CAPI_DATASET_ID.",
            EndedBy.SETUP,
        ),
        Diagnosis(
            Cause.BLOCKED,
            "Meta has blocked the app or account for policy or abuse",
            "A person must clear this up in Account Quality; until then send nothing by hand, since"
            " further calls prolong the block.",
            EndedBy.PERSON,
            "Once the block is lifted, materialize the range.",
        ),
        Diagnosis(
            Cause.THROTTLED,
            "Meta limits our calls",
            "Wait until the limit lifts; further calls prolong the block. If it recurs, set"
            " CAPI_REQUESTS_PER_SECOND.",
            EndedBy.WAITING,
        ),
        Diagnosis(
            Cause.META_DOWN,
            "Meta does not answer as it should",
            "Wait; if it lasts, check metastatus.com and any proxy in between.",
            EndedBy.WAITING,
            "Once Meta answers, materialize the range. Within 48 hours of the first attempt nothing"
            " is counted twice.",
        ),
        Diagnosis(
            Cause.PAYLOAD,
            "events are refused because of their content",
            "Read the reasons in delivery_results and correct the orders at their source.",
            EndedBy.DATA,
            _FROM_ORDERS,
        ),
        Diagnosis(
            Cause.VISITS_MISSING,
            "visits are missing",
            "Bring back the hour's visits (tracker, landing folder or SQL model).",
            EndedBy.DATA,
            "Then materialize the range from visits on, so that orders find their match keys.",
        ),
        Diagnosis(
            Cause.ORDERS_MISSING,
            "fewer orders arrived than visits suggest",
            "Compare with the shop's order records: if the shop was closed, nothing is lost. Bring"
            " back what is missing (export, landing folder or SQL model).",
            EndedBy.DATA,
            _FROM_ORDERS,
        ),
        Diagnosis(
            Cause.NOT_MATERIALIZED,
            "the hours were not materialized",
            "If the schedule should have done it, check that it and the Dagster daemon run.",
            EndedBy.RUN,
            "Materialize the range.",
        ),
        Diagnosis(
            Cause.MATCH_KEYS_LOST,
            "orders have too few match keys",
            "Compare the orders' match keys with earlier hours and fix their source.",
            EndedBy.DATA,
            _FROM_ORDERS,
        ),
        Diagnosis(
            Cause.QUARANTINE,
            "orders break their contract",
            "Read the quarantine of these hours: it names file, line and reason. Correct the"
            " source.",
            EndedBy.DATA,
            _FROM_ORDERS,
        ),
        Diagnosis(
            Cause.TIME_BUDGET,
            "the run ended before every event was sent",
            "If this recurs, raise CAPI_TIME_BUDGET_SECONDS or CAPI_REQUESTS_IN_FLIGHT.",
            EndedBy.RUN,
            "Materialize the range again: only what is left is sent.",
        ),
        Diagnosis(
            Cause.UNKNOWN_OUTCOME,
            "events with unknown outcome are on hold",
            "Compare these hours with Events Manager and decide with `capi-assets resolve` to"
            " resend the events or to write them off.",
            EndedBy.PERSON,
        ),
        Diagnosis(
            Cause.TOO_LATE,
            "orders were too old when processed",
            "Nothing can be sent any more. Find out why these orders came so late.",
            EndedBy.NOTHING,
            "",
        ),
        Diagnosis(
            Cause.UNEXPLAINED,
            "events are undelivered for a reason this version does not know",
            "Read the reasons in delivery_results.",
            EndedBy.PERSON,
        ),
    )
}


def _row(
    reason: str,
    cause: Cause,
    headline: str = "",
    action: str = "",
    *,
    then: str | None = None,
    ended_by: EndedBy | None = None,
) -> Diagnosis:
    """A row of the table; what is left out is the cause's own."""
    own = _OF_CAUSE[cause]
    return Diagnosis(
        cause,
        headline or own.headline,
        action or own.action,
        ended_by or own.ended_by,
        own.then if then is None else then,
        reason,
    )


def _sentence(words: str) -> str:
    """`words` as the begin of a text: a column's name is not to be capitalised."""
    return words if words[0].isupper() else f"The field {words}"


DIAGNOSES: dict[str, Diagnosis] = {
    row.reason or "": row
    for row in (
        # Events that Meta refuses, or would refuse, for what they hold.
        *(
            _row(known.name, Cause.PAYLOAD, action=f"Meta says: {known.meaning}. Correct the"
                 " orders at their source.")
            for number, known in SUBCODES.items()
            if is_payload_subcode(number)
        ),
        *(_row(reason, Cause.PAYLOAD, action=_sentence(text))
          for reason, text in REFUSAL_TEXTS.items()),
        _row(
            "weak_match_keys",
            Cause.MATCH_KEYS_LOST,
            action="Send more match keys with these orders: email, phone, external_id, fbc, fbp or"
            " the client's IP address.",
        ),
        _row(
            "unhashed_contact_data",
            Cause.PAYLOAD,
            action="A contact field reached Meta unhashed: check the column it comes from.",
        ),
        _row(
            "click_id_malformed",
            Cause.PAYLOAD,
            action="A click id (fbc, fbclid) has characters that no click id has: take it from the"
            " landing page's address as it is, neither encoded nor a placeholder.",
        ),
        _row(
            reasons.DUPLICATE,
            Cause.PAYLOAD,
            "orders share an event_id",
            "Another order has the same event_id, and Meta would count only one of them: give each"
            " order its own (leave event_id out to have it made from the order_id).",
        ),
        _row(
            IDENTITY_CONFLICT,
            Cause.PAYLOAD,
            "different orders have the same order_id",
            "Another order was sent under this order_id and event_id, and Meta counts only one of"
            " them: land an order_id that is unique across shops and years, or an event_id of its"
            " own for each order. `capi-assets explain` shows both.",
        ),
        _row(
            reasons.UNSTORABLE,
            Cause.PAYLOAD,
            "ids hold a character that no database stores",
            "An id holds a NUL character: remove it at its source.",
        ),
        _row(
            reasons.REQUEST_TOO_LARGE,
            Cause.PAYLOAD,
            "events are larger than Meta accepts",
            "Shorten the order's contents at their source.",
        ),
        _row("refused_together", Cause.PAYLOAD, "Meta refuses events together"),  # until 2026
        _row(
            reasons.BISECTION_BUDGET,
            Cause.PAYLOAD,
            "Meta refuses events together, and which one is at fault is not found yet",
        ),
        _row("expired", Cause.TOO_LATE),
        _row(reasons.TOO_LATE, Cause.TOO_LATE),
        # Token, rights and set-up.
        _row(
            reasons.TOKEN_EXPIRED,
            Cause.TOKEN,
            "the access token has expired",
            "Create an access token without expiry in Events Manager (system user) and set"
            f" {TOKEN_SETTINGS}.",
        ),
        _row(reasons.TOKEN_INVALID, Cause.TOKEN),
        _row(
            reasons.APP_SECRET_WRONG,
            Cause.TOKEN,
            "the app secret is missing or wrong",
            "Set CAPI_APP_SECRET to the secret of the app that issued the token.",
        ),
        _row(
            reasons.NO_ACCESS,
            Cause.TOKEN,
            "no access token is set up for the dataset",
            f"Set CAPI_DATASET_ID and {TOKEN_SETTINGS}.",
        ),
        _row(reasons.PERMISSION_LOST, Cause.PERMISSION),
        _row(
            reasons.SETUP_REFUSED,
            Cause.PERMISSION,
            "Meta refuses the call itself, not the events",
            "In Business Settings, give the token's system user access to the dataset and the app"
            " the permission ads_management; check CAPI_DATASET_ID.",
        ),
        _row(
            reasons.WRONG_ADDRESS,
            Cause.PERMISSION,
            "Meta does not know the address that is called",
            "Check CAPI_GRAPH_URL, CAPI_GRAPH_VERSION and CAPI_DATASET_ID.",
        ),
        _row(
            reasons.MESSAGING_NOT_LINKED,
            Cause.PERMISSION,
            "the dataset is not linked to the page or WhatsApp account of these events",
            "Link the dataset to the page or WhatsApp Business account in Events Manager.",
        ),
        _row(reasons.APP_BLOCKED, Cause.BLOCKED),
        # Meta and the way to it.
        _row(reasons.THROTTLED, Cause.THROTTLED),
        _row(
            reasons.ABUSE_SUSPECTED,
            Cause.THROTTLED,
            "Meta limits our calls because it suspects abuse",
            "Find what else calls with this token, then wait; further calls prolong the block.",
        ),
        _row(reasons.META_DOWN, Cause.META_DOWN),
        _row(reasons.NO_ANSWER, Cause.META_DOWN, "Meta gives no answer"),
        _row(
            reasons.NO_CONNECTION,
            Cause.META_DOWN,
            "Meta cannot be reached",
            "Check network, proxy, firewall, certificates and CAPI_GRAPH_URL.",
            then=_AGAIN,
        ),
        _row(
            reasons.REDIRECTED,
            Cause.META_DOWN,
            "a proxy answers instead of Meta",
            "Meta does not redirect: check CAPI_GRAPH_URL and any proxy in between.",
            then=_AGAIN,
            ended_by=EndedBy.SETUP,
        ),
        _row(
            reasons.UNEXPECTED_ANSWER,
            Cause.META_DOWN,
            "Meta's answer does not confirm the events that were sent",
            "Check that CAPI_GRAPH_URL is Meta's, and compare with Events Manager.",
            ended_by=EndedBy.SETUP,
        ),
        _row(
            reasons.NOTHING_ACCEPTED,
            Cause.META_DOWN,
            "Meta refuses every event that is sent, so the events are not settled as rejected",
            "Read Meta's message with `capi-assets explain` for one of the orders, and check"
            " CAPI_GRAPH_URL and any proxy in between. The events stay pending until their"
            " deadline; once another event of the dataset is accepted, those that Meta still"
            " refuses count as rejected.",
            then=_AGAIN,
        ),
        _row(
            reasons.UNRECOGNISED,
            Cause.UNEXPLAINED,
            "Meta answers with a code that this version does not know",
            "Nothing was accepted. Look the code up in Meta's error reference.",
        ),
        # Our own runs.
        _row(NOT_PLANNED, Cause.NOT_MATERIALIZED),
        _row(reasons.NOT_ATTEMPTED, Cause.TIME_BUDGET, "events were not sent yet"),
        _row(reasons.TIME_BUDGET, Cause.TIME_BUDGET),
        _row(reasons.INTERRUPTED, Cause.TIME_BUDGET, "the run was interrupted"),
        _row(
            reasons.CLAIMED_ELSEWHERE,
            Cause.TIME_BUDGET,
            "another run is sending the events",
            "Wait for the other run.",
            then="If events are left after it, materialize the range.",
        ),
        _row(
            reasons.IN_FLIGHT,
            Cause.TIME_BUDGET,
            "the run ended before the answer was recorded",
            "If a run is still sending, wait for it.",
            then="Otherwise materialize the range: the same bytes are sent again, and within 48"
            " hours Meta removes the duplicate.",
        ),
        _row(
            reasons.CORRECTED,
            Cause.NOT_MATERIALIZED,
            "corrected orders were not sent again yet",
            "The hours were not materialized since the correction.",
        ),
        _row(
            reasons.RESEND_DECIDED,
            Cause.NOT_MATERIALIZED,
            "events that are to be sent again were not sent yet",
            "The hours were not materialized since the decision.",
        ),
        _row(
            reasons.FUTURE,
            Cause.NOT_MATERIALIZED,
            "orders are dated in the future",
            "Check the clock and time zone of where these orders come from, and of this machine.",
            then="If they are right, materialize the range once the orders' time has come.",
        ),
        _row(reasons.HELD, Cause.UNKNOWN_OUTCOME),
        _row(
            reasons.HELD_FORMER_ID,
            Cause.UNKNOWN_OUTCOME,
            "orders may be at Meta under a former event_id",
            "Land these orders with the event_id that they were sent with (`sent_event_id` in"
            " delivery_results), or compare with Events Manager and decide with"
            " `capi-assets resolve`.",
        ),
        _row(
            reasons.HELD_TOO_LATE,
            Cause.UNKNOWN_OUTCOME,
            "events with unknown outcome were on hold until they were too old for Meta",
            "Compare these hours with Events Manager: nothing can be sent any more.",
            then="",
        ),
        _row(
            reasons.WRITTEN_OFF,
            Cause.UNKNOWN_OUTCOME,
            "events were written off with unknown outcome",
            "Nothing: a person decided it, and they are never sent again.",
            then="",
        ),
    )
}  # fmt: skip
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
