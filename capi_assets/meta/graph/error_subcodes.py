"""Meta's error subcodes: number, our word for it, what it means.

No page lists them; error_subcodes.toml gathers what was seen live, in issues and in third-party
code. Where our builder refuses the same thing first, the word here is the refusal's reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from capi_assets.table_files import table_beside


@dataclass(frozen=True, slots=True)
class Subcode:
    """One subcode: `name` is a short word for tables, `meaning` a phrase for people."""

    name: str
    meaning: str


EXPIRED_SUBCODE = 2804003
FUTURE_SUBCODE = 2804004
NO_ACCESS_SUBCODE = 33
WRONG_LEVEL_SUBCODE = 99
NOT_LINKED_SUBCODES = frozenset({2804065, 2804131, 2804132, 2804133})

SUBCODES = {int(number): Subcode(*words) for number, words in table_beside(__file__).items()}


def is_payload_subcode(subcode: int | None) -> bool:
    """Whether a subcode belongs to the Conversions API's own range, listed above or not."""
    return subcode is not None and 2_800_000 <= subcode <= 2_899_999


def subcode_name(subcode: int | None) -> str | None:
    """Our word for a subcode; `subcode_<number>` for one never seen; None for None."""
    if subcode is None:
        return None
    known = SUBCODES.get(subcode)
    return known.name if known else f"subcode_{subcode}"
