"""The ledger's promises, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from sqlalchemy.event import listen

from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.ledger.schema import ATTEMPT, STATE
from capi_assets.delivery.outcome import Outcome
from tests.helpers.delivery_harness import (
    DATASET,
    NOW,
    OTHER_DATASET,
    Clock,
    column,
    event,
    ids,
    orders,
    register,
    table,
)

LEASE = timedelta(minutes=2)
DELIVERED = Outcome("delivered", http_status=200, fbtrace_id="A1", api_version="v26.0")
NO_ANSWER = Outcome("unknown", "no_answer")
EXPIRED_TOKEN = Outcome("refused", "token_expired", http_status=401, code=190, subcode=463)
BAD = Outcome("rejected", "missing_value", http_status=400, code=100, subcode=2804009)


def attempt(ledger: Ledger, events: pa.Table, clock: Clock, holder: str = "run-1/a") -> int:
    """Claims the events and writes the intent to send them."""
    claimed = ledger.claim(events, holder, clock(), LEASE, renew=True)
    assert all(column(claimed, "won"))
    number = ledger.mark_in_flight(events, claimed, Intent(holder, "run-1", 1234, LEASE), clock())
    assert number is not None
    return number


def states(ledger: Ledger, events: pa.Table) -> dict[str, str]:
    known = ledger.state_of(events)
    return dict(zip(column(known, "order_id"), column(known, "state"), strict=True))


def one(ledger: Ledger, events: pa.Table) -> dict[str, object]:
    (row,) = ledger.state_of(events).to_pylist()
    return dict(row)


def test_a_known_event_is_pending_and_claiming_it_again_changes_nothing(
    any_ledger: Ledger,
) -> None:
    events = orders(3)
    register(any_ledger, events)
    before = any_ledger.state_of(events)
    register(any_ledger, table([*events.to_pylist(), event("new")]))
    assert any_ledger.state_of(events).equals(before)
    assert before.schema.equals(STATE)
    assert column(before, "state") == ["pending"] * 3
    assert column(before, "attempts") == [0, 0, 0]
    assert column(before, "hour") == [NOW.replace(hour=11)] * 3


def test_states_are_found_by_identity(any_ledger: Ledger) -> None:
    early = event("early", occurred_at=NOW - timedelta(hours=5))
    same_id_elsewhere = [
        event("x", event_id="id", dataset_id=OTHER_DATASET),
        event("y", event_id="id", event_name="Lead"),
        event("z", event_id="id"),
    ]
    register(any_ledger, table([early, *same_id_elsewhere]))
    assert ids(any_ledger.state_of(table([event("z", event_id="id")]))) == ["z"]
    assert ids(any_ledger.state_of(table([event("never")]))) == []
    assert ids(any_ledger.state_of(table([early]))) == ["early"]
    assert any_ledger.state_of(table([])).num_rows == 0


def test_more_events_than_one_statement_takes(any_ledger: Ledger) -> None:
    events = orders(2_345)
    register(any_ledger, events)
    assert sorted(ids(any_ledger.state_of(events))) == sorted(ids(events))


def test_an_id_that_no_database_can_store_does_not_affect_other_events(
    any_ledger: Ledger,
) -> None:
    events = table([event("a"), event("b\0"), event("c", event_id="x\0")])
    register(any_ledger, events)
    assert ids(any_ledger.state_of(events)) == ["a"]
    answer = any_ledger.claim(events, "me", NOW, LEASE)
    assert column(answer, "won") == [True, False, False]
    any_ledger.defer(events, EXPIRED_TOKEN, NOW)
    assert any_ledger.attempts_for(events).num_rows == 0


class TestClaims:
    def test_only_one_holder_wins_until_the_lease_lapses(self, any_ledger: Ledger) -> None:
        events = orders(3)
        assert column(any_ledger.claim(events, "a", NOW, LEASE), "won") == [True] * 3
        later = NOW + LEASE - timedelta(seconds=1)
        assert column(any_ledger.claim(events, "b", later, LEASE), "won") == [False] * 3
        assert column(any_ledger.claim(events, "b", NOW + LEASE, LEASE), "won") == [True] * 3

    def test_the_result_has_the_order_of_the_request(self, any_ledger: Ledger) -> None:
        any_ledger.claim(table([event("b")]), "other", NOW, LEASE)
        asked = table([event("c"), event("b"), event("a")])
        answer = any_ledger.claim(asked, "me", NOW, LEASE)
        assert ids(answer) == ["c", "b", "a"]
        assert column(answer, "won") == [True, False, True]

    def test_a_holder_does_not_claim_twice_unless_it_renews(self, any_ledger: Ledger) -> None:
        events = orders(1)
        any_ledger.claim(events, "a", NOW, LEASE)
        assert column(any_ledger.claim(events, "a", NOW, LEASE), "won") == [False]
        assert column(any_ledger.claim(events, "a", NOW, LEASE, renew=True), "won") == [True]

    def test_delivered_events_cannot_be_claimed(self, any_ledger: Ledger, clock: Clock) -> None:
        events = orders(1)
        number = attempt(any_ledger, events, clock)
        any_ledger.record(number, DELIVERED, "run-1/a", NOW, keep_claim=False)
        assert column(any_ledger.claim(events, "b", NOW, LEASE), "won") == [False]

    def test_release_frees_some_claims_or_all(self, any_ledger: Ledger) -> None:
        events = orders(3)
        claimed = any_ledger.claim(events, "a", NOW, LEASE)
        any_ledger.release("a", claimed["ref"].slice(0, 1))
        assert column(any_ledger.claim(events, "b", NOW, LEASE), "won") == [True, False, False]
        any_ledger.release("a", why=Outcome("refused", "interrupted"))
        assert column(any_ledger.claim(events, "c", NOW, LEASE), "won") == [False, True, True]
        assert column(any_ledger.state_of(events), "reason") == [None, "interrupted", "interrupted"]

    def test_concurrent_claims_never_overlap(self, any_url: str) -> None:
        events = orders(400)

        def take(number: int) -> set[str]:
            mine: set[str] = set()
            with Ledger(any_url) as ledger:
                # Each starts elsewhere, so that they meet in opposite orders.
                for i in range(8):
                    part = events.slice(50 * ((i + number * 3) % 8), 50)
                    part = part.take(list(range(50))[:: 1 if number % 2 else -1])
                    claimed = ledger.claim(part, f"run-{number}", NOW, LEASE)
                    mine |= set(ids(claimed.filter(claimed["won"])))
            return mine

        with ThreadPoolExecutor(4) as pool:
            shares = list(pool.map(take, range(4)))
        assert sum(len(share) for share in shares) == 400
        assert set().union(*shares) == set(ids(events))

    def test_claims_of_one_order_under_two_event_ids_wait_for_each_other(
        self, any_url: str
    ) -> None:
        order = [table([event("a", person="e1", **own)]) for own in ({}, {"event_id": "pixel-a"})]
        first, second = Ledger(any_url), Ledger(any_url)
        is_claimed = threading.Event()

        def stand_still(_: object) -> None:
            is_claimed.set()
            time.sleep(0.3)  # longer than the other claim takes

        with first, second, ThreadPoolExecutor(2) as pool:
            listen(first.engine, "commit", stand_still)
            claims = [pool.submit(first.claim, order[0], "run-1", NOW, LEASE)]
            assert is_claimed.wait(60)
            claims.append(pool.submit(second.claim, order[1], "run-2", NOW, LEASE))
            assert [column(claim.result(), "won") for claim in claims] == [[True], [False]]


class TestIntentAndOutcome:
    def test_between_intent_and_outcome_an_event_is_unknown(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(1)
        attempt(any_ledger, events, clock)
        row = one(any_ledger, events)
        assert (row["state"], row["reason"], row["attempts"]) == ("unknown", "in_flight", 1)
        assert row["unknown_since"] == row["first_attempt_at"] == NOW

    def test_a_response_with_any_characters_is_recorded(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(1)
        number = attempt(any_ledger, events, clock)
        odd = Outcome(
            "rejected", "x\0", message="half \ud83d, NUL \0, whole \U0001f600", fbtrace_id="A" * 500
        )
        any_ledger.record(number, odd, "run-1/a", NOW, keep_claim=False)
        row = one(any_ledger, events)
        assert row["message"] == "half \ufffd, NUL \ufffd, whole \U0001f600"
        assert (row["state"], row["reason"], row["fbtrace_id"]) == (
            "rejected",
            "x\ufffd",
            "A" * 128,
        )

    def test_delivered_is_final(self, any_ledger: Ledger, clock: Clock) -> None:
        events = orders(2)
        number = attempt(any_ledger, events, clock)
        any_ledger.record(number, DELIVERED, "run-1/a", NOW, keep_claim=False)
        for outcome in (NO_ANSWER, EXPIRED_TOKEN, BAD):
            any_ledger.record(number, outcome, "run-1/a", NOW, keep_claim=False)
        row = any_ledger.state_of(events).to_pylist()[0]
        assert (row["state"], row["delivered_at"], row["fbtrace_id"]) == ("delivered", NOW, "A1")
        assert row["unknown_since"] is None
        assert row["claimed_by"] is None

    def test_a_refusal_returns_the_event_to_pending(self, any_ledger: Ledger, clock: Clock) -> None:
        events = orders(1)
        number = attempt(any_ledger, events, clock)
        any_ledger.record(number, EXPIRED_TOKEN, "run-1/a", NOW, keep_claim=False)
        row = one(any_ledger, events)
        assert (row["state"], row["reason"], row["code"]) == ("pending", "token_expired", 190)
        assert row["unknown_since"] is None

    def test_a_refusal_after_an_unknown_outcome_does_not_make_it_known(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(1)
        number = attempt(any_ledger, events, clock)
        any_ledger.record(number, NO_ANSWER, "run-1/a", clock(), keep_claim=False)
        clock.move(hours=1)
        number = attempt(any_ledger, events, clock)
        any_ledger.record(number, EXPIRED_TOKEN, "run-1/a", clock(), keep_claim=False)
        row = one(any_ledger, events)
        assert (row["state"], row["unknown_since"], row["attempts"]) == ("unknown", NOW, 2)

    def test_the_same_clock_reading_does_not_confuse_two_attempts(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(1)
        first = attempt(any_ledger, events, clock)
        any_ledger.record(first, NO_ANSWER, "run-1/a", clock(), keep_claim=True)
        second = attempt(any_ledger, events, clock)
        any_ledger.record(second, EXPIRED_TOKEN, "run-1/a", clock(), keep_claim=False)
        assert one(any_ledger, events)["state"] == "unknown"

    def test_an_intent_fails_whole_if_one_claim_was_taken_over(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(3)
        claimed = any_ledger.claim(events, "slow", NOW, LEASE)
        clock.move(minutes=3)
        any_ledger.claim(events.slice(2), "quick", clock(), LEASE)
        intent = Intent("slow", "run-slow", 1, LEASE)
        assert any_ledger.mark_in_flight(events, claimed, intent, clock()) is None
        assert states(any_ledger, events) == dict.fromkeys(ids(events), "pending")
        assert any_ledger.attempts_for(events).num_rows == 0

    def test_an_intent_fails_once_the_claim_has_expired(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        order = [table([event("a", person="e1", **own)]) for own in ({}, {"event_id": "pixel-a"})]
        claimed = any_ledger.claim(order[0], "stalled", clock(), LEASE)
        clock.move(minutes=3)
        attempt(any_ledger, order[1], clock, holder="next")
        intent = Intent("stalled", "run-1", 1, LEASE)
        assert any_ledger.mark_in_flight(order[0], claimed, intent, clock()) is None

    def test_a_run_that_lost_its_claims_can_only_report_a_delivery(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(2)
        lost = attempt(any_ledger, events, clock, "slow/x")
        clock.move(minutes=3)
        any_ledger.claim(events, "quick/y", clock(), LEASE)
        any_ledger.record(lost, BAD, "slow/x", clock(), keep_claim=False)
        assert states(any_ledger, events) == dict.fromkeys(ids(events), "unknown")
        any_ledger.record(lost, DELIVERED, "slow/x", clock(), keep_claim=False)
        assert states(any_ledger, events) == dict.fromkeys(ids(events), "delivered")

    def test_the_ledger_holds_what_is_sent(self, any_ledger: Ledger, clock: Clock) -> None:
        register(any_ledger, table([event("a", value=10.0), event("b"), event("c", value=None)]))
        changed = table([event("a", value=12.5), event("b"), event("c", value=None)])
        attempt(any_ledger, changed, clock)
        known = any_ledger.state_of(changed)
        assert sorted(column(known, "payload_sha256")) == sorted(column(changed, "payload_sha256"))
        assert dict(zip(ids(known), column(known, "value"), strict=True)) == {
            "a": 12.5,
            "b": 10.0,
            "c": None,
        }

    def test_a_new_digest_is_recorded_only_when_it_is_sent(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        old, new = table([event("a", value=1.0)]), table([event("a", value=2.0)])
        number = attempt(any_ledger, old, clock)
        any_ledger.record(number, BAD, "run-1/a", clock(), keep_claim=False)
        any_ledger.claim(new, "run-2/b", clock(), LEASE)
        assert column(any_ledger.state_of(new), "payload_sha256") == column(old, "payload_sha256")

    def test_every_attempt_is_recorded_with_its_outcome(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = orders(2)
        first = attempt(any_ledger, events, clock)
        any_ledger.record(first, NO_ANSWER, "run-1/a", clock(), keep_claim=True)
        clock.move(seconds=5)
        second = attempt(any_ledger, events.slice(1), clock)
        any_ledger.record(second, DELIVERED, "run-1/a", clock(), keep_claim=False)
        history = any_ledger.attempts_for(events)
        assert history.schema.equals(ATTEMPT)
        found = sorted(zip(column(history, "event_id"), column(history, "outcome"), strict=True))
        assert found == [
            ("Purchase:order-0000", "unknown"),
            ("Purchase:order-0001", "delivered"),
            ("Purchase:order-0001", "unknown"),
        ]
        assert set(column(history, "run_id")) == {"run-1"}
        assert set(column(history, "dataset_id")) == {DATASET}
        assert max(column(history, "started_at")) == NOW + timedelta(seconds=5)


class TestDeferral:
    def test_it_records_the_reason_of_pending_events_only(
        self, any_ledger: Ledger, clock: Clock
    ) -> None:
        events = table([event(name) for name in ("done", "open", "bad", "taken", "idle")])
        done = attempt(any_ledger, events.slice(0, 1), clock)
        any_ledger.record(done, DELIVERED, "run-1/a", NOW, keep_claim=False)
        lost = attempt(any_ledger, events.slice(1, 1), clock)
        any_ledger.record(lost, NO_ANSWER, "run-1/a", NOW, keep_claim=False)
        bad = attempt(any_ledger, events.slice(2, 1), clock)
        any_ledger.record(bad, BAD, "run-1/a", NOW, keep_claim=False)
        any_ledger.claim(events.slice(3, 1), "another", NOW, LEASE)
        any_ledger.defer(table([*events.to_pylist(), event("new")]), EXPIRED_TOKEN, NOW)
        known = any_ledger.state_of(table([*events.to_pylist(), event("new")]))
        found = dict(zip(ids(known), column(known, "reason"), strict=True))
        assert found == {
            "done": None,
            "open": "no_answer",
            "bad": "missing_value",
            "taken": None,
            "idle": "token_expired",
            "new": "token_expired",
        }
        assert sum(column(known, "attempts")) == 3


def test_no_payload_and_no_contact_data_is_ever_in_the_file(
    ledger: Ledger, clock: Clock, sqlite_url: str
) -> None:
    events = orders(3)
    number = attempt(ledger, events, clock)
    ledger.record(number, BAD, "run-1/a", clock(), keep_claim=False)
    ledger.close()
    stored = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
    assert b"user_data" not in stored
    for payload in column(events, "payload"):
        email_digest = payload.split('"em":["')[1][:64]
        assert email_digest.encode() not in stored
    assert b"198.51.100.7" not in stored
