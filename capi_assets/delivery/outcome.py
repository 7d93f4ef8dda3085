"""What one answer means for the events it was about, as the ledger books it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["delivered", "rejected", "expired", "unknown", "refused"]

_MAX_LENGTH = {"reason": 128, "fbtrace_id": 128, "api_version": 32}  # of the ledger's columns


def printable(text: str, max_length: int | None = None) -> str:
    """The text with U+FFFD in place of NUL and of lone surrogates, cut to `max_length`."""
    valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return valid.replace("\0", "\ufffd")[:max_length]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer, without texts that could carry a payload.

    `state`: `delivered`, `rejected` and `expired` settle the events; `unknown` means that Meta may
    have accepted them; `refused` that this request surely changed nothing, so they stay pending
    (or unknown, if an earlier attempt left them so). `message` is Meta's own title and the fields
    it blames.
    """

    state: State
    reason: str | None = None
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None
    message: str | None = None
    fbtrace_id: str | None = None
    api_version: str | None = None

    def __post_init__(self) -> None:
        # A database and a log accept neither half an emoji nor a NUL, whatever Meta sends.
        for name in ("reason", "message", "fbtrace_id", "api_version"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, printable(value, _MAX_LENGTH.get(name)))

    def answer(self) -> dict[str, str | int | None]:
        """The columns that say what Meta answered."""
        return {
            "reason": self.reason,
            "message": self.message,
            "http_status": self.http_status,
            "code": self.code,
            "subcode": self.subcode,
            "fbtrace_id": self.fbtrace_id,
            "api_version": self.api_version,
        }
