"""Which sets of match keys Meta refuses as too weak (2804050; page "Best practices", since v13.0).

The page names four sets; any subset of one is refused too, the empty set included. It names no
good sets: whatever is not inside a bad one is accepted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from capi_assets.meta.events.user_data import bits_of

WEAK_SETS = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)

BUSINESS_KEYS = frozenset({"page_id", "whatsapp_business_account_id", "ig_account_id"})
"""Judgement: these name the business, not the person, so they make no set stronger."""

_WEAK_BITS = tuple(bits_of(keys) for keys in WEAK_SETS)
_BUSINESS_BITS = bits_of(BUSINESS_KEYS)


def weak(key_bits: pa.Array) -> pa.Array:
    """Whether events with just these `user_data` keys are refused, by their key bits (see
    `user_data.read_user_data`)."""
    bits = key_bits.to_numpy() & ~np.int64(_BUSINESS_BITS)
    refused = np.zeros(len(bits), bool)
    for allowed in _WEAK_BITS:
        refused |= (bits & ~np.int64(allowed)) == 0
    return pa.array(refused)
