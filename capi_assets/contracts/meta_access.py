"""`meta_access`: whether Meta accepts each dataset's token, how long it lasts, and the version."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Flag, Text, Time

VERDICTS = ("ok", "unknown", "warning", "error")


class MetaAccess(Contract):
    """One row per dataset that is set up, as of the look."""

    dataset_id: Series[Text] = pap.Field(unique=True, description="Meta dataset.")
    checked_at: Series[Time] = pap.Field(description="When Meta was asked.")
    verdict: Series[Text] = pap.Field(isin=VERDICTS, description="The worst of what was found.")
    words: Series[Text] = pap.Field(description="What was found, and what to do, in sentences.")
    token_accepted: Series[Flag] = pap.Field(
        nullable=True, description="Whether Meta accepts the token; empty if it did not tell."
    )
    preflight: Series[Text] = pap.Field(
        nullable=True,
        description="What the preflight's event met: `ok`, or the cause; empty if none was sent.",
    )
    expires_at: Series[Time] = pap.Field(
        nullable=True, description="When the token ends; empty for never, or if not told."
    )
    never_expires: Series[Flag] = pap.Field(description="Whether Meta said that it has no end.")
    days_left: Series[Count] = pap.Field(
        nullable=True, description="Whole days until the token ends; negative once it has."
    )
    data_access_expires_at: Series[Time] = pap.Field(
        nullable=True, description="When the app's access to the person's data ends, if it does."
    )
    scopes: Series[Text] = pap.Field(
        nullable=True, description="The token's permissions, separated by spaces."
    )
    version: Series[Text] = pap.Field(description="Graph API version that is asked for.")
    answered_version: Series[Text] = pap.Field(nullable=True, description="Version that answered.")
    version_ends: Series[Time] = pap.Field(
        nullable=True, description="The day from which the version is gone, if one is set."
    )
    version_days_left: Series[Count] = pap.Field(
        nullable=True, description="Days until then; 0 or less once it is gone."
    )
    http_status: Series[Count] = pap.Field(nullable=True, description="Of the preflight.")
    code: Series[Count] = pap.Field(nullable=True, description="Meta's error code.")
    subcode: Series[Count] = pap.Field(nullable=True, description="Meta's error subcode.")
    trace_id: Series[Text] = pap.Field(nullable=True, description="Meta's trace id.")
    told: Series[Text] = pap.Field(
        description="What was told in alerts, as topic=state: never told twice."
    )
