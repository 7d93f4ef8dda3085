"""Hostile text in every stored column stops no other event, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from uuid import uuid4

import pyarrow.compute as pc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capi_assets.delivery.ledger.decisions import Decision
from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome
from tests.delivery.test_ledger import DELIVERED, LEASE
from tests.helpers.delivery_harness import NOW, OTHER_DATASET, column, event, ids, table

HOSTILE = [
    "'; DROP TABLE events; --",
    "\x1b[31mred",
    "A\x1fB",
    "\u202egnp.exe",
    "a\r\nWARNING forged",
    "%s %(x)s {0} :name $1 ?",
    "![x](http:evil)<script>",
    "\ud83d half",
    "nul \0 nul",
    "9" * 70,
    "\U0001f600" * 200,
]


def hostile(most: int, *, halves: bool = False) -> st.SearchStrategy[str]:
    """Text of up to `most` characters, as the contract of its column allows; Arrow stores no halves
    of surrogate pairs, an answer of Meta's may have them."""
    letters = st.characters(exclude_categories=() if halves else ("Cs",))
    known = [text[:most] for text in HOSTILE if halves or "\ud83d" not in text]
    return st.one_of(st.sampled_from(known), st.text(letters, min_size=1, max_size=min(most, 40)))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids_of=st.fixed_dictionaries({"event_name": hostile(50), "event_id": hostile(256)}),
    order_id=hostile(256),
    answer=st.fixed_dictionaries(
        {
            name: hostile(600, halves=True)
            for name in ("reason", "message", "fbtrace_id", "api_version")
        }
    ),
    why=hostile(600).filter(lambda text: text.strip() and "\0" not in text),
)
def test_hostile_text_in_every_column_stops_no_other_event(
    any_ledger: Ledger,
    ids_of: dict[str, str],
    order_id: str,
    answer: dict[str, str],
    why: str,
) -> None:
    run = uuid4().hex
    good = event(f"good-{run}")
    ids_of = {**ids_of, "event_id": f"{run}{ids_of['event_id']}"}
    odd = event(order_id, dataset_id=OTHER_DATASET, **ids_of)
    events = table([good, odd])
    claimed = any_ledger.claim(events, run, NOW, LEASE, renew=True)
    rejected = Outcome("rejected", **answer)
    for n, outcome in enumerate((DELIVERED, rejected)):
        if column(claimed, "won")[n]:
            number = any_ledger.mark_in_flight(
                events.slice(n, 1), claimed.slice(n, 1), Intent(run, run, 1, LEASE), NOW
            )
            assert number is not None
            any_ledger.record(number, outcome, run, NOW, keep_claim=False)
    known = any_ledger.state_of(events)
    assert dict(zip(ids(known), column(known, "state"), strict=True))[f"good-{run}"] == "delivered"
    stored = [row for row in known.to_pylist() if row["event_id"] == odd["event_id"]]
    if "\0" in "".join((order_id, ids_of["event_name"], ids_of["event_id"])):
        assert stored == []  # no database stores it; such rows are invalid before they get here
        return
    (row,) = stored
    assert (row["order_id"], row["event_id"]) == (order_id, ids_of["event_id"])
    assert row["message"] == rejected.message
    of_odd = known.filter(pc.equal(known["event_id"], odd["event_id"]))
    any_ledger.decide(of_odd, Decision("retry", who=why[:200].strip() or "me", why=why), NOW)
    assert why in column(any_ledger.decisions_for(events.slice(1)), "why")
    any_ledger.release(run)
