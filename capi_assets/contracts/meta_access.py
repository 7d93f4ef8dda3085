"""`meta_access`: whether Meta accepts each dataset's token, how long it lasts, and the version."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Flag, Text, Time, optional

VERDICTS = ("ok", "unknown", "warning", "error")


class MetaAccess(Contract):
    """One row per configured dataset, as of the daily access check."""

    dataset_id: Series[Text] = pap.Field(unique=True, description="Meta dataset.")
    checked_at: Series[Time] = pap.Field(description="When access was checked.")
    verdict: Series[Text] = pap.Field(isin=VERDICTS, description="The worst finding.")
    words: Series[Text] = pap.Field(description="The findings with their remedies, in sentences.")
    token_accepted: Series[Flag] = optional("Whether Meta accepts the token; null if unknown.")
    preflight: Series[Text] = optional(
        "Result of the preflight event: `ok` or the cause; null if none was sent."
    )
    expires_at: Series[Time] = optional("When the token expires; null for never or unknown.")
    never_expires: Series[Flag] = pap.Field(
        description="Whether the token does not expire, according to Meta."
    )
    days_left: Series[Count] = optional("Whole days until the token expires; negative after that.")
    data_access_expires_at: Series[Time] = optional(
        "When the app's access to the user's data expires, if it does."
    )
    scopes: Series[Text] = optional("The token's permissions, separated by spaces.")
    version: Series[Text] = pap.Field(description="Configured Graph API version.")
    answered_version: Series[Text] = optional("Version of Meta's response.")
    version_ends: Series[Time] = optional(
        "Day on which Meta retires the version, if it is announced."
    )
    version_days_left: Series[Count] = optional("Days until then; 0 or less after that.")
    http_status: Series[Count] = optional("HTTP status of the preflight event.")
    code: Series[Count] = optional("Meta's error code.")
    subcode: Series[Count] = optional("Meta's error subcode.")
    trace_id: Series[Text] = optional("Meta's trace id.")
    told: Series[Text] = pap.Field(
        description="Alert states already sent, as topic=state; each is sent once."
    )
