"""The ledger against a simple model in memory: any order of claims, requests, responses, crashes
and passing time.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome, State
from tests.helpers.delivery_harness import Clock, column, event, table

LEASE = timedelta(minutes=2)
NAMES = ("a", "b", "c", "d")
HOLDERS = ("run-1", "run-2", "run-3")
SUBSETS = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)


@dataclass
class EventModel:
    """The expected state of one event."""

    known: bool = False
    state: str = "pending"
    attempts: int = 0
    holder: str | None = None
    until: timedelta = timedelta(0)
    open_attempt: int | None = None  # the first that may have been accepted


@dataclass
class Sent:
    """A request in flight: its response may come at any time, or never."""

    number: int
    holder: str
    names: list[str]


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db")
        self.clock = Clock()
        self.elapsed = timedelta(0)
        self.models = {name: EventModel() for name in NAMES}
        self.claimed: dict[str, pa.Table] = {}
        self.in_flight: list[Sent] = []

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def events(self, names: list[str]) -> pa.Table:
        return table(event(name) for name in names)

    @rule(seconds=st.sampled_from([1, 60, 119, 121, 3_600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.move(seconds=seconds)
        self.elapsed += timedelta(seconds=seconds)

    @rule(holder=st.sampled_from(HOLDERS), names=SUBSETS, renew=st.booleans())
    def claims(self, holder: str, names: list[str], renew: bool) -> None:
        answer = self.ledger.claim(self.events(names), holder, self.clock(), LEASE, renew=renew)
        won = []
        for name in names:
            model = self.models[name]
            model.known = True
            is_free = model.holder is None or model.until <= self.elapsed
            is_own = renew and model.holder == holder
            if model.state != "delivered" and (is_free or is_own):
                model.holder, model.until = holder, self.elapsed + LEASE
                won.append(name)
        assert column(answer.filter(answer["won"]), "order_id") == won
        if won:
            self.claimed[holder] = answer.filter(answer["won"])

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def sends(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(sorted(self.claimed)))
        claimed = self.claimed.pop(holder)
        names = column(claimed, "order_id")
        number = self.ledger.mark_in_flight(
            self.events(names), claimed, Intent(holder, holder, 1, LEASE), self.clock()
        )
        still_holds_all = all(
            model.holder == holder and model.until > self.elapsed and model.state != "delivered"
            for model in map(self.models.__getitem__, names)
        )
        assert (number is not None) == still_holds_all
        if number is None:
            return
        for name in names:
            model = self.models[name]
            model.state = "unknown"
            model.attempts += 1
            model.until = self.elapsed + LEASE
            if model.open_attempt is None:
                model.open_attempt = number
        self.in_flight.append(Sent(number, holder, names))

    @precondition(lambda self: self.in_flight)
    @rule(
        data=st.data(),
        state=st.sampled_from(["delivered", "rejected", "expired", "unknown", "refused"]),
        keep=st.booleans(),
    )
    def gets_a_response(self, data: st.DataObject, state: State, keep: bool) -> None:
        sent = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        outcome = Outcome(state, state)
        self.ledger.record(sent.number, outcome, sent.holder, self.clock(), keep_claim=keep)
        for name in sent.names:
            model = self.models[name]
            is_own = model.holder == sent.holder
            if model.state != "delivered" and (is_own or state == "delivered"):
                if state in ("delivered", "rejected", "expired"):
                    model.state, model.open_attempt = state, None
                elif state == "unknown":
                    model.state = "unknown"
                elif model.open_attempt == sent.number:
                    model.state, model.open_attempt = "pending", None
            if is_own and not keep:
                model.holder = None

    @precondition(lambda self: self.in_flight)
    @rule()
    def dies_before_the_response(self) -> None:
        self.in_flight.pop()

    @rule(holder=st.sampled_from(HOLDERS))
    def releases(self, holder: str) -> None:
        self.ledger.release(holder, why=Outcome("refused", "interrupted"))
        self.claimed.pop(holder, None)
        for model in self.models.values():
            if model.holder == holder:
                model.holder = None

    @rule(names=SUBSETS)
    def is_deferred(self, names: list[str]) -> None:
        self.ledger.defer(self.events(names), Outcome("refused", "time_budget"), self.clock())
        for name in names:
            self.models[name].known = True

    @rule()
    def is_reopened(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db")

    @invariant()
    def the_ledger_agrees(self) -> None:
        rows = self.ledger.state_of(self.events(list(NAMES))).to_pylist()
        stored = {
            row["order_id"]: EventModel(
                known=True,
                state=row["state"],
                attempts=row["attempts"],
                holder=row["claimed_by"],
                open_attempt=row["unknown_attempt"],
            )
            for row in rows
        }
        for name, expected in self.models.items():
            found = stored.get(name, EventModel())
            found.until = expected.until
            assert found == expected
            if name in stored:
                (row,) = [row for row in rows if row["order_id"] == name]
                assert (row["unknown_since"] is None) == (row["unknown_attempt"] is None)
                assert (row["delivered_at"] is not None) == (row["state"] == "delivered")


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
test_the_ledger_agrees_with_a_simple_model = LedgerMachine.TestCase
