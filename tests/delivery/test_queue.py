"""The order of work: what is about to expire first, then by money, in requests that fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.delivery.sending.queue import Queue, by_urgency
from tests.helpers.delivery_harness import NOW, QUICK, event, ids, orders, table


def test_the_nearest_deadline_goes_first_and_within_its_hour_the_money() -> None:
    soon = NOW.replace(minute=5) + timedelta(hours=1)
    rows = [
        event("later and rich", value=1e6, deliver_until=soon + timedelta(hours=1)),
        event("soon and poor", value=1.0, deliver_until=soon),
        event("soon and rich", value=99.0, deliver_until=soon + timedelta(minutes=30)),
        event("soon, no value", value=None, deliver_until=soon),
    ]
    assert ids(by_urgency(table(rows))) == [
        "soon and rich",
        "soon and poor",
        "soon, no value",
        "later and rich",
    ]


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
def test_every_event_leaves_the_queue_once(parts: list[int], size: int, limit: int) -> None:
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
    assert sorted(x for r in requests for x in ids(r)) == sorted(ids(events))
    assert queue.waiting == 0
