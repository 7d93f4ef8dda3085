"""Placeholders, ids, layouts and times of real exports, from landing file to Meta's inbox."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.helpers.asset_harness import AssetHarness

BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _order(world: AssetHarness, order_id: str, **fields: Any) -> dict[str, Any]:
    at = world.hour(3) + timedelta(minutes=20)
    return {
        "order_id": order_id,
        "occurred_at": at.isoformat(),
        "action_source": "physical_store",
        "value": 10,
        "currency": "EUR",
        "email": f"{order_id}@shop.example",
        **fields,
    }


def _payloads(world: AssetHarness) -> dict[str, dict[str, Any]]:
    rows = world.read("matched_events", [world.hour(3)])
    return {row["order_id"]: json.loads(row["payload"]) for row in rows}


def test_nobody_is_made_one_person_by_a_placeholder(world: AssetHarness) -> None:
    hour = world.hour(3)
    nothing = ["-", "null", "undefined", "anon", "(not set)", "{{user_id}}", "\\N", "0" * 32]
    keys = ("fbclid", "fbp", "fbc", "external_id", "phone", "city", "last_name")
    visit = {
        "occurred_at": (hour + timedelta(minutes=5)).isoformat(),
        "client_ip_address": "203.0.113.9",
        "client_user_agent": BROWSER,
        "page_url": "https://shop.example/private",
    }
    visits = [
        {**visit, "visit_id": f"v{n}", **dict.fromkeys(keys[:5], word)}
        for n, word in enumerate(nothing)
    ]
    # `anon` is a word for nobody in ids only: a city or a surname may be called so.
    orders = [
        _order(world, f"o{n}", **{k: word for k in keys if word != "anon" or k in keys[:5]})
        for n, word in enumerate(nothing)
    ]
    world.land("visits", hour, "visits.jsonl", _lines(visits))
    world.land("orders", hour, "orders.jsonl", _lines(orders))

    assert world.run(hour)
    assert world.received()["accepted"] == len(nothing)
    for payload in _payloads(world).values():
        assert payload["user_data"].keys() == {"em"}
    health = world.read("attribution_health", [hour])
    assert sum(row["matched"] for row in health) == 0


def test_browser_and_page_that_are_placeholders_come_from_the_visit(world: AssetHarness) -> None:
    hour = world.hour(3)
    page = "https://shop.example/thanks"
    visit = {
        "visit_id": "v1",
        "occurred_at": (hour + timedelta(minutes=5)).isoformat(),
        "client_user_agent": BROWSER,
        "page_url": page,
    }
    agents = ("null", "undefined", "None")
    pages = ("null", "(not set)", "/checkout/thank-you")
    website = {"action_source": "website", "visit_id": "v1", "country": "N/A"}
    orders = [
        _order(world, f"o{n}", client_user_agent=agent, event_source_url=url, **website)
        for n, (agent, url) in enumerate(zip(agents, pages, strict=True))
    ]
    world.land("visits", hour, "visits.jsonl", _lines([visit]))
    world.land("orders", hour, "orders.jsonl", _lines(orders))

    assert world.run(hour)
    assert world.received()["accepted"] == 3
    for payload in _payloads(world).values():
        assert payload["user_data"]["client_user_agent"] == BROWSER
        assert payload["event_source_url"] == page
        assert "country" not in payload["user_data"]


def test_orders_whose_id_is_a_word_for_nothing_are_counted_one_by_one(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land("orders", hour, "orders.jsonl", _lines([_order(world, "null")] * 3))
    world.run(hour)
    assert [r["reasons"] for r in world.read("quarantined_orders", [hour])] == [
        "order_id:missing"
    ] * 3
    health = [row for row in world.read("attribution_health", [hour]) if row["orders"]]
    assert [(row["quarantined"], row["value_quarantined"]) for row in health] == [(3, 30.0)]


def test_layouts_formats_and_times_of_other_systems_reach_meta(world: AssetHarness) -> None:
    hour = world.hour(3)
    day, at = f"{hour:%Y-%m-%d}", hour + timedelta(minutes=20)
    local = at - timedelta(hours=5)
    places = [
        f"{day}/{hour:%H}/orders.csv/part-00000.csv",
        f"{hour:%Y/%m/%d/%H}/o.csv",
        f"date={day}/hour={hour:%H}/o.csv",
        f"{day}/{hour.hour}.csv",
    ]
    times = [
        f"{local:%Y-%m-%d %H:%M:%S} -0500",
        f"{at:%Y-%m-%d %H:%M:%S} +00:00",
        f"{at:%Y-%m-%d %H:%M:%S.0000000} +00:00",
        str(int(at.timestamp())),
    ]
    header = "order_id,occurred_at,action_source,value,currency,email,consent\n"
    for n, (place, time) in enumerate(zip(places, times, strict=True)):
        path = world.root / "landing" / "orders" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        row = f"o{n},{time},physical_store,10,EUR,o{n}@shop.example,1.0\n"
        path.write_text(header + row)
    array = json.dumps([_order(world, "array1"), _order(world, "array2")])
    world.land("orders", hour, "array.json", array)

    assert world.run(hour)
    assert world.received()["accepted"] == 6
    assert {row["event_time"] for row in world.read("matched_events", [hour])} == {
        int(at.timestamp())
    }


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("%Y-%m-%d %H:%M:%S BST", "ambiguous_zone"),
        ("%Y-%m-%d %H:%M:%S IST", "ambiguous_zone"),
        ("%Y%m%d", "not_a_time_date_only"),
        ("46353.29", "not_a_time_excel_serial"),
    ],
)
def test_a_time_that_would_be_guessed_is_refused_with_its_money(
    world: AssetHarness, written: str, reason: str
) -> None:
    hour = world.hour(3)
    row = _order(world, "o1", occurred_at=f"{hour + timedelta(minutes=20):{written}}")
    world.land("orders", hour, "orders.jsonl", _lines([row]))
    world.run(hour)
    (refused,) = world.read("quarantined_orders", [hour])
    assert (refused["reasons"], refused["value"]) == (f"occurred_at:{reason}", 10.0)
    assert world.received()["accepted"] == 0
