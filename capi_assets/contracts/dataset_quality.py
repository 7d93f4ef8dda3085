"""`dataset_quality`: Meta's Dataset Quality, once a day, compared with our own shares."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time, optional

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
    """One row per day, dataset, event name, measure and key; shares of the last seven days."""

    day: Series[Time] = pap.Field(description="Start of the day on which it was read.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset.")
    event_name: Series[Text] = pap.Field(description="Event name; empty if the read failed.")
    measure: Series[Text] = optional("Measure; null if the read failed.", isin=MEASURES)
    key: Series[Text] = optional("Match key or deduplication key, by parameter name.")
    meta_value: Series[Money] = optional("Meta's value: per cent, or 0 to 10 for the score.")
    goal: Series[Money] = optional("Meta's goal, if there is one.")
    words: Series[Text] = optional("Meta's value if it is text, such as `hourly`.")
    our_value: Series[Money] = optional(
        "Per cent of our delivered events that have the key.", ge=0, le=100
    )
    our_events: Series[Count] = optional("Our delivered website events of the seven days.", ge=0)
    difference: Series[Money] = optional("meta_value minus our_value, in percentage points.")
    tolerance: Series[Money] = optional("Tolerated difference in percentage points.", ge=0)
    verdict: Series[Text] = pap.Field(
        isin=QUALITY_VERDICTS, description="Result of the comparison."
    )
    why: Series[Text] = optional("Why the read failed.")
    checked_at: Series[Time] = pap.Field(description="When it was read from Meta.")
