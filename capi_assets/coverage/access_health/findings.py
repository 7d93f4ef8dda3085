"""What will stop delivery before it does: a token that is refused or ends, a version that ends.

`check_access` asks Meta; the rest is pure. When a finding becomes an alert is in alerts.py. What a
refusal is called and asks for is read from `delivery.causes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

import pyarrow as pa

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.meta_access import MetaAccess
from capi_assets.coverage.formatting import format_utc
from capi_assets.delivery import reasons
from capi_assets.delivery.causes import DIAGNOSES, TOKEN_SETTINGS, Cause, Diagnosis
from capi_assets.delivery.datasets import Datasets
from capi_assets.meta.graph.client import DatasetAccess, MetaClient
from capi_assets.meta.graph.debug_token import TokenFacts, debug_token
from capi_assets.meta.graph.errors import ErrorKind, error_suffix
from capi_assets.meta.graph.preflight import AGE, EVENT_NAME, Preflight, preflight
from capi_assets.meta.graph.versions import VersionOutlook, version_outlook

Verdict = Literal["ok", "unknown", "warning", "error"]
WORST_FIRST: tuple[Verdict, ...] = ("error", "warning", "unknown", "ok")

WARNING_DAYS = 30
ERROR_DAYS = 7
"""Days before a token's end from which its check warns, and fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict in words. `mark` names the state: alerts come when it changes."""

    verdict: Verdict
    words: str
    mark: str


@dataclass(frozen=True, slots=True)
class AccessStatus:
    """What is known of one dataset's way to Meta at one moment.

    `missing` says why there is no token; then nothing was asked. `canary` is None where no
    preflight was made.
    """

    dataset_id: str
    checked_at: datetime
    version: VersionOutlook
    facts: TokenFacts | None = None
    canary: Preflight | None = None
    missing: str | None = None

    @property
    def days_left(self) -> int | None:
        """Whole days until the token ends, rounded down."""
        ends = self.facts.expires_at if self.facts else None
        return None if ends is None else (ends - self.checked_at) // timedelta(days=1)

    @property
    def accepted(self) -> bool | None:
        """Whether Meta accepts the token; None if that is not known."""
        if self.missing is not None:
            return False
        if self.canary and self.canary.ok:
            return True
        if self.canary and self.canary.problem and self.canary.problem.kind is ErrorKind.TOKEN:
            return False
        return self.facts.is_valid if self.facts else None

    @property
    def stops_delivery(self) -> bool:
        """Whether events for this dataset would not be taken now, as far as is known."""
        if self.canary is not None:
            return not self.canary.ok
        return self.accepted is False

    @property
    def verdict(self) -> Verdict:
        """The worst of the three."""
        return worst(list(findings_of(self).values()))


def check_access(
    datasets: Datasets,
    now: datetime,
    *,
    canary: bool,
    version: str,
    ask: Callable[[DatasetAccess], TokenFacts] = debug_token,
) -> list[AccessStatus]:
    """Asks Meta about every dataset that is set up, in the order of their ids.

    Args:
        canary: whether to send each dataset the preflight's event.
        version: the Graph version of datasets that have no access.
    """
    found = [_look(access, now, canary, ask) for access in datasets.accesses.values()]
    found += [
        AccessStatus(dataset_id, now, version_outlook(version, now), missing=why)
        for dataset_id, why in datasets.missing.items()
    ]
    return sorted(found, key=lambda outlook: outlook.dataset_id)


def _look(
    access: DatasetAccess, now: datetime, canary: bool, ask: Callable[[DatasetAccess], TokenFacts]
) -> AccessStatus:
    facts, flown = ask(access), None
    if canary:
        with closing(MetaClient(access, connections=1)) as client:
            flown = preflight(client, now)
    answered = (flown.api_version if flown else None) or facts.api_version
    return AccessStatus(
        access.dataset_id, now, version_outlook(access.version, now, answered), facts, flown
    )


def access(outlook: AccessStatus) -> Finding:
    """Whether Meta accepts the token and lets it send."""
    dataset, facts, canary = outlook.dataset_id, outlook.facts, outlook.canary
    if outlook.missing is not None:
        words = (
            f"Dataset {dataset} has no access token that can be used:"
            f" {outlook.missing.rstrip('.')}. Set {TOKEN_SETTINGS}."
        )
        return Finding("error", words, "no_token")
    if canary is not None and (canary.problem is None or canary.problem.kind not in _NOT_TELLING):
        text, cause = preflight_text(canary), preflight_cause(canary)
        if cause is not None:
            return Finding("error", text, str(cause))
        return Finding("warning" if canary.was_accepted else "ok", text, "ok")
    if facts is not None and facts.is_valid:
        words = (
            f"Meta says that the token of dataset {dataset} is valid. Send permission was not"
            " tested: `capi-assets preflight` does."
        )
        return Finding("ok", words, "ok")
    if facts is not None and facts.is_valid is False:
        found = DIAGNOSES[facts.reason or reasons.TOKEN_INVALID]
        words = _sentence(dataset, found, error_suffix(facts.code, facts.subcode, None))
        return Finding("error", words, str(found.cause))
    if canary is not None:
        return Finding("unknown", preflight_text(canary), "unknown")
    why = facts.why_unknown if facts else None
    words = (
        f"Whether Meta accepts the token of dataset {dataset} is not known: {why}."
        " `capi-assets preflight` tries it."
    )
    return Finding("unknown", words, "unknown")


def preflight_text(found: Preflight) -> str:
    """What a preflight found, in a sentence, and what to do where something is to be done."""
    dataset = found.dataset_id
    if found.problem is not None:
        said = error_suffix(found.code, found.subcode, found.http_status)
        return _sentence(dataset, DIAGNOSES[found.problem.reason], said)
    if found.was_accepted:
        return (
            f"Meta accepts the token for dataset {dataset}, but it accepted the preflight event of"
            f" {AGE.days} days ago, which it should reject: one {EVENT_NAME} event is counted. Set"
            " CAPI_PREFLIGHT=off, and check that the address is Meta's."
        )
    return f"Meta accepts the token and lets it send to dataset {dataset}."


def preflight_cause(found: Preflight) -> Cause | None:
    """Why events for the dataset would not be accepted now; None if they would."""
    return DIAGNOSES[found.problem.reason].cause if found.problem else None


def _sentence(dataset: str, found: Diagnosis, answer: str) -> str:
    return f"Dataset {dataset}: {found.headline}{answer}. {found.action}"


# Answers that say nothing of the token, for better or worse.
_NOT_TELLING = (ErrorKind.TRANSIENT, ErrorKind.THROTTLED, ErrorKind.UNRECOGNISED)


def token_end(outlook: AccessStatus) -> Finding:
    """How long the token lasts."""
    token, facts, left = f"token of dataset {outlook.dataset_id}", outlook.facts, outlook.days_left
    if facts is None:
        return Finding("unknown", f"There is no {token}, so none expires.", "unknown")
    if facts.expires_at is not None and left is not None:
        if facts.expires_at <= outlook.checked_at:
            words = f"The {token} ended on {format_utc(facts.expires_at)}. {_RENEW}"
            return Finding("error", words, "ended")
        words = f"The {token} ends on {format_utc(facts.expires_at)} ({_in(left)})."
        if left > WARNING_DAYS:
            return _with_data_access(outlook, words)
        verdict: Verdict = "error" if left <= ERROR_DAYS else "warning"
        return Finding(verdict, f"{words} {_RENEW}", step(left))
    if facts.never_expires:
        return _with_data_access(outlook, f"The {token} does not expire.")
    untold = "Meta does not accept it" if facts.is_valid is False else "Meta does not tell it"
    why = facts.why_unknown or untold
    return Finding("unknown", f"When the {token} ends is not known: {why}.", "unknown")


_RENEW = f"Create a new one without expiry in Events Manager and set {TOKEN_SETTINGS}."

STEPS = (1, 3, 7, 14, 30)
"""Days left at which an end is told again."""


def step(left: int) -> str:
    """The mark of an end that is `left` days away: `ends_in_7` for four to seven."""
    return next((f"ends_in_{days}" for days in STEPS if left <= days), "ok")


def _with_data_access(outlook: AccessStatus, words: str) -> Finding:
    """Adds the end of data access, which is no end of the token."""
    ends = outlook.facts.data_access_expires_at if outlook.facts else None
    if ends is None or ends - outlook.checked_at > timedelta(days=WARNING_DAYS):
        return Finding("ok", words, "ok")
    words = (
        f"{words} The app's access to the person's data ends on {format_utc(ends)}; Meta does not"
        " say whether events are taken after that, so renew it before."
    )
    return Finding("warning", words, "data_access_ends")


def version(outlook: AccessStatus) -> Finding:
    """How long the Graph version lasts."""
    found = outlook.version
    if found.verdict == "ok":
        return Finding("ok", found.words, "ok")
    if found.days_left is None:
        mark = "not_known"
    else:
        mark = "ended" if found.days_left <= 0 else step(found.days_left)
    return Finding(found.verdict, found.words, mark)


def findings_of(outlook: AccessStatus) -> dict[str, Finding]:
    """The three findings by topic."""
    return {"access": access(outlook), "token": token_end(outlook), "version": version(outlook)}


def worst(said: Sequence[Finding]) -> Verdict:
    """The worst verdict of several; `ok` of none."""
    found = {one.verdict for one in said}
    return next((verdict for verdict in WORST_FIRST if verdict in found), "ok")


def words_of(outlook: AccessStatus) -> str:
    """All that was found, worst first."""
    said = sorted(findings_of(outlook).values(), key=lambda one: WORST_FIRST.index(one.verdict))
    return " ".join(one.words for one in said)


def row(outlook: AccessStatus, told: str = "") -> dict[str, Any]:
    """The row of contract `MetaAccess`."""
    facts, canary = outlook.facts or TokenFacts(None), outlook.canary
    answer, ends = canary or facts, outlook.version.ends
    return {
        "dataset_id": outlook.dataset_id,
        "checked_at": outlook.checked_at,
        "verdict": outlook.verdict,
        "words": words_of(outlook),
        "token_accepted": outlook.accepted,
        "preflight": None if canary is None else str(preflight_cause(canary) or "ok"),
        "expires_at": facts.expires_at,
        "never_expires": facts.never_expires,
        "days_left": outlook.days_left,
        "data_access_expires_at": facts.data_access_expires_at,
        "scopes": " ".join(facts.scopes) or None,
        "version": outlook.version.version,
        "answered_version": (canary and canary.api_version) or facts.api_version,
        "version_ends": datetime.combine(ends, time.min, UTC) if ends else None,
        "version_days_left": outlook.version.days_left,
        "http_status": canary.http_status if canary else None,
        "code": answer.code,
        "subcode": answer.subcode,
        "trace_id": answer.trace_id or facts.trace_id,
        "told": told,
    }


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of `row` as a table of contract `MetaAccess`."""
    return conform(pa.Table.from_pylist(list(rows), arrow_schema(MetaAccess)), MetaAccess)


def _in(days: int) -> str:
    return {0: "in less than a day", 1: "in 1 day"}.get(days, f"in {days} days")
