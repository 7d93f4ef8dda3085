"""What `action_source = business_messaging` asks of an event: channel, name and ids.

Rules: page "Conversions API for business messaging". The subcodes were seen live by third parties.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.json_text import Columns
from capi_assets.meta.limits import MESSAGING_CHANNELS, MESSAGING_EVENTS

_CHANNELS = pa.array(sorted(MESSAGING_CHANNELS))
_EVENTS = pa.array(sorted(MESSAGING_EVENTS))


def channel_unknown(rows: Columns) -> pa.Array:
    """A channel outside Meta's list, or none where one is needed."""
    channel = rows["messaging_channel"]
    missing = pc.and_(_from_messaging(rows), pc.is_null(channel))
    outside = pc.and_(pc.is_valid(channel), pc.invert(pc.is_in(channel, _CHANNELS)))
    return pc.or_(missing, outside)


def event_not_allowed(rows: Columns) -> pa.Array:
    """A name Meta does not take from conversations."""
    return pc.and_(_from_messaging(rows), pc.invert(pc.is_in(rows["event_name"], _EVENTS)))


def without_account(rows: Columns) -> pa.Array:
    """WhatsApp without the page or the business account that was written to."""
    account = pc.coalesce(rows["page_id"], rows["whatsapp_business_account_id"])
    return pc.and_(_on(rows, "whatsapp"), pc.is_null(account))


def without_click(rows: Columns) -> pa.Array:
    """WhatsApp without the id of the click that opened the conversation."""
    return pc.and_(_on(rows, "whatsapp"), pc.is_null(rows["ctwa_clid"]))


def without_ids(rows: Columns) -> pa.Array:
    """Messenger or Instagram without the account or the person's id in it."""
    messenger = pc.or_(pc.is_null(rows["page_id"]), pc.is_null(rows["page_scoped_user_id"]))
    instagram = pc.or_(pc.is_null(rows["ig_account_id"]), pc.is_null(rows["ig_sid"]))
    return pc.or_(
        pc.and_(_on(rows, "messenger"), messenger), pc.and_(_on(rows, "instagram"), instagram)
    )


def _from_messaging(rows: Columns) -> pa.Array:
    return pc.equal(rows["action_source"], "business_messaging")


def _on(rows: Columns, channel: str) -> pa.Array:
    return pc.and_(_from_messaging(rows), pc.equal(rows["messaging_channel"], channel))
