"""Every fault over real HTTP, then its end and one re-materialization: all accepted once,
nothing lost, nothing doubled, and in between every event says why it waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from capi_assets.delivery.hours_to_send import plan_hours
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan, to_send
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.access import DatasetAccess, EventsClient, open_clients
from capi_assets.delivery.sending.sender import deliver
from capi_assets.delivery.sending.summary import DeliverySummary
from capi_assets.hours import HOUR, floor_hour
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import MetaClient
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import (
    DATASET,
    OTHER_DATASET,
    QUICK,
    TOKEN,
    Clock,
    column,
    event,
    ids,
    orders,
    table,
)

POLICY = replace(QUICK, events_per_request=10, tries=3)


class DeliveryHarness:
    """A ledger, clients of the sandbox, and the whole delivery in one call."""

    def __init__(
        self, ledger: Ledger, clients: dict[str, EventsClient], clock: Clock, sandbox: SandboxServer
    ) -> None:
        self.ledger, self.clients, self.clock, self.sandbox = ledger, clients, clock, sandbox
        self.policy: Policy = POLICY

    def materialize(self, events: pa.Table) -> DeliverySummary:
        """What the asset does: plan, deliver what is to be sent."""
        planned = plan(events, self.ledger.state_of(events), self.clock(), self.policy)
        return self.deliver(to_send(events, planned))

    def deliver(self, sends: pa.Table | Iterator[pa.Table]) -> DeliverySummary:
        return deliver(sends, self.ledger, self.clients, self.clock, self.policy, run_id="run")

    def results(self, events: pa.Table) -> pa.Table:
        return fold(events, self.ledger.state_of(events), self.clock(), self.policy)

    def statuses(self, events: pa.Table) -> Counter[tuple[str, str | None]]:
        results = self.results(events)
        return Counter(zip(column(results, "status"), column(results, "reason"), strict=True))

    def received(self) -> Counter[str]:
        """How many events Meta counts, removed as duplicates, or counts twice."""
        rows = self.sandbox.inbox.rows("select verdict, count(*) from events group by 1")
        return Counter(dict(map(tuple, rows)))

    def requests(self) -> int:
        return int(self.sandbox.inbox.rows("select count(*) from requests")[0][0])


@pytest.fixture
def harness(
    ledger: Ledger, clients: dict[str, EventsClient], clock: Clock, sandbox: SandboxServer
) -> DeliveryHarness:
    return DeliveryHarness(ledger, clients, clock, sandbox)


FAULTS: list[tuple[str, dict[str, Any], str, str, int]] = [
    # fault, its settings, status and reason while it lasts, most requests it may cost
    ("expired_token", {}, "pending", "token_expired", 1),
    ("invalid_token", {}, "pending", "token_invalid", 1),
    ("permission_lost", {}, "pending", "permission_lost", 1),
    ("unknown_dataset", {}, "pending", "permission_lost", 1),
    ("redirect", {}, "pending", "redirected", 1),
    ("throttled", {"usage_headers": False}, "pending", "throttled", 12),
    ("throttled", {"usage_headers": True, "regain_minutes": 5}, "pending", "throttled", 1),
    ("throttled", {"usage_headers": False, "retry_after": 600}, "pending", "throttled", 1),
    ("server_error", {}, "unknown", "meta_down", 12),
    ("html", {}, "unknown", "meta_down", 12),
    ("unavailable_text", {}, "unknown", "meta_down", 12),
    ("hang_up_before_reading", {}, "unknown", "no_answer", 12),
    ("hang_up_after_accepting", {}, "unknown", "no_answer", 12),
    ("cut_off_answer", {}, "unknown", "meta_down", 12),
    ("truncated_json", {}, "unknown", "meta_down", 12),
    ("too_few_received", {}, "unknown", "unexpected_answer", 3),
    ("error", {"code": 2, "http_status": 503}, "unknown", "meta_down", 12),
    ("error", {"code": 98765, "http_status": 400}, "pending", "unrecognised_code", 12),
]


@pytest.mark.parametrize(("kind", "settings", "status", "reason", "most_requests"), FAULTS)
def test_a_fault_costs_nothing_but_time(
    harness: DeliveryHarness,
    kind: str,
    settings: dict[str, Any],
    status: str,
    reason: str,
    most_requests: int,
) -> None:
    events = orders(100)
    harness.sandbox.set_fault(kind, **settings)
    summary = harness.materialize(events)
    assert summary.delivered == 0
    statuses = harness.statuses(events)
    assert statuses[status, reason] >= 10
    # What was not tried has the cause that stopped the dataset.
    assert {s for s, _ in statuses} <= {status, "pending"}
    assert sum(statuses.values()) == 100
    assert harness.requests() <= most_requests
    assert len(summary.stops) == 1
    assert summary.stops[0].diagnosis.remedy in str(summary.stops[0])

    harness.sandbox.clear_faults()
    harness.clock.move(hours=1)
    again = harness.materialize(events)
    assert again.delivered == 100
    assert harness.statuses(events) == {("delivered", None): 100}
    assert harness.received()["accepted"] == 100
    assert harness.received()["doubled"] == 0

    quiet = harness.materialize(events)
    assert (quiet.requests, quiet.delivered) == (0, 0)


@pytest.mark.parametrize("kind", ["server_error", "html", "hang_up_after_accepting"])
def test_a_short_fault_is_retried_in_the_same_run(harness: DeliveryHarness, kind: str) -> None:
    events = orders(100)
    harness.sandbox.set_fault(kind, count=2)
    assert harness.materialize(events).delivered == 100
    assert harness.received()["accepted"] == 100
    assert harness.received()["doubled"] == 0


def test_a_read_timeout_is_an_unknown_outcome_and_the_retry_is_no_double(
    harness: DeliveryHarness, access: DatasetAccess
) -> None:
    harness.clients = {DATASET: MetaClient(access, read_timeout=1.0)}
    harness.sandbox.set_fault("read_timeout", count=1, latency_ms=5_000)
    events = orders(10)
    assert harness.materialize(events).delivered == 10
    assert harness.received() == {"accepted": 10, "duplicate": 10}
    assert column(harness.results(events), "attempts") == [2] * 10


def test_a_response_that_never_ends_is_cut_off(
    harness: DeliveryHarness, access: DatasetAccess
) -> None:
    harness.clients = {DATASET: MetaClient(access, read_timeout=5, deadline=1.5)}
    harness.sandbox.set_fault("slow_drip", count=1, latency_ms=200)
    events = orders(10)
    assert harness.materialize(events).delivered == 10
    assert harness.received()["accepted"] == 10


def test_a_refused_connection_leaves_events_pending(
    harness: DeliveryHarness, access: DatasetAccess, unused_port: int
) -> None:
    nowhere = replace(access, graph_url=f"http://127.0.0.1:{unused_port}")
    harness.clients = {DATASET: MetaClient(nowhere)}
    events = orders(10)
    harness.materialize(events)
    assert harness.statuses(events) == {("pending", "no_connection"): 10}
    assert column(harness.ledger.state_of(events), "state") == ["pending"] * 10


def test_a_token_that_dies_in_the_middle_stops_at_once_and_the_rest_recovers(
    harness: DeliveryHarness,
) -> None:
    events = orders(200)
    harness.policy = replace(POLICY, requests_in_flight=1)
    for _ in range(5):
        harness.sandbox.set_fault("slow", count=1)
    planned = harness.materialize(events.slice(0, 50))
    assert planned.delivered == 50
    harness.sandbox.expire_token(TOKEN)
    before = harness.requests()
    summary = harness.materialize(events)
    assert harness.requests() == before + 1
    assert [stop.events_left for stop in summary.stops] == [140]
    assert harness.statuses(events) == {
        ("delivered", None): 50,
        ("pending", "token_expired"): 150,
    }
    harness.sandbox.renew_token(TOKEN)
    assert harness.materialize(events).delivered == 150
    assert harness.received() == {"accepted": 200}


class TestPoison:
    @pytest.fixture
    def lake(self, tmp_path: Path) -> Lake:
        return Lake(tmp_path / "lake")

    @pytest.mark.parametrize("position", [0, 1, 499, 500, 998, 999])
    def test_one_bad_event_never_costs_its_neighbours(
        self, harness: DeliveryHarness, position: int
    ) -> None:
        harness.policy = QUICK
        rows = orders(1_000).to_pylist()
        rows[position] = event("bad", custom_data={"currency": None})
        events = table(rows)
        summary = harness.materialize(events)
        assert (summary.delivered, summary.rejected) == (999, 1)
        assert harness.requests() <= 21
        assert position != 999 or harness.requests() <= 12
        bad = next(r for r in harness.results(events).to_pylist() if r["order_id"] == "bad")
        assert (bad["status"], bad["reason"], bad["subcode"]) == (
            "rejected",
            "missing_currency",
            2804010,
        )
        assert harness.received() == {"accepted": 999}

    def test_metas_message_is_stored_with_the_bad_event_and_no_other(
        self, harness: DeliveryHarness
    ) -> None:
        rows = [*orders(9).to_pylist(), event("bad", custom_data={"currency": None})]
        harness.materialize(table(rows))
        known = harness.ledger.state_of(table(rows))
        messages = dict(zip(ids(known), column(known, "message"), strict=True))
        assert messages.pop("bad")
        assert set(messages.values()) == {None}

    def test_two_bad_events(self, harness: DeliveryHarness) -> None:
        harness.policy = QUICK
        rows = orders(1_000).to_pylist()
        rows[3] = event("bad one", custom_data={"currency": None})
        rows[700] = event("bad two", custom_data={"currency": "ZZZ"})
        events = table(rows)
        harness.materialize(events)
        assert harness.statuses(events) == {
            ("delivered", None): 998,
            ("rejected", "missing_currency"): 1,
            ("rejected", "unsupported_currency"): 1,
        }

    def test_nothing_but_bad_events_wait_until_another_event_is_accepted(
        self, harness: DeliveryHarness
    ) -> None:
        events = table(event(f"bad-{i}", custom_data={"currency": None}) for i in range(10))
        for _ in range(2):
            assert harness.materialize(events).rejected == 0
            assert harness.statuses(events) == {("pending", "nothing_accepted"): 10}
            assert set(column(harness.results(events), "subcode")) == {2804010}
            harness.clock.move(hours=1)
        assert harness.materialize(orders(1)).delivered == 1
        assert harness.materialize(events).rejected == 10
        assert harness.statuses(events) == {("rejected", "missing_currency"): 10}
        assert harness.materialize(events).requests == 0

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("error", {"code": 100, "subcode": 2804019, "http_status": 400}),
            ("html", {"http_status": 413}),
        ],
    )
    def test_a_run_in_which_meta_refuses_everything_settles_nothing(
        self, harness: DeliveryHarness, kind: str, settings: dict[str, Any]
    ) -> None:
        assert harness.materialize(table(event(f"before-{i}") for i in range(5))).delivered == 5
        events = orders(120)
        harness.clock.move(hours=1)
        for _ in range(2):
            harness.sandbox.set_fault(kind, **settings)
            summary = harness.materialize(events)
            assert (summary.delivered, summary.rejected) == (0, 0)
            assert {status for status, _ in harness.statuses(events)} == {"pending"}
            assert harness.statuses(events)["pending", "nothing_accepted"] > 0
            harness.clock.move(hours=1)
        harness.sandbox.clear_faults()
        assert harness.materialize(events).delivered == 120

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [("not_linked", "messaging_not_linked"), ("future_event_time", "event_time_in_future")],
    )
    def test_a_run_whose_events_are_all_refused_until_later_keeps_the_reason(
        self, harness: DeliveryHarness, kind: str, reason: str
    ) -> None:
        harness.policy = replace(QUICK, events_per_request=100, bisection_requests=10)
        events = orders(1_000)
        harness.sandbox.set_fault(kind)
        summary = harness.materialize(events)
        assert harness.statuses(events) == {("pending", reason): 1_000}
        assert [stop.reason for stop in summary.stops] == [reason]
        assert harness.requests() <= 40
        harness.sandbox.clear_faults()
        assert harness.materialize(events).delivered == 1_000

    @pytest.mark.parametrize("kind", ["app_secret_required", "permission_missing", "unknown_path"])
    def test_a_set_up_fault_stops_the_dataset_with_its_first_answer(
        self, harness: DeliveryHarness, kind: str
    ) -> None:
        harness.policy = replace(QUICK, events_per_request=100)
        events = orders(2_000)
        harness.sandbox.set_fault(kind)
        for requests in (1, 2):
            assert harness.materialize(events).rejected == 0
            assert harness.requests() == requests
            assert {status for status, _ in harness.statuses(events)} == {"pending"}
        harness.sandbox.clear_faults()
        assert harness.materialize(events).delivered == 2_000

    def test_a_healthy_event_is_found_in_later_runs_among_nothing_but_bad_ones(
        self, harness: DeliveryHarness
    ) -> None:
        harness.policy = replace(QUICK, bisection_requests=20)
        rows = [event(f"bad-{i}", custom_data={"currency": None}) for i in range(60)]
        events = table([*rows, event("good")])
        for _ in range(8):
            harness.materialize(events)
            harness.clock.move(hours=1)
        assert harness.statuses(events)["delivered", None] == 1
        assert harness.statuses(events)["rejected", "missing_currency"] > 0

    def test_far_too_many_bad_events_end_within_the_budget_and_later_runs_go_on(
        self, harness: DeliveryHarness
    ) -> None:
        harness.policy = replace(QUICK, bisection_requests=20)
        events = table(event(f"bad-{i}", custom_data={"currency": None}) for i in range(100))
        assert harness.materialize(events).rejected == 0
        harness.materialize(orders(1))
        rejected = 0
        for _ in range(3):
            before = harness.requests()
            summary = harness.materialize(events)
            assert 0 < harness.requests() - before <= 21
            assert summary.rejected > 0
            rejected += summary.rejected
        statuses = harness.statuses(events)
        assert statuses["rejected", "missing_currency"] == rejected
        assert statuses["pending", "nothing_accepted"] == 100 - rejected

    def test_a_fault_of_the_account_that_looks_like_the_payloads_rejects_none(
        self, harness: DeliveryHarness
    ) -> None:
        harness.policy = replace(QUICK, events_per_request=100, bisection_requests=10)
        harness.sandbox.set_fault("error", code=100, subcode=2804019, http_status=400)
        events = orders(1_000)
        summary = harness.materialize(events)
        assert summary.rejected == 0
        assert harness.requests() <= 40
        assert [stop.reason for stop in summary.stops] == ["nothing_accepted"]
        harness.sandbox.clear_faults()
        assert harness.materialize(events).delivered == 1_000

    @pytest.mark.parametrize("sick_hours", [1, 4])
    def test_healthy_hours_are_sent_in_the_first_run_whatever_hours_meta_rejects(
        self, harness: DeliveryHarness, lake: Lake, sick_hours: int
    ) -> None:
        harness.policy = replace(QUICK, events_per_request=100, bisection_requests=120)
        first = floor_hour(harness.clock()) - 12 * HOUR
        events = table(
            event(
                f"o-{hour}-{n}",
                occurred_at=(at := first + hour * HOUR + n * timedelta(seconds=35)),
                deliver_until=at + timedelta(days=7) - timedelta(minutes=30),
                value=float(n * 7 % 50),
                custom_data={"currency": None} if hour < sick_hours else {},
            )
            for hour in range(6)
            for n in range(100)
        )
        healthy = events.filter(pc.greater_equal(events["occurred_at"], first + sick_hours * HOUR))
        for hour in range(6):
            at = first + hour * HOUR
            is_of_hour = pc.equal(pc.floor_temporal(events["occurred_at"], unit="hour"), at)
            lake.write("matched_events", at, events.filter(is_of_hour))
        hours = [first + hour * HOUR for hour in range(6)]
        rejected = 0
        for run in range(2):
            before = harness.requests()
            pending = plan_hours(lake, harness.ledger, hours, harness.clock(), harness.policy)
            summary = harness.deliver(pending.tables(lake))
            assert harness.statuses(healthy) == {("delivered", None): healthy.num_rows}
            assert harness.requests() - before <= 7 + 120
            assert run or summary.stops == []  # the second has only events that Meta rejects
            assert summary.rejected > 0
            rejected += summary.rejected
        sick = events.filter(pc.less(events["occurred_at"], first + sick_hours * HOUR))
        statuses = harness.statuses(sick)
        assert statuses["rejected", "missing_currency"] == rejected
        assert {status for status, _ in statuses} <= {"rejected", "pending"}

    def test_a_corrected_event_is_sent(self, harness: DeliveryHarness) -> None:
        bad = table([event("a", custom_data={"currency": None})])
        harness.materialize(pa.concat_tables([bad, orders(1)]))
        good = table([event("a")])
        assert harness.statuses(good) == {("pending", "corrected"): 1}
        harness.materialize(good)
        assert harness.statuses(good) == {("delivered", None): 1}

    def test_an_event_meta_calls_too_old_is_expired_and_the_others_go(
        self, harness: DeliveryHarness
    ) -> None:
        rows = orders(9).to_pylist()
        age = timedelta(days=8)
        late = event("late", occurred_at=harness.clock() - age)
        late["deliver_until"] = harness.clock() + timedelta(days=1)
        events = table([*rows, late])
        harness.materialize(events)
        assert harness.statuses(events) == {("delivered", None): 9, ("expired", "expired"): 1}


def test_a_request_of_more_events_than_meta_takes_rejects_none_of_them(
    harness: DeliveryHarness,
) -> None:
    harness.policy = replace(POLICY, events_per_request=1_200)
    events = orders(1_200)
    assert harness.materialize(events).delivered == 0
    assert {status for status, _ in harness.statuses(events)} == {"pending"}
    harness.policy = POLICY
    assert harness.materialize(events).delivered == 1_200


def test_a_gateway_that_finds_a_request_too_large_gets_smaller_ones(
    harness: DeliveryHarness,
) -> None:
    harness.sandbox.set_fault("html", count=3, http_status=413, accepts=False)
    assert harness.materialize(orders(10)).delivered == 10
    assert harness.received() == {"accepted": 10}


class TestTime:
    def test_events_that_expire_behind_others_in_flight_are_not_sent(
        self, harness: DeliveryHarness
    ) -> None:
        soon = harness.clock() + timedelta(minutes=1)
        last = [event(f"last {i}", deliver_until=soon) for i in range(30)]
        events = table([*last, *orders(10).to_pylist()])
        posted = harness.clients[DATASET].post

        class Slow:
            access = harness.clients[DATASET].access
            body = staticmethod(harness.clients[DATASET].body)

            @staticmethod
            def post(body: bytes) -> Any:
                answer = posted(body)
                harness.clock.move(minutes=2)
                return answer

        harness.clients = {DATASET: Slow()}
        summary = harness.materialize(events)
        assert summary.delivered == 20
        assert summary.not_sent == {"expired": 20}
        assert harness.received() == {"accepted": 20}
        assert harness.statuses(events) == {("delivered", None): 20, ("expired", "too_late"): 20}

    def test_events_that_expire_before_a_retry_are_not_sent(self, harness: DeliveryHarness) -> None:
        events = table(
            [
                *(event(f"last minute {i}", deliver_until=harness.clock() + timedelta(minutes=1))
                  for i in range(10)),
                *orders(10).to_pylist(),
            ]
        )  # fmt: skip
        harness.sandbox.set_fault("server_error", count=1, accepts=False)
        real_post = harness.clients[DATASET].post

        class Slow:
            access = harness.clients[DATASET].access
            body = staticmethod(harness.clients[DATASET].body)

            @staticmethod
            def post(body: bytes) -> Any:
                answer = real_post(body)
                harness.clock.move(minutes=2)
                return answer

        harness.clients = {DATASET: Slow()}
        summary = harness.materialize(events)
        assert summary.delivered == 10
        assert summary.not_sent == {"hold_unknown": 10}
        assert harness.received() == {"accepted": 10}

    def test_a_time_budget_leaves_the_rest_pending_and_says_so(
        self, harness: DeliveryHarness
    ) -> None:
        events = orders(100)
        ticks = iter(range(0, 10_000, 5))
        harness.policy = replace(POLICY, time_budget=timedelta(seconds=120))
        sends = to_send(
            events, plan(events, harness.ledger.state_of(events), harness.clock(), POLICY)
        )
        summary = deliver(
            sends,
            harness.ledger,
            harness.clients,
            harness.clock,
            harness.policy,
            run_id="short",
            monotonic=lambda: float(next(ticks)),
        )
        assert 0 < summary.delivered < 100
        assert [stop.reason for stop in summary.stops] == ["time_budget"]
        assert harness.statuses(events) == {
            ("delivered", None): summary.delivered,
            ("pending", "time_budget"): 100 - summary.delivered,
        }
        assert harness.materialize(events).delivered == 100 - summary.delivered

    def test_retry_after_is_waited_for(self, harness: DeliveryHarness) -> None:
        harness.sandbox.set_fault("throttled", count=1, usage_headers=False, retry_after=30)
        events = orders(10)
        waits: list[float] = []
        clock = [0.0]

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            clock[0] += seconds

        summary = deliver(
            events,
            harness.ledger,
            harness.clients,
            harness.clock,
            POLICY,
            run_id="r",
            sleep=sleep,
            monotonic=lambda: clock[0],
        )
        assert summary.delivered == 10
        assert sum(waits) == pytest.approx(30, abs=0.1)

    def test_an_unknown_outcome_is_held_after_48_hours_and_resent_only_by_policy(
        self, harness: DeliveryHarness
    ) -> None:
        events = orders(10)
        harness.sandbox.set_fault("hang_up_after_accepting")
        harness.materialize(events)
        harness.sandbox.clear_faults()
        harness.clock.move(hours=49)
        before = harness.requests()
        harness.materialize(events)
        assert harness.requests() == before
        assert harness.statuses(events) == {("unknown", "held_after_48_hours"): 10}
        harness.policy = replace(POLICY, unknown="resend")
        harness.materialize(events)
        assert harness.statuses(events) == {("delivered", None): 10}
        assert harness.received()["doubled"] == 10

    def test_a_clock_that_jumps_back_an_hour_sends_nothing_twice(
        self, harness: DeliveryHarness
    ) -> None:
        events = orders(20)
        harness.materialize(events.slice(0, 10))
        harness.sandbox.set_fault("expired_token")
        harness.materialize(events)
        harness.sandbox.clear_faults()
        harness.clock.move(hours=-1)
        harness.materialize(events)
        assert harness.statuses(events) == {("delivered", None): 20}
        assert harness.received() == {"accepted": 20}


class TestDatasets:
    @pytest.fixture
    def two(self, harness: DeliveryHarness, sandbox: SandboxServer) -> DeliveryHarness:
        accesses = [
            DatasetAccess(DATASET, TOKEN, graph_url=sandbox.url),
            DatasetAccess(OTHER_DATASET, "EAAother", graph_url=sandbox.url),
        ]
        harness.clients = dict(open_clients(accesses, POLICY))
        return harness

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [("expired_token", {}), ("throttled", {"regain_minutes": 5}), ("server_error", {})],
    )
    def test_one_dead_dataset_never_stops_the_other(
        self, two: DeliveryHarness, kind: str, settings: dict[str, Any]
    ) -> None:
        two.sandbox.set_fault(kind, dataset=DATASET, **settings)
        dead, other = orders(100), orders(100, dataset_id=OTHER_DATASET)
        summary = two.materialize(pa.concat_tables([dead, other]))
        assert [stop.dataset_id for stop in summary.stops] == [DATASET]
        assert two.statuses(other) == {("delivered", None): 100}
        assert {status for status, _ in two.statuses(dead)} <= {"pending", "unknown"}

    def test_each_request_holds_one_dataset_only(self, two: DeliveryHarness) -> None:
        mixed = [event(f"o-{i}", dataset_id=DATASET if i % 2 else OTHER_DATASET) for i in range(60)]
        two.materialize(table(mixed))
        tokens = two.sandbox.inbox.rows(
            "select dataset, count(distinct token) from requests group by 1"
        )
        assert [tuple(row) for row in tokens] == [(DATASET, 1), (OTHER_DATASET, 1)]
        assert two.received() == {"accepted": 60}

    def test_a_dataset_without_a_token_waits_and_says_so(self, harness: DeliveryHarness) -> None:
        events = orders(5, dataset_id="9876")
        summary = harness.materialize(events)
        assert harness.statuses(events) == {("pending", "no_access_configured"): 5}
        assert "CAPI_ACCESS_TOKEN" in str(summary.stops[0])


def test_requests_start_no_faster_than_allowed(harness: DeliveryHarness) -> None:
    clock, begun = [0.0], []
    harness.policy = replace(POLICY, requests_per_second=2)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    deliver(
        orders(50),
        harness.ledger,
        harness.clients,
        harness.clock,
        harness.policy,
        run_id="r",
        sleep=sleep,
        monotonic=lambda: clock[0],
        on_progress=lambda _: begun.append(clock[0]),
    )
    assert begun[:5] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_response_that_confirms_another_count_is_a_warning(harness: DeliveryHarness) -> None:
    harness.sandbox.set_fault("too_few_received", missing=3, count=1)
    summary = harness.materialize(orders(10))
    assert summary.unknown == 10
    assert any("confirmed 7 of 10 events" in warning for warning in summary.warnings)


def test_tables_may_come_one_by_one(harness: DeliveryHarness) -> None:
    events = orders(100)
    parts = (events.slice(i, 7) for i in range(0, 100, 7))
    summary = deliver(parts, harness.ledger, harness.clients, harness.clock, POLICY, run_id="r")
    assert summary.delivered == 100
    assert harness.requests() == 10


def test_a_stale_plan_sends_nothing_twice(harness: DeliveryHarness) -> None:
    events = orders(30)
    deliver(events, harness.ledger, harness.clients, harness.clock, POLICY, run_id="one")
    late = deliver(events, harness.ledger, harness.clients, harness.clock, POLICY, run_id="two")
    assert (late.requests, late.not_sent["already_delivered"]) == (0, 30)


def test_one_event_id_in_two_hours_is_sent_once(harness: DeliveryHarness) -> None:
    first, second = orders(5, event_id="same-0").slice(0, 1), orders(6).slice(1, 5)
    twin = table([event("twin", event_id="same-0")])
    deliver(
        iter([first, second, twin]),
        harness.ledger,
        harness.clients,
        harness.clock,
        replace(POLICY, claim_patience=timedelta(seconds=20)),
        run_id="r",
    )
    assert harness.received() == {"accepted": 6}
    assert harness.statuses(twin) == {("invalid", "duplicate_event_id"): 1}


def test_an_older_answering_version_is_reported(
    harness: DeliveryHarness, access: DatasetAccess
) -> None:
    harness.clients = {DATASET: MetaClient(replace(access, version="v19.0"))}
    summary = harness.materialize(orders(1))
    assert summary.delivered == 1
    assert any("Graph API v19.0 was requested" in warning for warning in summary.warnings)


def test_progress_is_reported_after_every_response(harness: DeliveryHarness) -> None:
    delivered: list[int] = []
    deliver(
        orders(50),
        harness.ledger,
        harness.clients,
        harness.clock,
        POLICY,
        run_id="r",
        on_progress=lambda progress: delivered.append(progress.delivered),
    )
    assert sorted(set(delivered)) == [10, 20, 30, 40, 50]


def test_an_interrupted_run_records_what_was_in_flight_and_releases_the_rest(
    harness: DeliveryHarness,
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    events = orders(100)
    with pytest.raises(KeyboardInterrupt):
        deliver(
            events, harness.ledger, harness.clients, harness.clock, POLICY, run_id="r",
            on_progress=interrupt,
        )  # fmt: skip
    known = harness.ledger.state_of(events)
    assert set(column(known, "claimed_by")) == {None}
    assert "unknown" not in column(known, "state")
    assert harness.materialize(events).delivered == 90
    assert harness.received() == {"accepted": 100}
