"""Meta's errors for events it rejects: the subcodes with their titles, and the error body.

Subcodes are those of Meta's Conversions API seen in the wild (all under code 100, HTTP 400, not
transient); titles follow Meta's English ones, the explanations are our own. When to reject is
decided in validate.py and its rule files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

SUBCODES: dict[int, tuple[str, str]] = {
    2804001: (
        "Click ID Incorrectly Formatted",
        "The click id in fbc may only have letters, digits, underscores and dashes. Send the "
        "fbclid of the landing page's address as it is.",
    ),
    2804003: (
        "Event Timestamp Too Old",
        "The event happened too long ago. Send events within 7 days of their event_time, "
        "or within 62 days when action_source is physical_store.",
    ),
    2804004: (
        "Event Timestamp Outside The Allowed Window",
        "The event_time lies in the future. Send Unix seconds (not milliseconds) of a moment "
        "that has passed.",
    ),
    2804008: (
        "Contents Item Without Id",
        "Every item of contents needs an id.",
    ),
    2804009: (
        "Missing Value For Purchase Event",
        "A Purchase event needs a value in custom_data.",
    ),
    2804010: (
        "Missing Currency For Purchase Event",
        "A Purchase event needs a currency in custom_data.",
    ),
    2804011: (
        "Invalid Currency For Purchase Event",
        "The currency is not a supported three-letter ISO 4217 code.",
    ),
    2804016: (
        "User Parameter Not Hashed",
        "The {key} parameter isn't hashed. Hash user parameters with SHA-256, except for the "
        "client user agent, click id and browser id.",
    ),
    2804019: (
        "Invalid Parameter Value",
        "The value in custom_data is not a number.",
    ),
    2804023: (
        "Missing Currency",
        "A value in custom_data needs a currency beside it.",
    ),
    2804036: (
        "Invalid Lead ID",
        "One or more lead ids are invalid or were deleted; the whole group of events may be "
        "rejected. A lead id is a number of 15 or 16 digits.",
    ),
    2804043: (
        "Invalid Extended Device Information",
        "extinfo needs its 16 positions, a version of a2 or i2 first, and the OS version fifth.",
    ),
    2804050: (
        "Not Enough Customer Information",
        "This event has no customer information parameters, or a combination of them so broad "
        "that it is unlikely to be matched.",
    ),
    2804066: (
        "Messaging Event Invalid Event Type",
        "This event_name is not allowed with action_source business_messaging.",
    ),
    2804071: (
        "Messaging Event Missing Click Id",
        "A WhatsApp event needs the ctwa_clid of the click that opened the conversation.",
    ),
    2804116: (
        "Messaging Event Missing Account",
        "A WhatsApp event needs page_id or whatsapp_business_account_id in user_data.",
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Meta rejects an event, and with it the whole request.

    `subcode` is None for a schema error; only those name the place, as `path` inside the event.
    """

    title: str
    explanation: str
    subcode: int | None = None
    path: Path | None = None

    def error(self, index: int) -> dict[str, Any]:
        """Meta's error object for the event at `index` of `data`, without `fbtrace_id`."""
        error: dict[str, Any] = {
            "message": "Invalid parameter",
            "type": "OAuthException",
            "code": 100,
            "is_transient": False,
            "error_user_title": self.title,
            "error_user_msg": self.explanation,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.path is not None:
            where = json_path("data", index, *self.path)
            error["error_user_msg"] = self.explanation.replace("{param}", where)
            error["error_data"] = {
                "blame_field_specs": [["data", str(index), *map(str, self.path)]]
            }
        return error


def known(subcode: int, **details: str) -> Refusal:
    """The refusal with this subcode."""
    title, explanation = SUBCODES[subcode]
    return Refusal(title, explanation.format(**details) if details else explanation, subcode)


def schema(explanation: str, *path: str | int) -> Refusal:
    """A refusal by the request's schema; `{param}` in the text becomes the JSON path."""
    return Refusal("Server Side Api Parameter Error", explanation, None, path)


def json_path(*parts: str | int) -> str:
    """A place in the request as Meta writes it: `$['data'][0]['user_data']`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f"['{part}']" for part in parts)
