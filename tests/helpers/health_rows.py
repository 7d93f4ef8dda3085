"""Rows of `attribution_health` that close, and any of them for hypothesis."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from tests.helpers.order_records import health_row, hour

any_rows = st.lists(
    st.builds(
        lambda n, currency, price, stages: row(hour(n), currency, price, **stages),
        st.integers(0, 70),
        st.none() | st.sampled_from(["EUR", "USD", "JPY", "KWD"]) | st.text(max_size=6),
        st.floats(-1e6, 1e6),
        st.dictionaries(st.sampled_from(STAGES), st.integers(0, 10**7)),
    ),
    max_size=12,
)


def row(at: Any, currency: str | None = "EUR", price: float = 10.0, **stages: int) -> dict:
    """A row that closes, with `price` for every order."""
    orders = sum(stages.values())
    return health_row(
        at, currency=currency, orders=orders, value_orders=orders * price,
        eligible=orders - stages.get("withheld", 0), **stages,
        **{f"value_{stage}": count * price for stage, count in stages.items()},
    )  # fmt: skip


def health(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ATTRIBUTION_HEALTH)
