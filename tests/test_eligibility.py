"""What is withheld on purpose, with one reason each; everything else becomes an event."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.landing import STATUSES
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.eligibility import WITHHELD_TEXTS, EventPolicy, matched_events_of, withheld_reason
from tests.helpers.factories import DATASET, H, Row, at, digest, fbc, orders

KEYS: Row = {
    "em": digest("ana@example.com"),
    "client_ip_address": "85.1.2.3",
    "client_user_agent": "Mozilla/5.0",
    "event_source_url": "https://shop.example/thanks",
}


def matched(*rows: Row) -> pa.Table:
    """Orders as matching leaves them."""
    extra = pa.schema(
        [
            ("matched_by", pa.string()),
            ("visit_age_seconds", pa.int64()),
            ("lent", pa.string()),
            ("shared_keys", pa.string()),
        ]
    )
    found = [{name: row.pop(name, None) for name in extra.names} for row in rows]
    table = orders(*({**KEYS, **row} for row in rows))
    for name in extra.names:
        table = table.append_column(
            extra.field(name), pa.array([each[name] for each in found], extra.field(name).type)
        )
    return table


def events(*rows: Row, **policy: Any) -> list[dict[str, Any]]:
    return list(matched_events_of(matched(*rows), EventPolicy(**policy)).to_pylist())


@pytest.mark.parametrize(
    ("status", "consent", "reason"),
    [
        ("confirmed", None, None),
        ("confirmed", True, None),
        ("confirmed", False, "no_consent"),
        ("pending", True, "not_confirmed"),
        ("cancelled", None, "cancelled"),
        ("refunded", None, "refunded"),
        ("test", True, "test_order"),
        ("cancelled", False, "no_consent"),
    ],
)
def test_an_order_is_withheld_for_one_reason(
    status: str, consent: bool | None, reason: str | None
) -> None:
    table = orders({"status": status, "consent": consent})
    assert withheld_reason(table, consent_required=False).to_pylist() == [reason]


@pytest.mark.parametrize(
    ("status", "consent", "reason"),
    [
        ("confirmed", True, None),
        ("confirmed", None, "consent_not_recorded"),
        ("confirmed", False, "no_consent"),
        ("test", None, "test_order"),
    ],
)
def test_where_consent_is_required_silence_is_no_consent(
    status: str, consent: bool | None, reason: str | None
) -> None:
    table = orders({"status": status, "consent": consent})
    assert withheld_reason(table, consent_required=True).to_pylist() == [reason]


def test_every_status_but_confirmed_is_withheld_and_every_reason_has_a_text() -> None:
    table = orders(*({"status": status} for status in STATUSES))
    reasons = dict(zip(STATUSES, withheld_reason(table, False).to_pylist(), strict=True))
    assert [status for status, reason in reasons.items() if reason is None] == ["confirmed"]
    used = {
        *reasons.values(),
        "no_consent",
        "consent_not_recorded",
        "consent_withdrawn",
        "without_browser",
    }
    assert used - {None} == set(WITHHELD_TEXTS)


def test_a_withheld_order_has_no_payload_and_its_match_keys_go_no_further() -> None:
    (event,) = events({"consent": False})
    assert (event["verdict"], event["reason"]) == ("withheld", "no_consent")
    for column in ("payload", "payload_sha256", "match_keys", "subcode"):
        assert event[column] is None
    assert KEYS["em"] not in json.dumps(event, default=str)


def test_a_ready_order_has_its_exact_payload() -> None:
    (event,) = events({"fbc": fbc("IwAR1", at(1)), "visit_id": "v1", "matched_by": "em"})
    assert (event["verdict"], event["reason"], event["visit_id"]) == ("ready", None, "v1")
    payload = json.loads(event["payload"])
    assert payload["event_id"] == "Purchase:o1"
    assert payload["event_time"] == event["event_time"] == int(at(30).timestamp())
    assert payload["user_data"]["em"] == [KEYS["em"]]
    assert payload["user_data"]["fbc"] == fbc("IwAR1", at(1))
    assert set(event["match_keys"].split()) == payload["user_data"].keys()


def test_an_order_that_meta_would_refuse_is_invalid_beside_its_good_neighbours() -> None:
    weak: Row = dict.fromkeys(KEYS)
    found = events(
        {"order_id": "a"}, {"order_id": "b", **weak}, {"order_id": "c", "status": "test"}
    )
    assert [(e["order_id"], e["verdict"]) for e in found] == [
        ("a", "ready"),
        ("b", "invalid"),
        ("c", "withheld"),
    ]
    assert found[1]["reason"] is not None
    assert found[1]["payload"] is None


def test_each_event_stands_with_its_own_order() -> None:
    rows: list[Row] = [
        {"order_id": f"o{n}", "value": float(n), "status": "test" if n % 3 == 0 else "confirmed"}
        for n in range(30)
    ]
    for event in events(*rows):
        number = int(event["order_id"][1:])
        if number % 3:
            payload = json.loads(event["payload"])
            assert payload["event_id"] == f"Purchase:o{number}"
            assert payload["custom_data"]["value"] == number
        else:
            assert event["verdict"] == "withheld"


def test_the_deadline_is_known_for_withheld_orders_too() -> None:
    online, in_store = events(
        {"status": "test"}, {"status": "test", "action_source": "physical_store"}
    )
    assert online["deliver_until"] - at(30) == timedelta(days=7, minutes=-30)
    assert in_store["deliver_until"] - at(30) == timedelta(days=62, minutes=-30)
    assert online["event_time"] == int(at(30).timestamp())


NO_BROWSER: Row = {"client_user_agent": None, "event_source_url": None}


@pytest.mark.parametrize("lost", NO_BROWSER)
def test_a_website_order_without_a_browser_is_sent_and_named(lost: str) -> None:
    (event,) = events({lost: None})
    assert (event["verdict"], event["without_browser"]) == ("ready", True)
    assert f'"{lost}"' not in event["payload"]
    (whole,) = events({})
    assert (whole["verdict"], whole["without_browser"]) == ("ready", False)


def test_by_the_setting_it_is_withheld_for_that_and_nothing_else_is() -> None:
    sick: Row = {**NO_BROWSER, "value": -1.0}
    refused: Row = {**NO_BROWSER, "consent": False}
    store: Row = {**NO_BROWSER, "action_source": "physical_store"}
    rows = [
        {**row, "order_id": f"o{n}"} for n, row in enumerate((NO_BROWSER, sick, refused, store))
    ]
    found = events(*rows, {"order_id": "o9"}, withhold_without_browser=True)
    assert [(row["verdict"], row["reason"]) for row in found] == [
        ("withheld", "without_browser"),
        ("invalid", "negative_value"),
        ("withheld", "no_consent"),
        ("ready", None),
        ("ready", None),
    ]
    assert not any(found[0][name] for name in ("payload", "payload_sha256", "match_keys"))


def test_the_address_of_the_site_stands_in_for_a_missing_page_only() -> None:
    site = "https://shop.example/"
    store: Row = {**NO_BROWSER, "action_source": "physical_store"}
    rows = [{"event_source_url": None}, {}, NO_BROWSER, store]
    named = [{**row, "order_id": f"o{n}"} for n, row in enumerate(rows)]
    found = events(*named, site_url=site)
    pages = [json.loads(row["payload"]).get("event_source_url") for row in found]
    assert pages == [site, KEYS["event_source_url"], site, None]
    assert [row["without_browser"] for row in found] == [False, False, True, False]
    assert found[1]["payload"] == events(named[1])[0]["payload"]


def test_fractions_of_seconds_are_cut() -> None:
    (event,) = events({"occurred_at": at(30) + timedelta(microseconds=999_999)})
    assert event["event_time"] == int(at(30).timestamp())


@pytest.mark.parametrize(
    "rows", [(), ({"status": "test"},), ({"status": "test"}, {"consent": False})]
)
def test_hours_without_an_event_to_build_keep_the_contract(rows: tuple[Row, ...]) -> None:
    table = matched_events_of(matched(*rows), EventPolicy())
    assert table.schema == arrow_schema(MatchedEvents)
    assert table.num_rows == len(rows)


def test_the_order_of_the_rows_changes_no_byte() -> None:
    rows: list[Row] = [
        {
            "order_id": f"o{n % 7}",
            "event_name": name,
            "dataset_id": dataset,
            "occurred_at": at(n % 3),
        }
        for n in range(14)
        for name in ("Purchase", "Lead")
        for dataset in (DATASET, "other")
    ]
    unique = list({(r["order_id"], r["event_name"], r["dataset_id"]): r for r in rows}.values())
    expected = matched_events_of(matched(*map(dict, unique)), EventPolicy())
    random.Random(1).shuffle(unique)
    assert matched_events_of(matched(*map(dict, unique)), EventPolicy()) == expected
    assert conform(expected, MatchedEvents) == expected
    assert expected.column("occurred_at")[0].as_py() >= H
