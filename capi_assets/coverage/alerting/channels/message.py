"""Messages for the channels, the failures they return, and the log as a channel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_GAPS = 10
"""Alerts in one text; more are counted, because nobody reads so long a message."""

SCHEMA, VERSION = "capi_assets.alert", 1
"""The name and version of the JSON documents; see alert_message.py."""


@dataclass(frozen=True, slots=True)
class Message:
    """One alert as text; `severity` is `warn` or `error`, `good` news is logged as information.

    `subject` is its shortest form, for an e-mail. `document` is the same for programs, as
    alert_message.py builds it, with `text` among its fields.
    """

    text: str
    severity: str = "warn"
    good: bool = False
    subject: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """The document; a message without one gets the fields that all documents share."""
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
        """Its name in the log; never its address."""

    def send(self, messages: Sequence[Message]) -> Failure | None:
        """Delivers all messages of one tick; returns what failed, never raises."""


def spelled_out(messages: Sequence[Message]) -> list[str]:
    """Their texts, and how many more there are beyond `MAX_GAPS`."""
    texts = [message.text for message in messages[:MAX_GAPS]]
    if len(messages) > MAX_GAPS:
        texts.append(f"And {len(messages) - MAX_GAPS} more: see open_gaps in Dagster.")
    return texts


class LogChannel:
    """Alerts as log lines: errors as ERROR, warnings as WARNING, good news as INFO."""

    name = "log"

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def send(self, messages: Sequence[Message]) -> Failure | None:
        for message in messages:
            level = logging.ERROR if message.severity == "error" else logging.WARNING
            self._logger.log(logging.INFO if message.good else level, "%s", message.text)
        return None
