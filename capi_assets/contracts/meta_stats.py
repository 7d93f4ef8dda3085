"""`meta_stats`: Meta's hourly event counts compared with our ledger's."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Flag, Text, Time, optional

COUNT_VERDICTS = (
    "agree",
    "meta_has_less",
    "meta_has_more",
    "too_early",
    "cannot_read",
    "not_materialized",
)
BASES = ("event_time", "receipt_time")


class MetaStats(Contract):
    """One row per hour, dataset and event name; one without a name for an hour without events."""

    hour: Series[Time] = pap.Field(description="Start of the hour.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset.")
    event_name: Series[Text] = pap.Field(
        description="Event name; empty for an hour without events."
    )
    meta_events: Series[Count] = optional(
        "Server events that Meta counted; null if the read failed.", ge=0
    )
    our_delivered_by_event_time: Series[Count] = pap.Field(
        ge=0, description="Our delivered events whose event_time is in this hour."
    )
    our_delivered_by_receipt_time: Series[Count] = pap.Field(
        ge=0, description="Our events that Meta accepted in this hour, of any event_time."
    )
    basis: Series[Text] = optional(
        "Which of the two fits Meta's counts of the last week.", isin=BASES
    )
    difference: Series[Count] = optional("meta_events minus ours, on that basis.")
    may_be_more: Series[Count] = pap.Field(
        ge=0, description="Events with unknown outcome and repeated attempts, which Meta may count."
    )
    may_be_fewer: Series[Count] = pap.Field(
        ge=0, description="Events that Meta may count as Pixel events or in another hour."
    )
    unexplained: Series[Count] = optional("Part of the difference that these two do not explain.")
    tolerance: Series[Count] = optional("Tolerated unexplained difference.", ge=0)
    verdict: Series[Text] = pap.Field(isin=COUNT_VERDICTS, description="Result of the comparison.")
    sustained: Series[Flag] = pap.Field(
        description="Whether a neighbouring hour or the day's total differs in the same direction."
    )
    why: Series[Text] = optional("Why the read failed.")
    checked_at: Series[Time] = pap.Field(description="When the counts were compared.")
