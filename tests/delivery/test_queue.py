"""A queue cuts requests that fit, in the order in which events came."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.delivery.sending.queue import Queue
from tests.helpers.delivery_harness import QUICK, ids, orders


def test_requests_are_filled_across_tables() -> None:
    queue = Queue()
    for part in range(5):
        queue.add(orders(1_500).slice(part * 300, 300))
    sizes = []
    while (request := queue.next_request(QUICK)) is not None:
        sizes.append(request.num_rows)
    assert sizes == [1_000, 500]


def test_a_request_ends_before_it_grows_too_large() -> None:
    queue = Queue()
    queue.add(orders(10))
    one = len(orders(1)["payload"][0].as_py())
    policy = replace(QUICK, bytes_per_request=3 * (one + 1))
    assert queue.next_request(policy).num_rows == 3
    assert queue.waiting == 7


def test_a_single_event_beyond_the_limit_still_goes_alone() -> None:
    queue = Queue()
    queue.add(orders(2))
    assert queue.next_request(replace(QUICK, bytes_per_request=10)).num_rows == 1


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 7), st.integers(300, 3_000))
@settings(deadline=None, max_examples=60)
def test_every_event_leaves_the_queue_once_and_in_order(
    parts: list[int], size: int, limit: int
) -> None:
    events = orders(sum(parts))
    queue, start = Queue(), 0
    for part in parts:
        queue.add(events.slice(start, part))
        start += part
    policy = replace(QUICK, events_per_request=size, bytes_per_request=limit)
    requests: list[pa.Table] = []
    while (request := queue.next_request(policy)) is not None:
        requests.append(request)
    assert all(1 <= r.num_rows <= size for r in requests)
    assert [order for request in requests for order in ids(request)] == list(ids(events))
    assert queue.waiting == 0
