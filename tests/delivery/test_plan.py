"""The plan: one action and one reason for every event, whatever its past."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.delivery.backfill_plan import OUTLOOKS
from capi_assets.delivery.ledger.schema import STATE
from capi_assets.delivery.plan import PLAN, plan, to_send
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.results import DELIVERY_RESULTS, fold
from tests.helpers.delivery_harness import DATASET, NOW, column, event, orders, table

POLICY = Policy()
HOUR = timedelta(hours=1)


def state(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the ledger holds of an event: registered, never attempted, with the changes given."""
    same = {name: row[name] for name in STATE.names if name in row}
    blank = dict.fromkeys(STATE.names)
    return {**blank, **same, "reason": None, "state": "pending", "attempts": 0, **changes}


def past(*states: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(states), schema=STATE)


def attempted(row: dict[str, Any], ended: str, ago: timedelta, **changes: Any) -> dict[str, Any]:
    at = NOW - ago
    times = {"first_attempt_at": at, "last_attempt_at": at}
    unknown = {"unknown_since": at, "unknown_attempt": 1} if ended == "unknown" else {}
    return state(row, state=ended, attempts=1, **times, **unknown, **changes)


def decide(
    row: dict[str, Any], *states: dict[str, Any], policy: Policy = POLICY, **kwargs: Any
) -> tuple[str, str | None]:
    planned = plan(table([row]), past(*states), NOW, policy, **kwargs)
    return planned["action"][0].as_py(), planned["reason"][0].as_py()


def test_a_new_event_is_sent() -> None:
    assert decide(event("a")) == ("send", None)


def test_what_is_delivered_is_not_sent_again() -> None:
    row = event("a")
    assert decide(row, attempted(row, "delivered", HOUR)) == ("already_delivered", None)


def test_a_delivered_event_whose_payload_changed_is_not_sent_again() -> None:
    row = event("a")
    known = attempted(row, "delivered", HOUR, payload_sha256="0" * 64)
    assert decide(row, known) == ("already_delivered", "payload_changed_since")


def test_consent_withdrawn_after_delivery_does_not_undo_the_delivery() -> None:
    row = event("a", verdict="withheld", reason="no_consent", payload=None, payload_sha256=None)
    known = attempted(row, "delivered", HOUR, payload_sha256="0" * 64)
    assert decide(row, known) == ("already_delivered", None)


@pytest.mark.parametrize("verdict", ["withheld", "invalid"])
def test_what_matching_holds_back_keeps_its_reason(verdict: str) -> None:
    row = event("a", verdict=verdict, reason="because", payload=None, payload_sha256=None)
    assert decide(row) == (verdict, "because")
    assert decide(row, attempted(row, "unknown", HOUR)) == (verdict, "because")


def test_a_ready_event_without_bytes_to_send_is_invalid() -> None:
    assert decide(event("a", payload=None, payload_sha256=None))[0] == "invalid"


def test_too_late_is_expired_even_by_a_microsecond() -> None:
    assert decide(event("a", deliver_until=NOW)) == ("expired", "too_late")
    later = NOW + timedelta(microseconds=1)
    assert decide(event("a", deliver_until=later)) == ("send", None)


def test_an_event_of_the_future_waits() -> None:
    ahead = {"event_time": int(NOW.timestamp()) + 61}
    assert decide(event("a", **ahead)) == ("future_dated", "event_time_in_future")
    assert decide(event("a", event_time=int(NOW.timestamp()) + 60)) == ("send", None)


class TestFortyEightHours:
    def test_an_unknown_outcome_is_sent_again_while_meta_removes_duplicates(self) -> None:
        row = event("a")
        known = attempted(row, "unknown", 47 * HOUR, reason="no_answer")
        assert decide(row, known) == ("send", "no_answer")

    def test_the_resend_must_arrive_inside_the_window_so_ours_ends_earlier(self) -> None:
        row = event("a")
        late = attempted(row, "unknown", 48 * HOUR - timedelta(minutes=29))
        assert decide(row, late) == ("hold_unknown", "held_after_48_hours")

    def test_later_it_is_held_for_a_person_unless_told_to_resend(self) -> None:
        row = event("a")
        known = attempted(row, "unknown", 49 * HOUR, reason="no_answer")
        assert decide(row, known) == ("hold_unknown", "held_after_48_hours")
        assert decide(row, known, policy=Policy(unknown="resend")) == ("send", "no_answer")

    def test_the_clock_runs_from_the_attempt_that_may_have_counted(self) -> None:
        row = event("a")
        refused_first = attempted(row, "unknown", HOUR, reason="no_answer") | {
            "first_attempt_at": NOW - 100 * HOUR
        }
        assert decide(row, refused_first) == ("send", "no_answer")

    def test_a_refused_attempt_long_ago_holds_nothing_back(self) -> None:
        row = event("a")
        known = attempted(row, "pending", 100 * HOUR, reason="token_expired")
        assert decide(row, known) == ("send", "token_expired")

    def test_unknown_past_the_deadline_stays_unknown_and_is_not_called_expired(self) -> None:
        row = event("a", deliver_until=NOW - HOUR)
        known = attempted(row, "unknown", HOUR)
        assert decide(row, known) == ("hold_unknown", "held_past_deliver_until")
        resend = Policy(unknown="resend")
        assert decide(row, known, policy=resend) == ("hold_unknown", "held_past_deliver_until")

    def test_the_pixels_report_counts_like_a_first_receipt(self) -> None:
        recent = event("a", pixel_reported_at=NOW - 47 * HOUR)
        assert decide(recent) == ("send", None)
        old = event("a", pixel_reported_at=NOW - 49 * HOUR)
        assert decide(old) == ("covered_by_pixel", "pixel_reported")
        assert decide(old, attempted(old, "unknown", HOUR)) == (
            "covered_by_pixel",
            "pixel_reported",
        )
        assert decide(old, attempted(old, "delivered", HOUR))[0] == "already_delivered"

    def test_a_redundant_pixel_is_assumed_to_have_reported_at_once(self) -> None:
        redundant = Policy(pixel_redundant=True)
        old = event("a", occurred_at=NOW - 49 * HOUR)
        assert decide(old) == ("send", None)
        assert decide(old, policy=redundant) == ("covered_by_pixel", "pixel_assumed")
        assert decide(event("a"), policy=redundant) == ("send", None)


class TestRejected:
    def test_unchanged_it_stays_rejected_with_metas_reason(self) -> None:
        row = event("a")
        known = attempted(row, "rejected", HOUR, reason="missing_value")
        assert decide(row, known) == ("rejected", "missing_value")

    def test_corrected_it_is_sent_again(self) -> None:
        row = event("a")
        known = attempted(row, "rejected", HOUR, reason="missing_value", payload_sha256="0" * 64)
        assert decide(row, known) == ("send", "corrected")

    def test_rejected_is_the_better_word_than_expired(self) -> None:
        row = event("a", deliver_until=NOW - HOUR)
        known = attempted(row, "rejected", HOUR, reason="missing_value")
        assert decide(row, known) == ("rejected", "missing_value")

    def test_what_meta_called_too_old_is_expired(self) -> None:
        row = event("a")
        assert decide(row, attempted(row, "expired", HOUR, reason="expired")) == (
            "expired",
            "expired",
        )


class TestOneIdentity:
    def test_of_two_orders_with_one_event_id_the_first_is_kept(self) -> None:
        rows = [event("a", event_id="same"), event("b", event_id="same"), event("c")]
        planned = plan(table(rows), past(), NOW, POLICY)
        assert column(planned, "action") == ["send", "invalid", "send"]
        assert column(planned, "reason") == [None, "duplicate_event_id", None]

    def test_one_that_is_not_sent_anyway_takes_no_place(self) -> None:
        held = event("a", event_id="same", verdict="withheld", payload_sha256=None)
        planned = plan(table([held, event("b", event_id="same")]), past(), NOW, POLICY)
        assert column(planned, "action") == ["withheld", "send"]

    def test_another_orders_delivery_is_not_this_orders(self) -> None:
        mine, other = event("a", event_id="same"), event("b", event_id="same")
        known = attempted(other, "delivered", HOUR)
        assert decide(mine, known) == ("invalid", "duplicate_event_id")
        assert decide(other, known) == ("already_delivered", None)
        both = plan(table([mine, other]), past(known), NOW, POLICY)
        assert column(both, "action") == ["invalid", "already_delivered"]

    def test_another_order_that_was_never_attempted_is_no_obstacle(self) -> None:
        assert decide(event("a", event_id="same"), state(event("b", event_id="same"))) == (
            "send",
            None,
        )

    def test_the_same_id_under_another_name_or_dataset_is_another_event(self) -> None:
        rows = [
            event("a", event_id="same"),
            event("b", event_id="same", event_name="Lead"),
            event("c", event_id="same", dataset_id="9"),
        ]
        assert column(plan(table(rows), past(), NOW, POLICY), "action") == ["send"] * 3


def test_an_id_that_no_database_can_hold_is_invalid() -> None:
    assert decide(event("a\0b")) == ("invalid", "id_holds_nul")
    assert decide(event("a", event_id="x\0")) == ("invalid", "id_holds_nul")


class TestClaims:
    def test_a_live_claim_of_another_run_is_left_to_it(self) -> None:
        row = event("a")
        claimed = state(row, claimed_by="other", claimed_until=NOW + HOUR)
        assert decide(row, claimed) == ("claimed_elsewhere", "claimed_elsewhere")
        assert decide(row, claimed, holder="other") == ("send", None)

    def test_a_lapsed_claim_is_no_obstacle(self) -> None:
        row = event("a")
        assert decide(row, state(row, claimed_by="dead", claimed_until=NOW)) == ("send", None)


def test_an_empty_plan_has_the_same_columns() -> None:
    planned = plan(table([]), past(), NOW, POLICY)
    assert planned.num_rows == 0
    assert planned.schema.equals(PLAN)


def test_states_of_other_events_do_no_harm() -> None:
    stranger = event("z")
    planned = plan(table([event("a")]), past(attempted(stranger, "delivered", HOUR)), NOW, POLICY)
    assert column(planned, "action") == ["send"]


def test_a_hundred_thousand_events_are_planned_without_a_loop_over_them() -> None:
    many = orders(1_000)
    many = pa.concat_tables([many] * 100)
    many = many.set_column(
        many.schema.get_field_index("event_id"),
        "event_id",
        pa.array([f"id-{i}" for i in range(many.num_rows)]),
    )
    planned = plan(many, past(), NOW, POLICY)
    assert Counter(column(planned, "action")) == {"send": 100_000}


moments = st.integers(-24 * 9, 24 * 9).map(lambda hours: NOW + hours * HOUR)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events with any verdicts, times and shared ids, and any past of some of them."""
    rows = []
    for i in range(draw(st.integers(1, 8))):
        ready = draw(st.booleans())
        occurred = draw(moments)
        rows.append(
            event(
                f"order-{i}",
                event_id=draw(st.sampled_from(["x", "y", f"only-{i}"])),
                occurred_at=occurred,
                pixel_reported_at=draw(st.none() | moments),
                **({} if ready else {"verdict": draw(st.sampled_from(["withheld", "invalid"]))}),
                **({} if ready else {"payload_sha256": None, "payload": None, "reason": "why"}),
            )
        )
    known = {}
    for row in rows:
        if draw(st.booleans()):
            ended = draw(
                st.sampled_from(["pending", "unknown", "delivered", "rejected", "expired"])
            )
            ago = draw(st.integers(0, 200)) * HOUR
            claim = draw(st.sampled_from([{}, {"claimed_by": "x", "claimed_until": NOW + HOUR}]))
            known[row["event_id"]] = attempted(row, ended, ago, reason="before", **claim)
    return rows, list(known.values())


@given(situations(), st.sampled_from(["hold", "resend"]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_event_gets_exactly_one_action_and_a_status(
    situation: tuple[list[dict[str, Any]], list[dict[str, Any]]], unknown: Any, redundant: bool
) -> None:
    rows, known = situation
    policy = Policy(unknown=unknown, pixel_redundant=redundant)
    events, ledger = table(rows), past(*known)
    planned = plan(events, ledger, NOW, policy)
    assert column(planned, "order_id") == [row["order_id"] for row in rows]
    assert set(column(planned, "action")) <= set(OUTLOOKS)

    for row, action in zip(rows, column(planned, "action"), strict=True):
        if action == "send":
            assert row["verdict"] == "ready"
            assert row["deliver_until"] > NOW
            assert row["event_time"] <= NOW.timestamp() + 60
    sent = [(r["dataset_id"], r["event_name"], r["event_id"]) for r in rows]
    going = [
        key for key, action in zip(sent, column(planned, "action"), strict=True) if action == "send"
    ]
    assert len(going) == len(set(going))

    results = fold(events, ledger, NOW, policy)
    assert results.schema.equals(DELIVERY_RESULTS)
    assert results["status"].null_count == 0
    delivered = [
        k for k, s in zip(sent, column(results, "status"), strict=True) if s == "delivered"
    ]
    assert len(delivered) == len(set(delivered))


@given(situations())
@settings(max_examples=100, deadline=None)
def test_after_everything_sent_was_delivered_nothing_is_sent(
    situation: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    rows, known = situation
    events, ledger = table(rows), past(*known)
    gone = to_send(events, plan(events, ledger, NOW, POLICY)).to_pylist()
    identities = {row["event_id"] for row in gone}
    after = [s for s in known if s["event_id"] not in identities]
    after += [attempted(row, "delivered", timedelta(0)) for row in gone]
    again = plan(events, past(*after), NOW, POLICY)
    assert "send" not in column(again, "action")


def test_the_dataset_is_part_of_the_plan() -> None:
    assert column(plan(table([event("a")]), past(), NOW, POLICY), "dataset_id") == [DATASET]
