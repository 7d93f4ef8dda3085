"""Which orders should reach Meta, and the rows of `matched_events`.

Meta has no consent parameter (page "End-to-end implementation"): without consent, nothing is sent.
The latest stored status and consent decide, so that a withdrawal or cancellation after the order
stops any later delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.meta.events.build import build_events
from capi_assets.meta.limits import deliver_until
from capi_assets.order_identity import CONSENT_WITHDRAWN, person_of

_ORDER = ("occurred_at", "order_id", "event_name", "dataset_id")

WITHHELD_TEXTS = {
    "test_order": "A test order of the shop.",
    "not_confirmed": "The order is not confirmed yet; it is sent once its status is confirmed.",
    "cancelled": "The order was cancelled.",
    "refunded": "The order was refunded.",
    "no_consent": "The person refused to share data with Meta.",
    CONSENT_WITHDRAWN: "The person withdrew consent after the order.",
    "consent_not_recorded": "No consent is recorded, and CAPI_CONSENT_REQUIRED is set.",
    "without_browser": "A website order without the browser's user agent or page, and"
    " CAPI_WEBSITE_WITHOUT_BROWSER is withhold.",
}

_STATUS_REASONS = {
    "test": "test_order",
    "pending": "not_confirmed",
    "cancelled": "cancelled",
    "refunded": "refunded",
}


def withheld_reason(orders: pa.Table, consent_required: bool) -> pa.Array:
    """Why each order is withheld (a key of `WITHHELD_TEXTS`), null where it is not.

    Reads the columns `status` and `consent`. A refusal of consent comes before any status; a
    missing consent counts only if `consent_required` (CAPI_CONSENT_REQUIRED).
    """
    status = orders.column("status").combine_chunks()
    consent = orders.column("consent").combine_chunks()
    by_status = pc.take(
        pa.array(_STATUS_REASONS.values()),
        pc.index_in(status, pa.array(_STATUS_REASONS.keys())),
    )
    refused = pc.fill_null(pc.invert(consent), False)
    reason = pc.if_else(refused, "no_consent", by_status)
    if consent_required:
        unrecorded = pc.and_(pc.is_null(consent), pc.is_null(reason))
        reason = pc.if_else(unrecorded, "consent_not_recorded", reason)
    return reason


_FACTS = (
    *("order_id", "occurred_at", "event_name", "event_id", "action_source", "status", "value"),
    *("currency", "consent", "opt_out", "pixel_reported_at", "dataset_id", "visit_id", "person"),
    "dropped_fields",
)
MATCH_DATA = tuple(name for name in arrow_schema(Orders).names if name not in _FACTS)
"""Columns of `orders` that only an event needs: who the person is, and what was bought. The visit
and the person's marks stay, by which an erasure finds the order."""


def without_match_data(
    rows: pa.Table, those: pa.ChunkedArray, columns: Sequence[str] = MATCH_DATA
) -> pa.Table:
    """`rows` without the values of `columns` in `those` rows, which are not sent, or no more."""
    for name in columns:
        place = rows.schema.get_field_index(name)
        empty = pc.if_else(those, pa.scalar(None, rows.schema.field(name).type), rows[name])
        rows = rows.set_column(place, rows.schema.field(name), empty)
    return rows


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """The settings that decide what is sent for an order.

    Attributes:
        consent_required: orders without recorded consent are withheld (CAPI_CONSENT_REQUIRED).
        withhold_without_browser: so are website orders without a user agent or a page.
        site_url: the page of website orders that have none (CAPI_SITE_URL).
    """

    consent_required: bool = False
    withhold_without_browser: bool = False
    site_url: str | None = None


def matched_events_of(matched: pa.Table, policy: EventPolicy) -> pa.Table:
    """The rows of `matched_events`, sorted, so that the same input gives the same bytes.

    The asset `matched_events` calls it with the result of `matching.match`. A withheld order has no
    event: its match keys stay in `orders`.

        matched_events_of(match(orders, visits, lookback, engine), EventPolicy())

    Raises:
        ContractError: the result breaks its contract, which is a bug.
    """
    withheld = withheld_reason(matched, policy.consent_required)
    eligible = pc.is_null(withheld)
    built = build_events(matched.filter(eligible), policy.site_url)
    if policy.withhold_without_browser:
        built = withhold(built, built.column("without_browser"), "without_browser")
    # The row number of each eligible order in `built`; null for the withheld.
    places = pc.subtract(pc.cumulative_sum(eligible.cast(pa.int64())), 1)
    places = pc.if_else(eligible, places, pa.scalar(None, pa.int64()))
    columns = {name: matched.column(name) for name in matched.column_names}
    columns |= {name: pc.take(built.column(name), places) for name in built.column_names}
    seconds = pc.divide(matched.column("occurred_at").cast(pa.int64()), 1_000_000)
    columns |= {
        "event_time": seconds,
        "deliver_until": deliver_until(seconds, matched.column("action_source")),
        "verdict": pc.fill_null(columns["verdict"], "withheld"),
        "reason": pc.coalesce(withheld, columns["reason"]),
        "person": _person(matched),
    }
    table = conform(pa.table(columns), MatchedEvents)
    return table.sort_by([(name, "ascending") for name in _ORDER])


def _person(matched: pa.Table) -> pa.ChunkedArray:
    """Whose order it is; as it was stored, where the order is stored without its contacts."""
    person = person_of(matched)
    if "person" not in matched.column_names:
        return person
    has_contacts, had_contacts = (
        pc.fill_null(pc.match_substring_regex(marks, "(^| )[epx]"), False)
        for marks in (person, matched["person"])
    )
    is_removed = pc.and_(had_contacts, pc.invert(has_contacts))
    return pc.if_else(is_removed, matched["person"], person)


def withhold(events: pa.Table, withheld: pa.ChunkedArray, reason: str) -> pa.Table:
    """`events` with the rows of `withheld` withheld for `reason`: no match keys, no payload."""
    values = {"verdict": "withheld", "reason": reason}
    for name in ("verdict", "reason", "match_keys", "payload", "payload_sha256"):
        place = events.schema.get_field_index(name)
        if place >= 0:
            value = pa.scalar(values.get(name), pa.string())
            changed = pc.if_else(withheld, value, events.column(name))
            events = events.set_column(place, events.schema.field(name), changed)
    return events
