"""A range gives what its hours give alone, in batches that bound its memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.ingest.landing_folder import LandingFolder
from tests.helpers.factories import HOUR, H, at, land, landed_order
from tests.helpers.ingest_harness import IngestHarness


def test_a_range_gives_what_its_hours_give_alone(
    harness: IngestHarness,
) -> None:
    hours = [H + n * HOUR for n in range(5)]
    for n, hour in enumerate(hours):
        rows = [
            landed_order(order_id="same", occurred_at=at(5, hour).isoformat()),
            landed_order(order_id=f"o{n}", occurred_at=at(9, hour).isoformat(), city="Faro" * n),
            landed_order(order_id="late", occurred_at=at(70, hour).isoformat()),
            landed_order(order_id="twice", occurred_at=at(7, hour).isoformat()),
            landed_order(order_id="twice", occurred_at=at(7, hour).isoformat()),
        ]
        land(harness.landing, "orders", "a.jsonl", rows, hour)
    alone = [harness.hour("orders", hours=[hour]) for hour in hours]
    assert [(h.rows.num_rows, h.quarantine.num_rows, h.repeats) for h in alone] == [(3, 1, 1)] * 5
    assert harness.ingest("orders", hours).hours == alone
    one_by_one = LandingFolder(harness.landing, "orders", batch_bytes=1)
    assert harness.ingest("orders", hours, source=one_by_one).hours == alone


@given(st.lists(st.integers(0, 30), max_size=12))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_hour_once_and_few_bytes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    root = tmp_path_factory.mktemp("landing")
    hours = [H + n * HOUR for n in range(len(sizes))]
    for hour, size in zip(hours, sizes, strict=True):
        land(root, "visits", "a.csv", b"x" * size, hour)
    by_hour = dict(zip(hours, sizes, strict=True))
    batches = list(LandingFolder(root, "visits", batch_bytes=40).batches(hours))
    assert [hour for batch in batches for hour in batch] == hours
    assert all(sum(by_hour[hour] for hour in batch) <= 40 for batch in batches)
    assert all(
        sum(by_hour[hour] for hour in first) + by_hour[second[0]] > 40
        for first, second in pairwise(batches)
    )
