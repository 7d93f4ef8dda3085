"""What a channel is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_GAPS = 10
"""Alerts spelled out in one text; a flood is counted instead."""


SCHEMA, VERSION = "capi_assets.alert", 1
"""What alerts for programs call themselves; see alerts_document.py."""


@dataclass(frozen=True, slots=True)
class Message:
    """One alert in words; `severity` is `warn` or `error`, `good` news is logged as information.

    `subject` is its shortest form, for a mail. `document` is the same for programs: what
    `alerts_document.py` makes of it, with `text` among its fields.
    """

    text: str
    severity: str = "warn"
    good: bool = False
    subject: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """The document; a message that was given none has the fields that all of them share."""
        own = {"kind": "notice", "good": self.good, "severity": self.severity, "text": self.text}
        return dict(self.document) or {"schema": SCHEMA, "version": VERSION, **own}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a channel did not deliver, without its address; `left` is how many of the last messages
    have not arrived, where it is not all of them."""

    channel: str
    reason: str
    left: int | None = field(default=None, compare=False)


class Channel(Protocol):
    """A place for alerts."""

    @property
    def name(self) -> str:
        """What it is called in the log; never its address."""

    def send(self, messages: Sequence[Message]) -> Failure | None:
        """Delivers all messages of one look; returns what went wrong, never raises."""


def spelled_out(messages: Sequence[Message]) -> list[str]:
    """Their texts, and in place of a flood's rest how many they are."""
    told = [message.text for message in messages[:MAX_GAPS]]
    if len(messages) > MAX_GAPS:
        told.append(f"And {len(messages) - MAX_GAPS} more: see open_gaps in Dagster.")
    return told
