"""Contact fields to digests: raw values go no further than this module.

Called by `ingest.visits` and `ingest.orders` for the rows of a day, before anything is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.hashed_keys import ExternalIdForm, hash_column

# Landed column -> match key.
CONTACT_FIELDS = {
    "email": "em",
    "phone": "ph",
    "first_name": "fn",
    "last_name": "ln",
    "date_of_birth": "db",
    "gender": "ge",
    "city": "ct",
    "state": "st",
    "zip": "zp",
    "country": "country",
    "external_id": "external_id",
}


@dataclass(frozen=True)
class HashPolicy:
    """The settings of normalisation; see `settings` for their meaning."""

    default_country: str | None = None
    date_format: str | None = None
    hash_external_id: bool = True
    external_id_form: ExternalIdForm = "pixel"
    own_keys: frozenset[str] = frozenset()


def hash_contacts(
    rows: pa.Table, policy: HashPolicy, today: date
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """Digests by match key and problems by landed column, for the contact columns of `rows`.

    `today` bounds dates of birth: the day of the data, not of the run, so that an old hour gives
    the same rows whenever it is read. Problems are codes of `meta.match_keys.key_problems`.
    """
    digests: dict[str, pa.Array] = {}
    problems: dict[str, pa.Array] = {}
    country = rows.column("country") if "country" in rows.column_names else None
    for field, key in CONTACT_FIELDS.items():
        if field not in rows.column_names:
            continue
        hashed = hash_column(
            key,
            rows.column(field),
            country=country,
            default_country=policy.default_country,
            date_format=policy.date_format,
            today=today,
            hash_external_id=policy.hash_external_id,
            external_id_form=policy.external_id_form,
        )
        digests[key] = hashed.digests
        problems[field] = hashed.problems
    return digests, problems


def add_drops(drops: pa.Array, problems: Iterable[tuple[str, pa.Array]]) -> pa.Array:
    """`dropped_fields` with further `column:reason` entries, separated by spaces.

    `problems` are columns and codes; without a column, the codes are entries already.
    """
    entries = [
        pc.binary_join_element_wise(pa.scalar(name), codes, ":") if name else codes
        for name, codes in problems
        if codes.null_count < len(codes)
    ]
    if not entries:
        return drops
    # Not null_handling="skip": pyarrow 26 drops the rows in which everything is null.
    joined = pc.binary_join_element_wise(
        drops, *entries, " ", null_handling="replace", null_replacement=""
    )
    text = pc.utf8_trim(pc.replace_substring_regex(joined, " +", " "), " ")
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
