"""Hypothesis strategies for orders: `fine_rows` are mostly fit to be sent, `wild_rows` rarely."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import pyarrow as pa
from hypothesis import strategies as st

from capi_assets.meta.events.custom_data import CUSTOM_DATA_FIELDS
from capi_assets.meta.events.user_data import EXTRA_FIELDS, HASHED_FIELDS, PLAIN_FIELDS
from capi_assets.meta.limits import LDU_STATES
from tests.helpers.order_rows import SCHEMA, app, bare, digest, purchase, whatsapp

text = st.text(max_size=8)
word = text.filter(lambda value: bool(value.strip()))
digests = st.lists(st.sampled_from([digest(c) for c in "abc"]), min_size=1, max_size=2).map(
    " ".join
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
ident = word | st.integers(-(2**63), 2**64 - 1)
money = st.floats(0, 1e12)
contents = st.lists(
    st.fixed_dictionaries(
        {"id": ident}, optional={"quantity": st.integers(0, 9), "item_price": money, "x": anything}
    ),
    max_size=3,
)
content_ids = st.lists(st.none() | st.just("") | ident, max_size=3)
when = st.integers(10**9, 10**10 - 1)
free_keys = text.filter(lambda key: key not in {*CUSTOM_DATA_FIELDS, "original_event_data"})
documented = st.fixed_dictionaries(
    {},
    optional={
        "value": money | money.map(repr),
        "currency": st.sampled_from(["usd", "EUR"]),
        "contents": contents,
        "content_ids": content_ids,
        "content_type": text,
        "num_items": st.integers(0, 2**62),
        "order_id": anything,
        "predicted_ltv": money | money.map(repr),
        "net_revenue": st.floats(-1e6, 1e6),
        "search_string": text,
        "status": anything,
        "store_data": st.dictionaries(text, anything, max_size=2),
        "delivery_category": st.sampled_from(["curbside", "in_store"]),
        "customer_segmentation": st.just("customer_in_loyalty_program"),
        "original_event_data": st.fixed_dictionaries(
            {},
            optional={"event_name": word, "event_id": word, "order_id": ident, "event_time": when},
        ),
    },
)
loose = st.builds(
    lambda known, free: known | {k: v for k, v in free.items() if k not in known},
    documented,
    st.dictionaries(free_keys, anything, max_size=3),
)
app_datas = st.fixed_dictionaries(
    {"advertiser_tracking_enabled": st.booleans() | st.integers(0, 1)},
    optional={
        "application_tracking_enabled": st.booleans(),
        "campaign_ids": st.lists(text, max_size=2),
        "vendor_id": text,
        "extinfo": st.tuples(
            st.sampled_from(["a2", "i2"]),
            st.lists(st.none() | text | st.integers(0, 4000), min_size=3, max_size=3),
            word,
            st.lists(st.none() | text | st.integers(0, 4000), min_size=11, max_size=11),
        ).map(lambda parts: [parts[0], *parts[1], parts[2], *parts[3]]),
    },
)


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str | None]:
    return (
        st.none() | values.map(lambda value: orjson.dumps(value).decode()) | values.map(json.dumps)
    )


fine_changes = st.fixed_dictionaries(
    {},
    optional={
        "order_id": word,
        "event_id": word,
        "event_name": word | st.just("Purchase"),
        "occurred_at": when.map(lambda seconds: datetime.fromtimestamp(seconds + 0.5, UTC)),
        "value": money,
        "currency": st.sampled_from(["EUR", "usd", None]),
        **dict.fromkeys(("event_source_url", "referrer_url", "content_type"), text | st.none()),
        **dict.fromkeys(PLAIN_FIELDS, text | st.none()),
        "lead_id": st.sampled_from(["525645896321548", None]),
        **dict.fromkeys(HASHED_FIELDS, digests | st.none() | st.just("")),
        "num_items": st.integers(0, 10) | st.none(),
        "opt_out": st.booleans() | st.none(),
        "contents": as_json(contents),
        "content_ids": as_json(content_ids),
        "custom_data": as_json(loose),
        "app_data": as_json(app_datas),
        "user_data": as_json(
            st.dictionaries(st.sampled_from(EXTRA_FIELDS), st.none() | st.just("") | ident)
        ),
        "data_processing_options": st.sampled_from(['["LDU"]', "[]", ' [ "LDU" ] ', None]),
        "data_processing_options_country": st.sampled_from([0, 1, None]),
        "data_processing_options_state": st.sampled_from([*LDU_STATES, None]),
        "messaging_channel": st.sampled_from(["whatsapp", None]),
    },
)
kinds = st.sampled_from([purchase, app, whatsapp, partial(bare, "chat"), partial(bare, "email")])
fine_rows = st.builds(lambda kind, changes: kind(**changes), kinds, fine_changes)

wild_text = st.none() | text | st.sampled_from(["[", "{}", "[]", "null", "NaN", "1", "[{}]", '[["'])
wild_int = st.none() | st.integers(-(2**63), 2**63 - 1)
wild_rows = st.fixed_dictionaries(
    {},
    optional={
        name: {
            pa.string(): wild_text,
            pa.int64(): wild_int,
            pa.float64(): st.none() | st.floats(),
            pa.bool_(): st.none() | st.booleans(),
        }.get(kind, st.none() | st.datetimes(timezones=st.just(UTC)))
        for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True)
    },
)
rows = st.lists(fine_rows | wild_rows | st.builds(dict.__or__, fine_rows, wild_rows), max_size=8)
