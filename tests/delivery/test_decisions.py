"""A person resolves events with unknown outcome: sent again or written off, and it is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.delivery.identity import aligned
from capi_assets.delivery.ledger.decisions import (
    Decision,
    DecisionKind,
    decidable,
    surely_not_at_meta,
    undecided,
)
from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.ledger.schema import DECISION
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.plan import plan, to_send
from capi_assets.delivery.results import fold
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.sender import deliver
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import NOW, QUICK, Clock, column, event, orders, table

LEASE = timedelta(minutes=2)
POLICY = replace(QUICK, tries=1)
RESEND = Decision("resend", "Ada", "not in Events Manager")
WRITE_OFF = Decision("write_off", "Ada", "cannot be told")


def mark_in_flight(ledger: Ledger, events: pa.Table, clock: Clock, holder: str = "run/1") -> int:
    claimed = ledger.claim(events, holder, clock(), LEASE)
    number = ledger.mark_in_flight(events, claimed, Intent(holder, "run", 9, LEASE), clock())
    assert number is not None
    return number


def left_unknown(ledger: Ledger, events: pa.Table, clock: Clock) -> int:
    """One attempt without an answer, 49 hours ago by now; its number."""
    number = mark_in_flight(ledger, events, clock)
    ledger.record(number, Outcome("unknown", "no_answer"), "run/1", clock(), keep_claim=False)
    clock.move(hours=49)
    return number


def statuses(ledger: Ledger, events: pa.Table, clock: Clock) -> set[tuple[str, str | None]]:
    results = fold(events, ledger.state_of(events), clock(), POLICY)
    return set(zip(column(results, "status"), column(results, "reason"), strict=True))


def actions(ledger: Ledger, events: pa.Table, clock: Clock) -> list[str]:
    return column(plan(events, ledger.state_of(events), clock(), POLICY), "action")


class TestResend:
    def test_what_is_resent_waits_for_the_next_run_and_says_why(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(3)
        left_unknown(any_ledger, events, clock)
        assert statuses(any_ledger, events, clock) == {("unknown", "held_after_48_hours")}
        assert any_ledger.decide(any_ledger.state_of(events), RESEND, clock()) == 3
        assert statuses(any_ledger, events, clock) == {("pending", "resend_decided")}
        assert actions(any_ledger, events, clock) == ["send"] * 3

    def test_it_goes_out_once_and_meta_may_count_it_twice(
        self,
        ledger: Ledger,
        clients: dict[str, EventsClient],
        sandbox: SandboxServer,
        clock: Clock,
    ) -> None:
        events = orders(5)
        sandbox.set_fault("hang_up_after_accepting", count=1)
        deliver(events, ledger, clients, clock, POLICY, run_id="r1")
        clock.move(hours=49)
        sends = to_send(events, plan(events, ledger.state_of(events), clock(), POLICY))
        assert sends.num_rows == 0

        ledger.decide(ledger.state_of(events), RESEND, clock())
        for _ in range(2):
            sends = to_send(events, plan(events, ledger.state_of(events), clock(), POLICY))
            deliver(sends, ledger, clients, clock, POLICY, run_id="r2")
        rows = sandbox.inbox.rows("select verdict, count(*) from events group by 1 order by 1")
        assert [tuple(row) for row in rows] == [("accepted", 5), ("doubled", 5)]
        assert statuses(ledger, events, clock) == {("delivered", None)}

    def test_without_an_answer_again_the_48_hours_run_anew_and_then_it_is_held_again(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(1)
        left_unknown(any_ledger, events, clock)
        any_ledger.decide(any_ledger.state_of(events), RESEND, clock())
        mark_in_flight(any_ledger, events, clock, "run/2")
        clock.move(hours=47)
        assert actions(any_ledger, events, clock) == ["send"]
        clock.move(hours=2)
        assert actions(any_ledger, events, clock) == ["hold_unknown"]

    def test_past_its_deadline_nothing_can_be_resent(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        old = NOW - timedelta(days=6)
        events = table([event("in time"), event("too late", occurred_at=old)])
        left_unknown(any_ledger, events, clock)
        planned = plan(events, any_ledger.state_of(events), clock(), POLICY)
        waiting = undecided(planned, "resend")
        assert column(waiting, "order_id") == ["too late", "in time"]
        assert column(decidable(waiting, "resend", clock()), "order_id") == ["in time"]
        assert decidable(waiting, "write_off", clock()).num_rows == 2


class TestRetry:
    RETRY = Decision("retry", "Ada", "Meta's mistake")

    @staticmethod
    def rejected(ledger: Ledger, events: pa.Table, clock: Clock) -> None:
        """Searched for in a refused request, then rejected alone."""
        for outcome in (Outcome("refused", "x"), Outcome("rejected", "invalid_value")):
            number = mark_in_flight(ledger, events, clock)
            ledger.record(number, outcome, "run/1", clock(), keep_claim=False)

    @staticmethod
    def offered(ledger: Ledger, events: pa.Table, clock: Clock) -> list[str]:
        """The orders that a person may have retried."""
        known = ledger.state_of(events)
        rows = undecided(plan(events, known, clock(), POLICY), "retry")
        rows = decidable(rows, "retry", clock())
        attempts = ledger.attempts_for(rows)
        sure = surely_not_at_meta(aligned(known, to=rows), attempts)
        return column(rows.filter(sure), "order_id")

    def test_what_meta_rejected_is_sent_once_more(self, any_ledger: Ledger, clock: Clock) -> None:
        events = orders(3)
        self.rejected(any_ledger, events, clock)
        assert statuses(any_ledger, events, clock) == {("rejected", "invalid_value")}
        assert self.offered(any_ledger, events, clock) == column(events, "order_id")
        assert any_ledger.decide(any_ledger.state_of(events), self.RETRY, clock()) == 3
        assert statuses(any_ledger, events, clock) == {("pending", "resend_decided")}
        assert actions(any_ledger, events, clock) == ["send"] * 3
        assert any_ledger.decide(any_ledger.state_of(events), self.RETRY, clock()) == 0
        kinds = any_ledger.decisions_for(events)
        assert kinds.select(["kind", "who", "why"]).to_pylist() == 3 * [
            {"kind": "retry", "who": "Ada", "why": "Meta's mistake"}
        ]

    def test_nothing_that_meta_may_have_is_offered(self, any_ledger: Ledger, clock: Clock) -> None:
        rows = {
            name: table([event(name, **changes)])
            for name, changes in {
                "rejected": {},
                "too late": {"occurred_at": NOW - timedelta(days=6)},
                "unanswered before": {},
                "delivered": {},
                "written off": {},
                "never tried": {},
            }.items()
        }
        unanswered = mark_in_flight(any_ledger, rows["unanswered before"], clock)
        any_ledger.record(
            unanswered, Outcome("unknown", "no_answer"), "run/1", clock(), keep_claim=False
        )
        left_unknown(any_ledger, rows["written off"], clock)
        any_ledger.decide(any_ledger.state_of(rows["written off"]), WRITE_OFF, clock())
        delivered = mark_in_flight(any_ledger, rows["delivered"], clock)
        any_ledger.record(delivered, Outcome("delivered"), "run/1", clock(), keep_claim=False)
        for name in ("rejected", "too late", "unanswered before"):
            self.rejected(any_ledger, rows[name], clock)
        events = pa.concat_tables(rows.values())
        assert self.offered(any_ledger, events, clock) == ["rejected"]

    def test_a_decision_changes_only_what_is_still_rejected(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(3)
        self.rejected(any_ledger, events, clock)
        shown = any_ledger.state_of(events)
        again = mark_in_flight(any_ledger, events.slice(0, 1), clock)
        any_ledger.record(again, Outcome("delivered"), "run/1", clock(), keep_claim=False)
        self.rejected(any_ledger, events.slice(1, 1), clock)
        assert any_ledger.decide(shown, self.RETRY, clock()) == 1
        assert actions(any_ledger, events, clock) == ["already_delivered", "rejected", "send"]


class TestWriteOff:
    def test_it_is_never_sent_even_if_its_payload_changes(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(2)
        left_unknown(any_ledger, events, clock)
        any_ledger.decide(any_ledger.state_of(events), WRITE_OFF, clock())
        assert statuses(any_ledger, events, clock) == {("rejected", "written_off")}
        assert actions(any_ledger, orders(2, value=11.0), clock) == ["rejected"] * 2
        clock.move(days=10)
        assert statuses(any_ledger, events, clock) == {("rejected", "written_off")}

    def test_a_late_delivery_is_recorded_after_all(self, any_ledger: Ledger, clock: Clock) -> None:
        events = orders(1)
        number = mark_in_flight(any_ledger, events, clock)
        clock.move(hours=49)
        any_ledger.decide(any_ledger.state_of(events), WRITE_OFF, clock())
        any_ledger.record(number, Outcome("delivered"), "run/1", clock(), keep_claim=False)
        assert statuses(any_ledger, events, clock) == {("delivered", None)}


@pytest.mark.parametrize("kind", ["resend", "write_off"])
def test_a_late_failure_of_the_old_attempt_does_not_undo_the_decision(
    kind: DecisionKind, any_ledger: Ledger, clock: Clock
) -> None:
    events = orders(1)
    number = mark_in_flight(any_ledger, events, clock)
    clock.move(hours=49)
    any_ledger.decide(any_ledger.state_of(events), Decision(kind, "Ada", "why"), clock())
    decided = any_ledger.state_of(events)
    for outcome in (Outcome("unknown", "no_answer"), Outcome("refused", "meta_down")):
        any_ledger.record(number, outcome, "run/1", clock(), keep_claim=True)
    assert any_ledger.state_of(events).equals(decided)


def test_what_changed_since_it_was_shown_is_unchanged_by_a_decision(
    any_ledger: Ledger, clock: Clock
) -> None:
    names = ("stands", "attempted", "delivered", "claimed")
    rows = {name: table([event(name)]) for name in names}
    events = pa.concat_tables(rows.values())
    number = left_unknown(any_ledger, events, clock)
    shown = any_ledger.state_of(events)

    again = mark_in_flight(any_ledger, rows["attempted"], clock)
    any_ledger.record(again, Outcome("unknown", "x"), "run/1", clock(), keep_claim=False)
    late = mark_in_flight(any_ledger, rows["delivered"], clock)
    any_ledger.record(late, Outcome("delivered"), "run/1", clock(), keep_claim=False)
    any_ledger.claim(rows["claimed"], "run/3", clock(), LEASE)
    before = any_ledger.state_of(events)

    assert any_ledger.decide(shown, WRITE_OFF, clock()) == 1
    after = any_ledger.state_of(events)
    states = dict(zip(column(after, "order_id"), column(after, "state"), strict=True))
    assert states.pop("stands") == "written_off"
    untouched = [row for row in before.to_pylist() if row["order_id"] != "stands"]
    assert [row for row in after.to_pylist() if row["order_id"] != "stands"] == untouched
    assert any_ledger.decisions_for(events)["unknown_attempt"].to_pylist() == [number]


def test_a_decision_is_recorded_with_person_reason_and_time(
    any_ledger: Ledger, clock: Clock
) -> None:
    events = orders(1_203)
    number = left_unknown(any_ledger, events, clock)
    any_ledger.decide(any_ledger.state_of(events.slice(3)), WRITE_OFF, clock())
    clock.move(minutes=5)
    any_ledger.decide(any_ledger.state_of(events.slice(0, 3)), RESEND, clock())

    found = any_ledger.decisions_for(events)
    assert found.schema.equals(DECISION)
    assert found.num_rows == 1_203
    resent = [row for row in found.to_pylist() if row["kind"] == "resend"]
    assert sorted(row["event_id"] for row in resent) == sorted(column(events, "event_id")[:3])
    assert {row["who"] for row in resent} == {"Ada"}
    assert {row["why"] for row in resent} == {"not in Events Manager"}
    assert {row["decided_at"] for row in resent} == {clock()}
    assert {row["unknown_since"] for row in resent} == {NOW}
    assert {row["unknown_attempt"] for row in resent} == {number}
    assert {row["events"] for row in resent} == {3}


def test_deciding_twice_changes_nothing_the_second_time(any_ledger: Ledger, clock: Clock) -> None:
    events = orders(2)
    left_unknown(any_ledger, events, clock)
    shown = any_ledger.state_of(events)
    assert any_ledger.decide(shown, WRITE_OFF, clock()) == 2
    assert any_ledger.decide(shown, RESEND, clock()) == 0
    assert any_ledger.decide(any_ledger.state_of(table([])), RESEND, clock()) == 0
    assert any_ledger.decisions_for(events).num_rows == 2


@pytest.mark.parametrize(("who", "why"), [("", "why"), ("Ada", "  "), ("A" * 257, "why")])
def test_a_decision_has_an_author_and_a_reason(who: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"who|why"):
        Decision("resend", who, why)
