"""What follows from an answer: the outcome to store, and what to do with the request next.

What an answer means is `meta.graph.errors`' business, what it asks of people `delivery.causes`';
how often, how long and how far is the dispatcher's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from capi_assets.delivery import reasons
from capi_assets.delivery.outcome import Outcome, State
from capi_assets.meta.graph.client import Answer
from capi_assets.meta.graph.errors import ErrorKind


class NextStep(Enum):
    """What becomes of the request."""

    DONE = "done"
    RETRY = "retry"  # the same bytes, later
    SPLIT = "split"  # some of its events are suspect_index
    STOP = "stop"  # nothing for this dataset can succeed until a person acts
    LEAVE = "leave"  # not again in this run


@dataclass(frozen=True, slots=True)
class ResponseDecision:
    """`outcome` is of the attempt; `alone` replaces it if the request held a single event that
    Meta will never take. `suspect_index` is the event that Meta seems to blame, as a position."""

    then: NextStep
    outcome: Outcome
    alone: Outcome | None = None
    suspect_index: int | None = None


_SETTLES: dict[ErrorKind, State] = {ErrorKind.PAYLOAD: "rejected", ErrorKind.EXPIRED: "expired"}


def decide(answer: Answer, sent: int) -> ResponseDecision:
    """What to do after the answer to a request of `sent` events.

    The sender calls it once per attempt. Never raises. An answer about the set-up settles no
    event: it stops the dataset, and its events stay pending. An event that Meta may accept later
    is split off from its request, and stays pending.

    `decide(answer, 10).outcome.reason` is `app_blocked` for code 368.
    """
    problem = answer.problem(sent)
    if problem is None:
        return ResponseDecision(NextStep.DONE, _outcome(answer, "delivered", None))
    kind, reason = problem
    state: State = "unknown" if kind is ErrorKind.UNKNOWN_OUTCOME else "refused"
    outcome = _outcome(answer, state, reason)
    if kind.stops or reason == reasons.REDIRECTED:
        return ResponseDecision(NextStep.STOP, outcome)
    if reason == reasons.UNEXPECTED_ANSWER:
        return ResponseDecision(NextStep.LEAVE, outcome)
    if kind in _SETTLES or kind is ErrorKind.NOT_YET:
        alone = _outcome(answer, _SETTLES[kind], reason) if kind in _SETTLES else None
        return ResponseDecision(NextStep.SPLIT, outcome, alone, answer.error.event_index)
    return ResponseDecision(NextStep.RETRY, outcome)


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
