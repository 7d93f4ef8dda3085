"""The data dictionary is complete, and holds tables to it exactly as pandera would."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pap
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import (
    UTC_MICROSECONDS,
    Contract,
    ContractError,
    arrow_schema,
    breaches,
    columns,
    conform,
)
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.landing import LandedOrders, LandedVisits
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from tests.helpers.factories import DATASET, at, digest, orders, visits

CONTRACTS: list[type[Contract]] = [
    *(LandedVisits, LandedOrders, Visits, Orders),
    *(MatchedEvents, DeliveryResults, AttributionHealth, Quarantine),
]
by_name = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: c.__name__)

# What the README promises to take.
VISITS = """visit_id occurred_at page_url referrer_url fbclid fbc fbp client_ip_address
client_user_agent external_id email phone consent"""
ORDERS = """order_id occurred_at event_name event_id action_source status value currency contents
content_ids content_type num_items event_source_url referrer_url email phone first_name last_name
date_of_birth gender city state zip country external_id visit_id client_ip_address
client_user_agent fbc fbp fbclid subscription_id lead_id fb_login_id anon_id madid consent opt_out
data_processing_options data_processing_options_country data_processing_options_state
pixel_reported_at custom_data app_data user_data messaging_channel dataset_id"""


@by_name
def test_every_column_has_a_type_and_a_description(contract: type[Contract]) -> None:
    described = columns(contract)
    assert described
    for column in described:
        assert column.type, column.name
        assert column.description.endswith("."), column.name
    assert arrow_schema(contract).names == [column.name for column in described]


@pytest.mark.parametrize(("contract", "names"), [(LandedVisits, VISITS), (LandedOrders, ORDERS)])
def test_what_may_land_is_what_is_promised(contract: type[Contract], names: str) -> None:
    assert {column.name for column in columns(contract)} == set(names.split())


@pytest.mark.parametrize(
    ("contract", "required"),
    [
        (LandedVisits, {"visit_id", "occurred_at"}),
        (LandedOrders, {"order_id", "occurred_at", "event_name", "action_source", "status"}),
    ],
)
def test_few_columns_are_required(contract: type[Contract], required: set[str]) -> None:
    assert {column.name for column in columns(contract) if column.required} == required


def test_no_contact_column_is_stored() -> None:
    contact = {"email", "phone", "first_name", "last_name", "date_of_birth", "gender", "city"}
    contact |= {"state", "zip"}
    for contract in (Visits, Orders, MatchedEvents, Quarantine, DeliveryResults):
        assert not contact & set(arrow_schema(contract).names)


@by_name
def test_an_empty_table_keeps_every_contract(contract: type[Contract]) -> None:
    empty = arrow_schema(contract).empty_table()
    assert conform(empty, contract) == empty


def test_a_table_is_given_the_columns_of_its_contract_in_their_order() -> None:
    table = visits({}, {})
    shuffled = table.select(table.column_names[::-1]).append_column("extra", pa.array([1, 2]))
    assert conform(shuffled, Visits) == table


def test_types_that_fit_are_cast() -> None:
    table = orders({"num_items": 3})
    at_place = table.schema.get_field_index("num_items")
    table = table.set_column(at_place, "num_items", pa.array([3], pa.int32()))
    assert conform(table, Orders).schema == arrow_schema(Orders)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (visits({}).drop_columns(["fbc", "em"]), "Visits: missing columns fbc, em"),
        (visits({"visit_id": None}), "column visit_id fails not_nullable in 1 rows"),
        (visits({"visit_id": "a"}, {"visit_id": "a"}), "column visit_id fails unique in 1 rows"),
        (visits({}, {"em": "Ana"}), "column em fails str_matches in 1 rows, first in row 1"),
        (visits({}).set_column(1, "occurred_at", pa.array(["Ana"])), "ArrowInvalid in a cast"),
    ],
)
def test_what_breaks_a_contract_is_named_and_not_shown(table: pa.Table, words: str) -> None:
    with pytest.raises(ContractError) as error:
        conform(table, Visits)
    assert words in str(error.value)
    assert "Ana" not in str(error.value)


def test_an_order_is_one_in_its_dataset_and_event() -> None:
    same = {"order_id": "o1"}
    fine = orders(same, {**same, "event_name": "Lead"}, {**same, "dataset_id": "other"})
    assert conform(fine, Orders) == fine
    with pytest.raises(ContractError, match="dataset_id event_name order_id fails unique"):
        conform(orders(same, same), Orders)


@pytest.mark.parametrize(
    ("keys", "keep"),
    [
        (digest("a"), True),
        (f"{digest('a')} {digest('b')}", True),
        (f"{digest('a')}.AQICAQMC", True),
        (f"{digest('a')}.AQ", True),
        (digest("a").upper(), False),
        (digest("a")[:-1], False),
        (f"{digest('a')}  {digest('b')}", False),
        ("ana@example.com", False),
        ("", False),
    ],
)
def test_only_digests_are_stored_as_match_keys(keys: str, keep: bool) -> None:
    found = breaches(visits({"em": keys}), Visits)
    assert [(b.column, b.check) for b in found] == ([] if keep else [("em", "str_matches")])


def test_a_purchase_needs_value_and_currency_and_a_lead_does_not() -> None:
    landed: dict[str, Any] = {"order_id": "o", "occurred_at": at(), "event_name": "Purchase"}
    landed |= {"action_source": "website", "status": "confirmed"}
    table = _landed(landed, {**landed, "event_name": "Lead"}, {**landed, "value": 1.0})
    found = {(b.column, b.check, tuple(b.rows)) for b in breaches(table, LandedOrders)}
    assert found == {("value", "missing", (0,)), ("currency", "missing", (0, 2))}


def _landed(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(LandedOrders))


some_text = st.none() | st.sampled_from(["", "Purchase", "website", "EUR", "x" * 300, "😀" * 600])
rows = st.fixed_dictionaries(
    {
        "order_id": some_text,
        "occurred_at": st.none() | st.just(at()),
        "event_name": some_text,
        "action_source": some_text,
        "status": st.none() | st.sampled_from(["confirmed", "sold"]),
        "value": st.none() | st.sampled_from([-1.0, 0.0, 5.0, 1e12]),
        "currency": some_text,
        "num_items": st.none() | st.integers(-1, 1),
        "email": some_text,
        "consent": st.none() | st.booleans(),
    }
)


@given(st.lists(rows, max_size=6))
@settings(max_examples=15, deadline=None)
def test_breaches_are_those_that_pandera_reports(given_rows: list[dict[str, Any]]) -> None:
    table = _landed(*given_rows)
    ours = {(b.column, b.check, int(row)) for b in breaches(table, LandedOrders) for row in b.rows}
    assert ours == _pandera(table, LandedOrders)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=5))
@settings(max_examples=20, deadline=None)
def test_repeated_ids_are_those_that_pandera_finds(ids: list[str]) -> None:
    table = visits(*({"visit_id": each} for each in ids))
    fails = any(b.check == "unique" for b in breaches(table, Visits))
    assert fails == bool(_pandera(table, Visits))


def _pandera(table: pa.Table, contract: type[Contract]) -> set[tuple[str, str, int]]:
    try:
        contract.validate(table.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pap.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return set()
    found = set()
    for case in cases.itertuples():
        check, column = str(case.check).partition("(")[0], str(case.column)
        if case.schema_context == "DataFrameSchema":
            column, _, check = check.rpartition("_")
        found.add((column, check, int(case.index)))
    return found


def test_many_broken_rows_cost_little_more_than_good_ones() -> None:
    landed = {"order_id": "o", "occurred_at": at(), "event_name": "Purchase", "status": "sold"}
    table = _landed(*([landed] * 50_000))
    found = {b.check: len(b.rows) for b in breaches(table, LandedOrders)}
    assert found == {"isin": 50_000, "not_nullable": 50_000, "missing": 50_000}


def test_money_time_and_counts_keep_their_types_through_pandas() -> None:
    table = orders({"num_items": None, "value": None}, {"num_items": 2**53 + 1})
    assert conform(table, Orders).column("num_items").to_pylist() == [None, 2**53 + 1]
    assert table.schema.field("occurred_at").type == UTC_MICROSECONDS
    assert table.column("dataset_id").to_pylist() == [DATASET, DATASET]
