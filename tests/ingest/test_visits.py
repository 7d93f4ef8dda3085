"""Visits are stored as they happened: click ids with their first sight, contacts as digests."""

from __future__ import annotations

import pytest

from capi_assets.contracts.base import conform
from capi_assets.contracts.visits import Visits
from capi_assets.ingest.hashing import HashPolicy
from tests.helpers.factories import HOUR, H, at, digest, fbc, land, landed_visit
from tests.helpers.ingest_harness import IngestHarness


def test_contacts_are_stored_as_digests(harness: IngestHarness) -> None:
    row = landed_visit(email=" Ana@Example.com ", phone="912 345 678", external_id="u1")
    land(harness.landing, "visits", "a.csv", [row])
    (visit,) = harness.rows("visits")
    assert visit["em"] == digest("ana@example.com")
    assert visit["ph"] == digest("351912345678")
    assert visit["external_id"] == digest("u1")
    assert visit["dropped_fields"] is None


def test_digests_that_land_are_kept_and_ids_may_stay_plain(harness: IngestHarness) -> None:
    land(
        harness.landing, "visits", "a.csv", [landed_visit(email=digest("a@x.pt"), external_id="u1")]
    )
    (visit,) = harness.rows("visits", policy=HashPolicy(hash_external_id=False))
    assert (visit["em"], visit["external_id"]) == (digest("a@x.pt"), "u1")


def test_a_click_id_is_stamped_with_the_time_of_the_visit(harness: IngestHarness) -> None:
    rows = [
        landed_visit(visit_id="given", fbclid="IwAR1"),
        landed_visit(visit_id="in url", page_url="https://shop.example/?x=1&fbclid=IwAR2#top"),
        landed_visit(visit_id="both", fbclid="IwAR3", page_url="https://s.example/?fbclid=IwAR4"),
        landed_visit(visit_id="cookie", fbc=fbc("IwAR5", at(-60))),
        landed_visit(visit_id="bare", page_url="https://shop.example/"),
    ]
    land(harness.landing, "visits", "a.jsonl", rows)
    clicks = {row["visit_id"]: (row["fbclid"], row["fbc"]) for row in harness.rows("visits")}
    assert clicks == {
        "given": ("IwAR1", fbc("IwAR1", at())),
        "in url": ("IwAR2", fbc("IwAR2", at())),
        "both": ("IwAR3", fbc("IwAR3", at())),
        "cookie": ("IwAR5", fbc("IwAR5", at(-60))),
        "bare": (None, None),
    }


def test_a_broken_optional_field_costs_the_field_and_is_remembered(harness: IngestHarness) -> None:
    row = landed_visit(
        email="not an address", fbp="nonsense", client_ip_address="10.0.0.1", fbc="fb.nonsense.x"
    )
    land(harness.landing, "visits", "a.csv", [row])
    (visit,) = harness.rows("visits")
    for field in ("em", "fbp", "client_ip_address", "fbc"):
        assert visit[field] is None
    dropped = dict(entry.split(":") for entry in visit["dropped_fields"].split(" "))
    assert dropped.keys() == {"email", "fbp", "client_ip_address", "fbc"}


def test_a_visit_that_comes_again_is_counted_and_kept_once(harness: IngestHarness) -> None:
    rows = [landed_visit(), landed_visit(), landed_visit(page_url="https://s.example/new")]
    land(harness.landing, "visits", "a.csv", rows)
    hour = harness.hour("visits")
    assert hour.repeats == 2
    assert hour.rows.column("page_url").to_pylist() == ["https://s.example/new"]


def test_a_visit_id_may_come_again_in_another_hour(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.csv", [landed_visit()])
    later = landed_visit(occurred_at=at(5, H + HOUR).isoformat())
    land(harness.landing, "visits", "a.csv", [later], H + HOUR)
    first, second = harness.ingest("visits", [H, H + HOUR]).hours
    assert (first.rows.num_rows, second.rows.num_rows) == (1, 1)
    assert (first.repeats, second.repeats) == (0, 0)


def test_visits_are_in_the_order_of_their_time_however_they_land(harness: IngestHarness) -> None:
    rows = [landed_visit(visit_id=f"v{n}", occurred_at=at(9 - n % 3).isoformat()) for n in range(9)]
    land(harness.landing, "visits", "a.csv", rows)
    expected = harness.hour("visits").rows
    assert expected.column("visit_id").to_pylist() == [f"v{n}" for n in (2, 5, 8, 1, 4, 7, 0, 3, 6)]
    land(harness.landing, "visits", "a.csv", rows[::-1])
    assert harness.hour("visits").rows == expected


def test_a_visit_outside_its_folders_hour_is_quarantined(harness: IngestHarness) -> None:
    rows = [
        landed_visit(visit_id="first", occurred_at=at(0).isoformat()),
        landed_visit(visit_id="early", occurred_at=at(-0.01).isoformat()),
        landed_visit(visit_id="last", occurred_at=at(59.99).isoformat()),
        landed_visit(visit_id="late", occurred_at=at(60).isoformat()),
    ]
    land(harness.landing, "visits", "a.csv", rows)
    hour = harness.ingest("visits", [H, H + HOUR]).hours[0]
    assert hour.rows.column("visit_id").to_pylist() == ["first", "last"]
    assert [(r["row_id"], r["line"], r["reasons"]) for r in hour.quarantine.to_pylist()] == [
        ("early", 3, "occurred_at:outside_hour"),
        ("late", 5, "occurred_at:outside_hour"),
    ]


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ({"visit_id": ""}, "visit_id:missing"),
        ({"visit_id": "x" * 257}, "visit_id:wrong_length"),
        ({"visit_id": "v\0"}, "visit_id:nul_character"),
        ({"occurred_at": ""}, "occurred_at:missing"),
        ({"occurred_at": "yesterday"}, "occurred_at:not_a_time"),
        ({"consent": "perhaps"}, "consent:not_true_or_false"),
        ({"visit_id": "", "occurred_at": "soon"}, "occurred_at:not_a_time visit_id:missing"),
    ],
)
def test_a_broken_visit_is_quarantined_with_every_reason(
    harness: IngestHarness, row: dict[str, str], reasons: str
) -> None:
    land(harness.landing, "visits", "a.jsonl", [landed_visit(visit_id="fine"), landed_visit(**row)])
    hour = harness.hour("visits")
    assert hour.rows.column("visit_id").to_pylist() == ["fine"]
    (refused,) = hour.quarantine.to_pylist()
    assert (refused["reasons"], refused["line"]) == (reasons, 2)


def test_consent_is_kept_as_it_was_given(harness: IngestHarness) -> None:
    rows = [landed_visit(visit_id=str(n), consent=c) for n, c in enumerate(["yes", "0", None])]
    land(harness.landing, "visits", "a.jsonl", rows)
    assert [row["consent"] for row in harness.rows("visits")] == [True, False, None]


def test_what_is_stored_keeps_the_contract(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.csv", [landed_visit(email="a@x.pt", fbclid="IwAR1")])
    rows = harness.hour("visits").rows
    assert conform(rows, Visits) == rows
