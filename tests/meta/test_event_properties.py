from __future__ import annotations

import json
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from capi_assets.meta.events import build as events_module
from capi_assets.meta.events.build import EVENT_FIELDS, build_events
from tests.helpers.order_rows import build, purchase, table
from tests.helpers.order_strategies import fine_rows, rows
from tests.helpers.plain_events import plain_payload

Row = dict[str, Any]

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.lists(fine_rows, min_size=1, max_size=5))
@example([purchase(event_id='"\\\x00\x1f\x7f\u2028\U0001f600', client_user_agent="</script>'")])
def test_payloads_equal_the_plain_builders_byte_for_byte(orders: list[Row]) -> None:
    for order, built in zip(orders, build(*orders), strict=True):
        if built["verdict"] == "ready":
            assert built["payload"].encode() == plain_payload(order)
            assert json.loads(built["payload"]) == json.loads(plain_payload(order))


@quick
@given(rows)
def test_nothing_in_a_row_raises_and_every_row_has_one_verdict(orders: list[Row]) -> None:
    result = build_events(table(*orders))
    result.validate(full=True)
    for built in result.to_pylist():
        assert (built["verdict"] == "ready") is (built["reason"] is None)
        assert (built["verdict"] == "ready") is (built["payload"] is not None)
        if built["payload"] is not None:
            sent = json.loads(built["payload"], parse_constant=pytest.fail)
            assert [name for name in EVENT_FIELDS if name in sent] == list(sent)
            assert built["match_keys"].split(" ") == sorted(sent["user_data"])
            assert b"null" not in orjson.dumps(strip_texts(sent))


def strip_texts(value: Any) -> Any:
    """The value's shape: texts emptied, keys numbered."""
    if isinstance(value, dict):
        return {str(place): strip_texts(item) for place, item in enumerate(value.values())}
    if isinstance(value, list):
        return [strip_texts(item) for item in value]
    return "" if isinstance(value, str) else value


@quick
@given(rows, st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_of_rows_and_their_batches_never_matter(
    orders: list[Row], random: Any, size: int
) -> None:
    expected = build(*orders)
    assert [build(order)[0] for order in orders] == expected
    places = list(range(len(orders)))
    random.shuffle(places)
    assert build(*(orders[place] for place in places)) == [expected[place] for place in places]
    whole = table(*orders)
    chunked = pa.Table.from_batches(whole.to_batches(max_chunksize=size), whole.schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events_module, "BATCH_ROWS", size)
        assert build_events(chunked).to_pylist() == expected
        patch.setattr(events_module, "BATCH_BYTES", 1)
        assert build_events(chunked).to_pylist() == expected


@quick
@given(st.lists(fine_rows, min_size=2, max_size=4), st.integers(1, 3))
def test_a_slice_of_a_table_builds_as_the_table_does(orders: list[Row], start: int) -> None:
    assert build_events(table(*orders).slice(start)).to_pylist() == build(*orders)[start:]
