"""Orders and visits as keywords, matched: what the tests of matching share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb

from capi_assets.contracts.matched_events import MATCHED_BY
from capi_assets.engine import DuckDBEngine
from capi_assets.matching import match
from tests.helpers.factories import Row, at, digest, orders, visits

LOOKBACK = timedelta(hours=168)
OCCURRED = at(30)
EM, PH = digest("ana@example.com"), digest("351912345678")
AGENT, IP = "Mozilla/5.0", "85.1.2.3"

KEYS: dict[str, Row] = {
    "visit_id": {"visit_id": "v1"},
    "external_id": {"external_id": "u1"},
    "em": {"em": EM},
    "ph": {"ph": PH},
    "fbclid": {"fbclid": "IwAR1"},
    "fbp": {"fbp": "fb.1.1700000000000.123"},
    "ip_user_agent": {"client_ip_address": IP, "client_user_agent": AGENT},
}
assert tuple(KEYS) == MATCHED_BY


class Matcher:
    """Matches rows given as keywords."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.engine = DuckDBEngine(connection)

    def __call__(
        self, order_rows: Sequence[Row], visit_rows: Sequence[Row], lookback: timedelta = LOOKBACK
    ) -> list[dict[str, Any]]:
        found = match(orders(*order_rows), visits(*visit_rows), lookback, self.engine)
        return list(found.to_pylist())

    def one(self, order: Row, *visit_rows: Row) -> dict[str, Any]:
        (found,) = self([order], visit_rows)
        return found
