"""How fast requests may begin: for all datasets together, and for each of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import DatasetAccess
from capi_assets.delivery.sending.sender import deliver
from capi_assets.meta.graph.client import Answer, RequestOutcome
from tests.helpers.delivery_harness import DATASET, OTHER_DATASET, QUICK, Clock, orders

POLICY = replace(QUICK, events_per_request=10, requests_in_flight=4)


class MonotonicClock:
    """A monotonic clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class AcceptingClient:
    """A client that accepts everything at once and notes when."""

    def __init__(self, dataset: str, monotonic: MonotonicClock) -> None:
        self.access = DatasetAccess(dataset, "token")
        self.started: list[float] = []
        self._monotonic = monotonic

    def body(self, events: list[bytes]) -> bytes:
        return b",".join(events)

    def post(self, body: bytes) -> Answer:
        self.started.append(self._monotonic())
        received = body.count(b'"event_id"')
        return Answer(RequestOutcome.ANSWERED, http_status=200, events_received=received)


def start_times(ledger: Ledger, policy: Policy) -> dict[str, list[float]]:
    """When each dataset's five requests began, in seconds."""
    monotonic = MonotonicClock()
    clients = {name: AcceptingClient(name, monotonic) for name in (DATASET, OTHER_DATASET)}
    events = pa.concat_tables([orders(50, dataset_id=name) for name in clients])
    summary = deliver(
        events,
        ledger,
        clients,
        Clock(),
        policy,
        run_id="r",
        sleep=monotonic.sleep,
        monotonic=monotonic,
    )
    assert summary.delivered == 100
    return {name: client.started for name, client in clients.items()}


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


def test_one_datasets_limit_never_slows_another(ledger: Ledger) -> None:
    policy = replace(POLICY, requests_per_second_of={DATASET: 2.0})
    times = start_times(ledger, policy)
    assert min(gaps(times[DATASET])) >= 0.5
    assert times[DATASET][-1] == pytest.approx(2.0)
    assert set(times[OTHER_DATASET]) == {0.0}


def test_the_limit_of_all_holds_beside_that_of_each(ledger: Ledger) -> None:
    policy = replace(POLICY, requests_per_second=10.0, requests_per_second_of={DATASET: 2.0})
    times = start_times(ledger, policy)
    assert min(gaps(times[DATASET])) >= 0.5
    assert min(gaps(sorted([*times[DATASET], *times[OTHER_DATASET]]))) >= 0.1 - 1e-6


def test_without_limits_nothing_waits(ledger: Ledger) -> None:
    assert {time for times in start_times(ledger, POLICY).values() for time in times} == {0.0}
