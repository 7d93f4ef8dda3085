"""`meta_stats`: Meta's own hourly counts beside our ledger's."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Flag, Text, Time

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
    """One row per hour, dataset and event name of ours; one without a name in an empty hour."""

    hour: Series[Time] = pap.Field(description="Start of the hour.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset.")
    event_name: Series[Text] = pap.Field(description="Event name; empty in an empty hour.")
    meta_events: Series[Count] = pap.Field(
        nullable=True, ge=0, description="Server events that Meta counts; null if not read."
    )
    our_delivered_by_event_time: Series[Count] = pap.Field(
        ge=0, description="Delivered events of orders of this hour."
    )
    our_delivered_by_receipt_time: Series[Count] = pap.Field(
        ge=0, description="Events of any hour that Meta accepted in this hour."
    )
    basis: Series[Text] = pap.Field(
        nullable=True, isin=BASES, description="Which of the two fits Meta's counts of the week."
    )
    difference: Series[Count] = pap.Field(
        nullable=True, description="meta_events less ours, by that basis."
    )
    may_be_more: Series[Count] = pap.Field(
        ge=0, description="Events of unknown fate and repeated attempts that Meta may count."
    )
    may_be_fewer: Series[Count] = pap.Field(
        ge=0, description="Events that Meta may count as the Pixel's, or in another hour."
    )
    unexplained: Series[Count] = pap.Field(
        nullable=True, description="What these two leave of the difference."
    )
    tolerance: Series[Count] = pap.Field(
        nullable=True, ge=0, description="How much of it is taken as normal."
    )
    verdict: Series[Text] = pap.Field(isin=COUNT_VERDICTS, description="What follows.")
    sustained: Series[Flag] = pap.Field(
        description="Whether a neighbouring hour, or the day's sum, is off to the same side."
    )
    why: Series[Text] = pap.Field(nullable=True, description="Why it could not be read.")
    checked_at: Series[Time] = pap.Field(description="When the two were compared.")
