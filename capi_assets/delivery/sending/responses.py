"""What follows from an answer: the outcome to book, and what to do with the request next.

Each answer has one row of rules here, and only here. Which code is of which kind is
`meta.graph.errors`' business; how often, how long and how far is the lane's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from capi_assets.delivery import reasons
from capi_assets.delivery.outcome import Outcome, State
from capi_assets.meta.graph.client import Answer, RequestOutcome
from capi_assets.meta.graph.errors import ErrorKind, MetaError, remedy, subcode_name

_TOKEN_EXPIRED_SUBCODE = 463


class NextStep(Enum):
    """What becomes of the request."""

    DONE = "done"
    RETRY = "retry"  # the same bytes, later
    SPLIT = "split"  # some of its events are suspect_index
    STOP = "stop"  # nothing for this dataset can succeed until a person acts
    LEAVE = "leave"  # not again in this run


@dataclass(frozen=True, slots=True)
class ResponseDecision:
    """`outcome` books the attempt; `alone` books it instead if it carried a single event that
    Meta will never take. `suspect_index` is the event that Meta seems to blame, as a position."""

    then: NextStep
    outcome: Outcome
    alone: Outcome | None = None
    suspect_index: int | None = None
    remedy: str = ""


def decide(answer: Answer, sent: int) -> ResponseDecision:
    """The ruling on the answer to a request of `sent` events."""
    if answer.arrival is RequestOutcome.NOT_SENT:
        return ResponseDecision(
            NextStep.RETRY,
            _outcome(answer, "refused", reasons.META_DOWN),
            remedy="No connection to Meta could be made: check network, proxy, firewall, "
            "certificates and CAPI_GRAPH_URL.",
        )
    if answer.arrival is RequestOutcome.NO_ANSWER or answer.http_status is None:
        return ResponseDecision(
            NextStep.RETRY,
            _outcome(answer, "unknown", reasons.NO_ANSWER),
            remedy=ErrorKind.UNKNOWN_OUTCOME.remedy,
        )
    if 200 <= answer.http_status < 300 and answer.error.code is None:
        return _accepted(answer, sent)
    if 300 <= answer.http_status < 400:
        return ResponseDecision(
            NextStep.STOP,
            _outcome(answer, "refused", reasons.REDIRECTED),
            remedy="Meta does not redirect: something in between answered. Check CAPI_GRAPH_URL "
            "and the proxy, then materialize the hour again.",
        )
    return _refused(answer, answer.error.kind(answer.http_status))


def _accepted(answer: Answer, sent: int) -> ResponseDecision:
    if answer.events_received == sent:
        return ResponseDecision(NextStep.DONE, _outcome(answer, "delivered", None))
    if answer.error.body.readable:
        return ResponseDecision(
            NextStep.LEAVE,
            _outcome(answer, "unknown", reasons.UNEXPECTED_ANSWER),
            remedy="The answer was 2xx but did not confirm as many events as were sent. Check "
            "that CAPI_GRAPH_URL is Meta's, and compare with Events Manager.",
        )
    return ResponseDecision(
        NextStep.RETRY,
        _outcome(answer, "unknown", reasons.META_DOWN),
        remedy=ErrorKind.UNKNOWN_OUTCOME.remedy,
    )


def _refused(answer: Answer, kind: ErrorKind) -> ResponseDecision:
    error = answer.error
    helps = remedy(kind, error.code, error.subcode)
    match kind:
        case ErrorKind.TOKEN:
            expired = error.subcode == _TOKEN_EXPIRED_SUBCODE
            reason = reasons.TOKEN_EXPIRED if expired else reasons.TOKEN_INVALID
            return ResponseDecision(
                NextStep.STOP, _outcome(answer, "refused", reason), remedy=helps
            )
        case ErrorKind.PERMISSION:
            outcome = _outcome(answer, "refused", reasons.PERMISSION_LOST)
            return ResponseDecision(NextStep.STOP, outcome, remedy=helps)
        case ErrorKind.PAYLOAD | ErrorKind.EXPIRED:
            reason = _payload_reason(answer.http_status, error)
            settled: State = "expired" if kind is ErrorKind.EXPIRED else "rejected"
            return ResponseDecision(
                NextStep.SPLIT,
                _outcome(answer, "refused", reason),
                alone=_outcome(answer, settled, reason),
                suspect_index=error.event_index,
                remedy=helps,
            )
    state: State = "unknown" if kind.maybe_accepted else "refused"
    reason = {
        ErrorKind.THROTTLED: reasons.THROTTLED,
        ErrorKind.UNRECOGNISED: reasons.UNRECOGNISED,
    }.get(kind, reasons.META_DOWN)
    return ResponseDecision(NextStep.RETRY, _outcome(answer, state, reason), remedy=helps)


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
