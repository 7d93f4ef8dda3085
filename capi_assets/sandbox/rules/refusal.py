"""Meta's errors for events it rejects: the subcodes with their titles, and the error body.

Subcodes are those of Meta's Conversions API seen in the wild (all under code 100, HTTP 400, not
transient); titles follow Meta's English ones, the explanations are our own. When to reject is
decided in validate.py and its rule files.
"""

from __future__ import annotations

import json
import pathlib
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

# Meta's lists of names, and title and explanation by subcode.
META: dict[str, Any] = json.loads((pathlib.Path(__file__).parent / "meta.json").read_bytes())


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
    title, explanation = META["subcodes"][str(subcode)]
    return Refusal(title, explanation.format(**details) if details else explanation, subcode)


def schema(explanation: str, *path: str | int) -> Refusal:
    """A refusal by the request's schema; `{param}` in the text becomes the JSON path."""
    return Refusal("Server Side Api Parameter Error", explanation, None, path)


def json_path(*parts: str | int) -> str:
    """A place in the request as Meta writes it: `$['data'][0]['user_data']`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f"['{part}']" for part in parts)
