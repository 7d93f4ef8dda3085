"""What visits and orders share between validation and the lake: digests, click ids, clean URLs.

`visits.py` and `orders.py` add the columns of their own table. How a value is normalised is in
`meta/match_keys/`; nothing behind this module has seen raw contact data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.ingest.free_text import reduced_json, reduced_urls
from capi_assets.ingest.hashing import HashPolicy, hash_contacts
from capi_assets.ingest.pii_scan import stored_id, without_contact_ids
from capi_assets.meta.match_keys.click_ids import (
    fbc_column,
    fbclid_from_url_column,
    fbp_column,
    ip_column,
)
from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.page_urls import page_column
from capi_assets.meta.match_keys.placeholders import PLAIN_KEYS, without_placeholders


def normalised_columns(
    rows: pa.Table,
    policy: HashPolicy,
    today: date,
    *,
    page_url: str,
    click_seen_at: pa.Array,
    json_texts: Sequence[str] = (),
) -> tuple[dict[str, pa.Array], list[tuple[str, pa.Array]]]:
    """The columns of validated `rows` as they are stored, and the problems by column.

    The result has raw columns too, which the stored contract leaves out. `page_url` names the
    column whose query string may contain the click id; `click_seen_at` is when a click id without
    its cookie was first seen, null where unknown. `json_texts` are columns with JSON, of which
    known keys remain. A problem is a code, null where there is none; those without a column are
    whole entries.
    """
    rows, placeholders = without_placeholders(rows, PLAIN_KEYS)
    rows, contact_ids = without_contact_ids(rows)
    digests, problems = hash_contacts(rows, policy, today)
    if not policy.hash_external_id:
        given = digests["external_id"]
        (digests["external_id"],) = map_distinct(
            given, lambda ids: (" ".join(map(stored_id, ids.split())),), [pa.string()]
        )
        is_same = pc.equal(given, digests["external_id"])
        hashed = pc.if_else(is_same, pa.scalar(None, pa.string()), Problem.CONTACT_HASHED.code)
        problems["external_id"] = pc.coalesce(problems["external_id"], hashed)
    fbclid = pc.coalesce(
        rows.column("fbclid").combine_chunks(), fbclid_from_url_column(rows.column(page_url))
    )
    occurred = rows.column("occurred_at").combine_chunks()
    clicks = fbc_column(rows.column("fbc"), fbclid, click_seen_at, row_time=occurred)
    fbp, fbp_problems = fbp_column(rows.column("fbp"))
    ip, ip_problems = ip_column(rows.column("client_ip_address"))
    reduced, removed = {}, []
    for name in (page_url, "referrer_url"):
        page, page_problems = page_column(rows.column(name).combine_chunks())
        reduced[name], entries = reduced_urls(page, name, policy.own_keys)
        removed += [(name, page_problems), ("", entries)]
    for name in json_texts:
        reduced[name], entries = reduced_json(rows.column(name), name, policy.own_keys)
        removed.append(("", entries))
    columns = {
        **{name: rows.column(name) for name in rows.column_names},
        **digests,
        **reduced,
        "fbc": clicks.fbc,
        "fbclid": clicks.fbclid,
        "fbp": fbp,
        "client_ip_address": ip,
    }
    return columns, [
        *placeholders.items(),
        *contact_ids.items(),
        *problems.items(),
        ("fbc", clicks.problems),
        ("fbp", fbp_problems),
        ("client_ip_address", ip_problems),
        *removed,
    ]
