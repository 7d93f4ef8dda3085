"""`dataset_quality`: what Meta's Dataset Quality says of a day, beside our own shares."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time

MEASURES = (
    "score",
    "match_key",
    "dedup_key_server",
    "dedup_key_browser",
    "dedup_key_overall",
    "event_coverage",
    "upload_frequency",
)
QUALITY_VERDICTS = ("agree", "meta_has_less", "meta_has_more", "not_compared", "cannot_read")


class DatasetQuality(Contract):
    """One row per day, dataset, event name, measure and key; percentages of the seven days."""

    day: Series[Time] = pap.Field(description="Start of the day on which Meta was asked.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset.")
    event_name: Series[Text] = pap.Field(description="Event name; empty if nothing was read.")
    measure: Series[Text] = pap.Field(
        nullable=True, isin=MEASURES, description="What is measured; null if nothing was read."
    )
    key: Series[Text] = pap.Field(
        nullable=True, description="Match key or deduplication key, by its parameter's name."
    )
    meta_value: Series[Money] = pap.Field(
        nullable=True, description="Meta's figure: per cent, or 0 to 10 for the score."
    )
    goal: Series[Money] = pap.Field(nullable=True, description="Meta's goal for it, if it has one.")
    words: Series[Text] = pap.Field(nullable=True, description="Meta's word, such as hourly.")
    our_value: Series[Money] = pap.Field(
        nullable=True, ge=0, le=100, description="Per cent of our delivered events with the key."
    )
    our_events: Series[Count] = pap.Field(
        nullable=True, ge=0, description="Delivered website events of the seven days."
    )
    difference: Series[Money] = pap.Field(
        nullable=True, description="meta_value less our_value, in points."
    )
    tolerance: Series[Money] = pap.Field(
        nullable=True, ge=0, description="Points that are taken as normal."
    )
    verdict: Series[Text] = pap.Field(isin=QUALITY_VERDICTS, description="What follows.")
    why: Series[Text] = pap.Field(nullable=True, description="Why it could not be read.")
    checked_at: Series[Time] = pap.Field(description="When Meta was asked.")
