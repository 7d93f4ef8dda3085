"""Which rows are one person's, and which only share an id with them."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.delivery.erasure.person import NobodyNamedError, Person, find_person
from capi_assets.ingest.tombstones import (
    NONE,
    TombstoneError,
    Tombstones,
    create_key,
    read_key,
    tombstones_of,
)
from capi_assets.lake import Lake
from capi_assets.order_identity import person_of
from tests.helpers.erasures import named
from tests.helpers.order_records import H


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ANN, BOB = digest("ann@example.com"), digest("bob@example.com")
SHOP_PHONE = digest("447700900123")
DEFAULTS = {"occurred_at": H, "dataset_id": "1", "event_name": "Purchase"}


def found(lake: Lake, rows: dict[str, list[dict[str, Any]]], **by: str) -> Person:
    contracts: dict[str, type[Contract]] = {"orders": Orders, "visits": Visits}
    for table, contract in contracts.items():
        full = [DEFAULTS | {"event_id": "e" + row.get("order_id", "")} | row for row in rows[table]]
        lake.write(table, H, pa.Table.from_pylist(full, schema=arrow_schema(contract)))
    events = [row | {"lent": "fbp" if "fbp" in row else None} for row in rows.get("events", [])]
    if events:
        schema = pa.schema([(n, pa.string()) for n in ("em", "ph", "external_id", "fbp", "lent")])
        person = person_of(pa.Table.from_pylist(events, schema=schema)).to_pylist()
        full = [
            DEFAULTS | {"event_id": "e" + row["order_id"], "person": marks, **row}
            for row, marks in zip(events, person, strict=True)
        ]
        table = pa.Table.from_pylist(full, schema=arrow_schema(MatchedEvents))
        lake.write("matched_events", H, table)
    return find_person(lake, named(**by))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_orders_visits_and_browsers_of_one_person_are_found_from_one_of_their_ids(
    lake: Lake,
) -> None:
    rows = {
        "orders": [
            {"order_id": "1", "em": f"{ANN} {digest('b@x.com')}", "visit_id": "v1"},
            {"order_id": "2", "em": f"{ANN}.AbCdEfGh", "external_id": "7"},
            {"order_id": "3", "external_id": "7"},
            {"order_id": "4", "em": BOB},
        ],
        "visits": [
            {"visit_id": "v1", "fbp": "fb.1.1.1"},
            {"visit_id": "v2", "fbp": "fb.1.1.1"},
            {"visit_id": "v3", "external_id": "7"},
            {"visit_id": "v4", "fbp": "fb.1.1.2"},
        ],
    }
    person = found(lake, rows, email="Ann@Example.com ")
    assert (person.order_ids, person.visits) == ({"1", "2", "3"}, {"v1", "v2", "v3"})
    assert person.event_ids == {"e1", "e2", "e3"}
    assert person.shared == 0


def test_what_an_id_shares_with_somebody_else_is_counted_and_left(lake: Lake) -> None:
    rows = {
        "orders": [
            {"order_id": "1", "em": ANN, "ph": SHOP_PHONE, "visit_id": "v1"},
            {"order_id": "2", "em": BOB, "ph": SHOP_PHONE},
            {"order_id": "3", "ph": SHOP_PHONE},
            {"order_id": "4", "em": BOB, "visit_id": "v2"},
        ],
        "visits": [{"visit_id": "v1", "fbp": "f"}, {"visit_id": "v2", "fbp": "f"}],
        "events": [
            {"order_id": "1", "em": ANN, "visit_id": "v1", "fbp": "f"},
            {"order_id": "4", "em": BOB, "visit_id": "v2", "fbp": "f"},
        ],
    }
    person = found(lake, rows, email="ann@example.com")
    assert (person.order_ids, person.visits) == ({"1"}, {"v1"})
    assert person.ids == {f"em:{ANN}"}
    assert person.shared == 2
    both = found(lake, rows, phone="+44 7700 900123")
    assert both.order_ids == {"1", "2", "3", "4"}, "a named id counts, whoever shares it"


def test_an_order_without_contacts_is_found_by_its_events_marks_and_by_its_id(lake: Lake) -> None:
    rows = {
        "orders": [{"order_id": "1"}, {"order_id": "2"}],
        "visits": [],
        "events": [{"order_id": "1", "em": ANN, "ph": SHOP_PHONE}, {"order_id": "2", "em": BOB}],
    }
    assert found(lake, rows, email="ann@example.com").order_ids == {"1"}
    assert found(lake, rows, order_id="2").order_ids == {"2"}


def test_what_names_nobody_is_refused_without_being_shown() -> None:
    with pytest.raises(NobodyNamedError, match="email 1 cannot be used") as refused:
        named(email="nonsense")
    assert "nonsense" not in str(refused.value)


def test_a_tombstone_covers_what_came_before_the_erasure_and_needs_its_key(tmp_path: Path) -> None:
    key = str(tmp_path / "new" / "key")
    create_key(key)
    first = read_key(key)
    create_key(key)
    assert read_key(key) == first
    assert (tmp_path / "new" / "key").stat().st_mode & 0o777 == 0o600
    plain = Tombstones(first)
    at = int(H.timestamp()) * 1_000_000
    marks = plain.marks({f"em:{ANN}", "id:17", "order:1\x1fPurchase\x1f9"})
    assert not any(ANN[:10] in mark for mark in marks)
    erased = dict.fromkeys((plain.check_mark(), *marks), at)
    stones = tombstones_of(erased, key)
    later = H + timedelta(seconds=1)
    rows = [
        {"order_id": "1", "em": f"{BOB} {ANN}"},
        {"order_id": "2", "em": ANN, "occurred_at": later},
        {"order_id": "9", "em": BOB},
        {"order_id": "9", "dataset_id": "2"},
    ]
    orders = pa.Table.from_pylist([DEFAULTS | row for row in rows], schema=arrow_schema(Orders))
    assert stones.cover(orders).to_pylist() == [True, False, True, False]
    quarantined = pa.table({"row_id": ["17", "18", None], "hour": [H, H, H]})
    assert stones.without(quarantined)["row_id"].to_pylist() == ["18", None]
    assert NONE.without(orders) is orders
    other = str(tmp_path / "other")
    for path in (other, None):
        with pytest.raises(TombstoneError, match="CAPI_ERASURE_KEY_FILE"):
            tombstones_of(erased, path)
    create_key(other)
    with pytest.raises(TombstoneError, match="is another one"):
        tombstones_of(erased, other)
