"""When foresight is worth a word: on a change of state, and as an end comes nearer. Pure.

What was told is kept as one text per dataset, such as `access=ok token=ends_in_7 version=ok`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from capi_assets.coverage.access_health.findings import STEPS, AccessStatus, Finding, findings_of
from capi_assets.coverage.alerting.alert_message import note
from capi_assets.coverage.alerting.channels import Message


def access_alerts(
    outlooks: Sequence[AccessStatus], told: Mapping[str, str], now: datetime
) -> tuple[list[Message], dict[str, str]]:
    """What to tell now, and what was told by dataset id then.

    `told` is what the former look left. What is not known now leaves its topic as it was told; an
    end that was put off, but is still near, is not told again before it comes nearer.
    """
    messages: dict[str, Message] = {}
    after: dict[str, str] = {}
    for outlook in outlooks:
        pairs = (part.partition("=") for part in told.get(outlook.dataset_id, "").split())
        before = {topic: mark for topic, _, mark in pairs if mark}
        standing = dict(before)
        for topic, said in findings_of(outlook).items():
            if said.verdict == "unknown" or said.mark == before.get(topic, "ok"):
                continue
            standing[topic] = said.mark
            message = _message(topic, said, before.get(topic, "ok"), now)
            if message:
                messages.setdefault(message.text, message)  # one version for all datasets
        after[outlook.dataset_id] = " ".join(f"{t}={standing[t]}" for t in sorted(standing))
    return list(messages.values()), after


def _message(topic: str, said: Finding, before: str, now: datetime) -> Message | None:
    if said.mark == "ok":
        text = f"{_AGAIN[topic]} {said.words}"
        return note(f"{topic}_recovered", text, _AGAIN[topic].rstrip("."), now, (), None)
    if _is_put_off(before, said.mark):
        return None
    text = f"{_NEWS[topic]} {said.words}"
    told = note(f"{topic}_{said.mark}", text, text.partition(". ")[0], now, (), None)
    severity = "error" if said.verdict == "error" else "warn"
    document = {**told.document, "good": False, "severity": severity}
    return replace(told, good=False, severity=severity, document=document)


def _is_put_off(before: str, mark: str) -> bool:
    steps = [f"ends_in_{days}" for days in STEPS]  # nearest first
    return before in steps and mark in steps and steps.index(mark) > steps.index(before)


_NEWS = {"access": "Access to Meta:", "token": "Access token:", "version": "Graph API version:"}
_AGAIN = {
    "access": "Access to Meta is restored.",
    "token": "Access token renewed.",
    "version": "Graph API version is good again.",
}


def previous_alerts(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`told` by dataset id of stored rows, the latest look winning."""
    ordered = sorted(rows, key=lambda row: row["checked_at"])
    return {row["dataset_id"]: row["told"] for row in ordered}
