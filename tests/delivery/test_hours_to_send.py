"""Many hours are planned, sent and folded in pieces: in the right order, and nothing left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from capi_assets.delivery import hours_to_send
from capi_assets.delivery.hours_to_send import batches, plan_hours, planned_hours, results_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.sender import deliver
from capi_assets.delivery.sending.summary import Progress
from capi_assets.hours import HOUR, floor_hour
from capi_assets.lake import ROWS_PER_GROUP, Lake
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import (
    DATASET,
    MATCHED,
    NOW,
    OTHER_DATASET,
    QUICK,
    Clock,
    column,
    event,
    ids,
    register,
    table,
)

FIRST = floor_hour(NOW) - 12 * HOUR


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def store(lake: Lake, events: pa.Table, rows_per_group: int = ROWS_PER_GROUP) -> list[datetime]:
    """Writes the events to the hours they occurred in; returns these."""
    by_hour: dict[datetime, list[dict[str, object]]] = {}
    for row in events.to_pylist():
        by_hour.setdefault(floor_hour(row["occurred_at"]), []).append(row)
    for hour, rows in by_hour.items():
        lake.write("matched_events", hour, table(rows), rows_per_group)
    return sorted(by_hour)


def spread(count: int) -> pa.Table:
    """Events all over eight hours, each worth something else, some of a physical store."""
    return table(
        event(
            f"order-{n:03d}",
            occurred_at=(at := FIRST + timedelta(minutes=n * 37 % 480)),
            value=float(n * 7 % 50),
            deliver_until=at + timedelta(days=62 if n % 9 == 0 else 7) - timedelta(minutes=30),
            dataset_id=OTHER_DATASET if n % 4 == 0 else DATASET,
        )
        for n in range(count)
    )


def orders_in(tables: Iterator[pa.Table]) -> list[str]:
    return [order for chunk in tables for order in ids(chunk)]


def test_the_nearest_deadline_goes_first_and_within_its_hour_the_value(
    lake: Lake, ledger: Ledger
) -> None:
    soon = NOW.replace(minute=5) + HOUR
    rows = [
        event("later and rich", value=1e6, deliver_until=soon + HOUR),
        event("soon and poor", value=1.0, deliver_until=soon),
        event("soon and rich", value=99.0, deliver_until=soon + timedelta(minutes=30)),
        event("soon, no value", value=None, deliver_until=soon),
    ]
    pending = plan_hours(lake, ledger, store(lake, table(rows)), NOW, QUICK)
    assert orders_in(pending.tables(lake)) == [
        "soon and rich",
        "soon and poor",
        "soon, no value",
        "later and rich",
    ]


def test_the_order_holds_over_all_hours_and_chunks(lake: Lake, ledger: Ledger) -> None:
    events = spread(200)
    pending = plan_hours(lake, ledger, store(lake, events), NOW, QUICK)
    chunks = list(pending.tables(lake, chunk_rows=7))
    assert max(chunk.num_rows for chunk in chunks) == 7
    keys = [
        (floor_hour(r["deliver_until"]), -r["value"], r["deliver_until"])
        for c in chunks
        for r in c.to_pylist()
    ]
    assert keys == sorted(keys)
    assert sorted(orders_in(iter(chunks))) == sorted(ids(events))


def test_what_is_sent_is_what_is_stored_to_the_byte(lake: Lake, ledger: Ledger) -> None:
    events = spread(60)
    hours = store(lake, events)
    sent = pa.concat_tables(plan_hours(lake, ledger, hours, NOW, QUICK).tables(lake, chunk_rows=11))
    payloads = dict(zip(ids(events), column(events, "payload"), strict=True))
    assert dict(zip(ids(sent), column(sent, "payload"), strict=True)) == payloads


def test_only_what_the_plan_sends_is_read_again(lake: Lake, ledger: Ledger, clock: Clock) -> None:
    rows = [
        event("goes"),
        event("withheld", verdict="withheld", reason="cancelled"),
        event("invalid", verdict="invalid", reason="no_value"),
        event("too late", deliver_until=NOW - HOUR),
        event("twice"),
        event("twice again", event_id="Purchase:twice"),
    ]
    pending = plan_hours(lake, ledger, store(lake, table(rows)), clock(), QUICK)
    assert sorted(orders_in(pending.tables(lake))) == ["goes", "twice"]
    assert pending.actions == {"send": 2, "withheld": 1, "invalid": 2, "expired": 1}


def test_an_hour_busier_than_a_group_of_rows_is_read_in_pieces(lake: Lake, ledger: Ledger) -> None:
    rows = table(event(f"order-{n:03d}", value=float(n)) for n in range(95))
    hours = store(lake, rows, rows_per_group=10)
    pieces = list(lake.row_groups("matched_events", hours[0], MATCHED, ["order_id"]))
    assert [piece.num_rows for piece in pieces] == [10] * 9 + [5]
    pending = plan_hours(lake, ledger, hours, NOW, QUICK)
    assert orders_in(pending.tables(lake, chunk_rows=20)) == [
        f"order-{n:03d}" for n in range(94, -1, -1)
    ]


def test_an_hour_materialized_anew_since_the_plan_sends_its_new_rows(
    lake: Lake,
    ledger: Ledger,
    sandbox: SandboxServer,
    clients: dict[str, EventsClient],
    clock: Clock,
) -> None:
    hours = store(
        lake, table([event("stays"), event("changes"), event("goes"), event("withdrawn")])
    )
    pending = plan_hours(lake, ledger, hours, clock(), QUICK)
    changed = event("changes", value=77.0)
    store(
        lake,
        table([event("new"), changed, event("stays"), event("withdrawn", verdict="withheld")]),
    )
    summary = deliver(pending.tables(lake), ledger, clients, clock, QUICK, run_id="r")
    assert summary.delivered == 2
    assert summary.not_sent == {"withheld": 1}
    known = ledger.state_of(table([changed, event("stays")]))
    assert changed["payload_sha256"] in column(known, "payload_sha256")
    found = sandbox.inbox.rows("select event_id from events where verdict = 'accepted' order by 1")
    assert [row[0] for row in found] == ["Purchase:changes", "Purchase:stays"]


def test_the_sender_reads_a_chunk_only_when_little_is_left(
    lake: Lake, ledger: Ledger, clients: dict[str, EventsClient], clock: Clock
) -> None:
    policy = replace(QUICK, events_per_request=10, requests_in_flight=2)
    rows = (event(f"order-{n:03d}", occurred_at=FIRST + HOUR * (n % 3)) for n in range(600))
    hours = store(lake, table(rows))
    pending = plan_hours(lake, ledger, hours, clock(), policy)
    delivered, read, in_memory = 0, 0, []

    def chunks() -> Iterator[pa.Table]:
        nonlocal read
        for chunk in pending.tables(lake, chunk_rows=20):
            read += chunk.num_rows
            in_memory.append(read - delivered)
            yield chunk

    def note(progress: Progress) -> None:
        nonlocal delivered
        delivered = progress.delivered

    summary = deliver(chunks(), ledger, clients, clock, policy, run_id="r", on_progress=note)
    assert summary.delivered == 600
    assert len(in_memory) == 30
    # A chunk, what waits for its request, and what is in flight.
    assert max(in_memory) <= 20 + 2 * 2 * 10 + 2 * 10


def test_batches_hold_whole_hours_and_every_hour_once(lake: Lake) -> None:
    hours = store(lake, spread(80))
    asked = [hours[-1] + 2 * HOUR, hours[-1] + HOUR, *hours, *hours]
    parts = list(batches(lake, asked, batch_rows=25))
    assert len(parts) > 2
    assert [hour for some, _ in parts for hour in some] == sorted({*asked})
    for some, events in parts:
        assert {floor_hour(at) for at in column(events, "occurred_at")} <= set(some)
        assert "payload" not in events.column_names
    assert sorted(order for _, events in parts for order in ids(events)) == sorted(ids(spread(80)))


def test_no_hours_are_no_work(lake: Lake, ledger: Ledger) -> None:
    assert list(batches(lake, [])) == []
    assert list(results_of(lake, ledger, [], NOW, QUICK)) == []
    assert planned_hours(lake, ledger, [], NOW, QUICK).num_rows == 0
    pending = plan_hours(lake, ledger, [], NOW, QUICK)
    assert list(pending.tables(lake)) == []
    assert pending.actions.total() == pending.withdrawn == 0


def test_an_hour_without_events_has_results_too(lake: Lake, ledger: Ledger) -> None:
    lake.write("matched_events", FIRST, table([]))
    ((hours, rows),) = results_of(lake, ledger, [FIRST, FIRST + HOUR], NOW, QUICK)
    assert hours == [FIRST, FIRST + HOUR]
    assert rows.num_rows == 0


def test_withdrawals_are_noted_batch_by_batch(lake: Lake, ledger: Ledger) -> None:
    rows = [event("a", occurred_at=FIRST), event("b", occurred_at=FIRST + HOUR)]
    register(ledger, table(rows))
    withdrawn = table({**row, "verdict": "withheld", "reason": "cancelled"} for row in rows)
    pending = plan_hours(lake, ledger, store(lake, withdrawn), NOW, QUICK, batch_rows=1)
    assert pending.withdrawn == 2
    assert column(ledger.state_of(withdrawn), "withheld_reason") == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("chunk_rows", "size"), [(1, 1), (7, 25), (500, 500)])
def test_pieces_plan_and_fold_as_the_whole_does(
    lake: Lake, ledger: Ledger, chunk_rows: int, size: int
) -> None:
    events = spread(60)
    hours = store(lake, events)
    whole = lake.read("matched_events", hours, events.schema)
    ledger.claim(whole.slice(10, 20), "another run", NOW, HOUR)
    known = ledger.state_of(whole)
    planned = planned_hours(lake, ledger, hours, NOW, QUICK, size)
    assert planned.equals(plan(whole, known, NOW, QUICK))
    folded = results_of(lake, ledger, hours, NOW, QUICK, size)
    results = pa.concat_tables(rows for _, rows in folded)
    assert results.equals(fold(whole, known, NOW, QUICK))
    pending = plan_hours(lake, ledger, hours, NOW, QUICK, size)
    assert pending.actions == {"send": 40, "claimed_elsewhere": 20}
    assert sorted(orders_in(pending.tables(lake, chunk_rows))) == sorted(ids(events))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_an_hour_is_planned_in_parts_as_a_whole(
    lake: Lake, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    events = [
        event(
            f"order-{n % 9}" if n % 3 == 0 else f"other-{n}",
            event_id=f"Purchase:{n % 7}" if n % 4 == 0 else f"own-{n}",
            occurred_at=FIRST + timedelta(minutes=n),
            value=float(n % 9 % 2),
            person=f"e{n % 9}",
            verdict="withheld" if n % 10 == 9 else "ready",
        )
        for n in range(30)
    ]
    hours = store(lake, table(events))
    register(ledger, table(events[:12]))

    def outcomes() -> tuple[object, ...]:
        results = pa.concat_tables(t for _, t in results_of(lake, ledger, hours, NOW, QUICK))
        pending = plan_hours(lake, ledger, hours, NOW, QUICK)
        planned = planned_hours(lake, ledger, hours, NOW, QUICK)
        return results, planned, pending.actions, sorted(pending.sends.to_pylist(), key=str)

    whole = outcomes()
    assert {"repeated", "invalid", "send"} <= {*column(whole[1], "action")}
    monkeypatch.setattr(hours_to_send, "PART_ROWS", rows)
    assert outcomes() == whole
