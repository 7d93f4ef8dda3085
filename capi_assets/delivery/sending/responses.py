"""What follows from an answer: the outcome to book, and what to do with the request next.

Each answer has one row of rules here, and only here. Which code is of which kind is
`meta.graph.errors`' business; how often, how long and how far is the lane's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from capi_assets.delivery import reasons
from capi_assets.delivery.outcome import Outcome, State
from capi_assets.meta.graph.client import Answer, Arrival
from capi_assets.meta.graph.errors import Kind, MetaError, remedy, subcode_name

_TOKEN_EXPIRED_SUBCODE = 463


class Then(Enum):
    """What becomes of the request."""

    DONE = "done"
    RETRY = "retry"  # the same bytes, later
    SPLIT = "split"  # some of its events are guilty
    STOP = "stop"  # nothing for this dataset can succeed until a person acts
    LEAVE = "leave"  # not again in this run


@dataclass(frozen=True, slots=True)
class Ruling:
    """`outcome` books the attempt; `alone` books it instead if it carried a single event that
    Meta will never take. `guilty` is the event that Meta seems to blame, as a position."""

    then: Then
    outcome: Outcome
    alone: Outcome | None = None
    guilty: int | None = None
    remedy: str = ""


def judge(answer: Answer, sent: int) -> Ruling:
    """The ruling on the answer to a request of `sent` events."""
    if answer.arrival is Arrival.NOT_SENT:
        return Ruling(
            Then.RETRY,
            _outcome(answer, "refused", reasons.META_DOWN),
            remedy="No connection to Meta could be made: check network, proxy, firewall, "
            "certificates and CAPI_GRAPH_URL.",
        )
    if answer.arrival is Arrival.NO_ANSWER or answer.http_status is None:
        return Ruling(
            Then.RETRY,
            _outcome(answer, "unknown", reasons.NO_ANSWER),
            remedy=Kind.UNKNOWN_OUTCOME.remedy,
        )
    if 200 <= answer.http_status < 300 and answer.error.code is None:
        return _accepted(answer, sent)
    if 300 <= answer.http_status < 400:
        return Ruling(
            Then.STOP,
            _outcome(answer, "refused", reasons.REDIRECTED),
            remedy="Meta does not redirect: something in between answered. Check CAPI_GRAPH_URL "
            "and the proxy, then materialize the hour again.",
        )
    return _refused(answer, answer.error.kind(answer.http_status))


def _accepted(answer: Answer, sent: int) -> Ruling:
    if answer.events_received == sent:
        return Ruling(Then.DONE, _outcome(answer, "delivered", None))
    if answer.error.body.readable:
        return Ruling(
            Then.LEAVE,
            _outcome(answer, "unknown", reasons.UNEXPECTED_ANSWER),
            remedy="The answer was 2xx but did not confirm as many events as were sent. Check "
            "that CAPI_GRAPH_URL is Meta's, and compare with Events Manager.",
        )
    return Ruling(
        Then.RETRY,
        _outcome(answer, "unknown", reasons.META_DOWN),
        remedy=Kind.UNKNOWN_OUTCOME.remedy,
    )


def _refused(answer: Answer, kind: Kind) -> Ruling:
    error = answer.error
    helps = remedy(kind, error.code, error.subcode)
    match kind:
        case Kind.TOKEN:
            expired = error.subcode == _TOKEN_EXPIRED_SUBCODE
            reason = reasons.TOKEN_EXPIRED if expired else reasons.TOKEN_INVALID
            return Ruling(Then.STOP, _outcome(answer, "refused", reason), remedy=helps)
        case Kind.PERMISSION:
            outcome = _outcome(answer, "refused", reasons.PERMISSION_LOST)
            return Ruling(Then.STOP, outcome, remedy=helps)
        case Kind.PAYLOAD | Kind.EXPIRED:
            reason = _payload_reason(answer.http_status, error)
            settled: State = "expired" if kind is Kind.EXPIRED else "rejected"
            return Ruling(
                Then.SPLIT,
                _outcome(answer, "refused", reason),
                alone=_outcome(answer, settled, reason),
                guilty=error.event_index,
                remedy=helps,
            )
    state: State = "unknown" if kind.maybe_accepted else "refused"
    reason = {
        Kind.THROTTLED: reasons.THROTTLED,
        Kind.UNRECOGNISED: reasons.UNRECOGNISED,
    }.get(kind, reasons.META_DOWN)
    return Ruling(Then.RETRY, _outcome(answer, state, reason), remedy=helps)


def _payload_reason(http_status: int | None, error: MetaError) -> str:
    if error.code is None:
        return "request_too_large" if http_status == 413 else "refused"
    return subcode_name(error.subcode) or f"refused_{error.code}"


def _outcome(answer: Answer, state: State, reason: str | None) -> Outcome:
    error = answer.error
    blamed = ", ".join(error.blame_fields)
    texts = [error.title, f"fields: {blamed}" if blamed else None]
    return Outcome(
        state,
        reason,
        http_status=answer.http_status,
        code=error.code,
        subcode=error.subcode,
        message="; ".join(text for text in texts if text) or None,
        fbtrace_id=error.fbtrace_id,
        api_version=answer.api_version,
    )
