"""One order's life on one page: what came in, why it stands where it stands, what to do; never
a value that could be a person's."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness

EMAIL = "Ana.Person+shop@Example.com"
SECRETS = (
    *("ana.person", "person.", "example.com", "7700900123", "7700 900123", "zinaida", TOKEN),
    *("203.0.113", "iwar0"),
)


@pytest.fixture
def cli(world: AssetHarness, monkeypatch: pytest.MonkeyPatch) -> Explained:
    """`capi-assets explain` in this world."""
    for name, value in {
        "CAPI_LAKE": str(world.root / "lake"),
        "CAPI_LEDGER_URL": f"sqlite:///{world.root / 'ledger.db'}",
        "CAPI_DATASET_ID": DATASET,
        "CAPI_NOW": world.now.isoformat(),
        "COLUMNS": "160",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.root)
    return Explained()


class Explained:
    """Runs the command and holds it to its privacy each time."""

    def __call__(self, *arguments: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(main, ["explain", *arguments])
        assert result.exit_code == (1 if fails else 0), (result.output, result.exception)
        for secret in SECRETS:
            assert secret.lower() not in result.output.lower(), secret
        return result

    def page(self, *arguments: str) -> str:
        """The page with single blanks."""
        return " ".join(self(*arguments).output.replace("│", " ").split())

    def json(self, *arguments: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self(*arguments, "--json").output)
        return read


def order_of(hour: datetime, **fields: Any) -> dict[str, Any]:
    at = hour + timedelta(minutes=20)
    return {"order_id": "o1", "occurred_at": at.isoformat(), "value": 49.9, "currency": "EUR",
            "email": EMAIL, "client_user_agent": "Mozilla/5.0",
            "event_source_url": f"https://shop.example/thanks?email={EMAIL}", **fields}  # fmt: skip


def land(world: AssetHarness, hour: datetime, *rows: dict[str, Any], name: str = "o.jsonl") -> None:
    world.land("orders", hour, name, "".join(json.dumps(row) + "\n" for row in rows))


def test_a_delivered_order_is_told_from_landing_to_trace_id(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=1, first_name="Zinaida")
    assert world.run(hour)
    order_id = world.read("orders", [hour])[0]["order_id"]
    page = cli.page(order_id)
    trace = world.read("delivery_results", [hour])[0]["fbtrace_id"]
    visit = world.read("matched_events", [hour])[0]["visit_id"]
    for told in (
        "EUR 10.00",
        "email 1 digest",
        "Status confirmed, consent not recorded: ready.",
        f"{visit} is the only visit that shares a key with the order.",
        "The visit supplied client_ip_address, client_user_agent",
        "already_delivered",
        "accepted, with 1 event in the request",
        trace,
        "Nothing: Meta accepted it at",
    ):
        assert told in page, (told, page)
    read = cli.json(order_id)
    digest = world.read("orders", [hour])[0]["em"]
    assert read["match_keys"]["em"] == {"from": "order", "values": [f"{digest[:12]}…"]}
    assert read["match_keys"]["fbp"]["from"] == "visit"
    assert digest not in json.dumps(read)


def test_a_pending_order_says_what_the_token_needs(world: AssetHarness, cli: Explained) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=1)
    world.meta.expire_token(TOKEN)
    world.run(hour)
    read = cli.json(world.read("orders", [hour])[0]["order_id"])
    assert read["plan"]["action"] == "send"
    assert read["plan"]["reason"] == "token_expired"
    (attempt,) = read["attempts"]
    assert (attempt["http_status"], attempt["code"], attempt["subcode"]) == (401, 190, 463)
    assert "the token has expired" in attempt["words"]
    assert attempt["fbtrace_id"]
    assert "Create an access token" in read["to_do"]
    assert hour_key(hour) in read["to_do"]


def test_a_refused_order_names_file_line_reasons_and_remedy(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    rows = [order_of(hour, order_id="fine"), order_of(hour, value="Zinaida 12", currency="EURO")]
    land(world, hour, *rows, name="shop-export.jsonl")
    world.run(hour)
    page = cli.page("o1")
    assert "shop-export.jsonl, line 2" in page
    assert "value: not_a_number" in page
    assert "aaaaaaa 99" in page
    assert "currency: not_allowed" in page
    assert "Correct " in page
    assert f"materialize {hour_key(hour)}" in page


def test_a_withheld_order_says_why_and_carries_no_payload(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour, consent=False))
    world.run(hour)
    read = cli.json("o1")
    assert (read["verdict"], read["reason"], read["payload"]) == ("withheld", "no_consent", None)
    assert "refused to share" in read["to_do"]
    assert "Match keys of the stored order" not in cli.page("o1"), "they are not stored"


def test_an_invalid_order_gets_the_remedy_of_its_refusal(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour, contents=[{"quantity": 1}], phone="123"))
    world.run(hour)
    read = cli.json("o1")
    assert (read["verdict"], read["reason"]) == ("invalid", "contents_without_id")
    assert "An item of contents has no id" in read["to_do"]
    assert "too short" in read["dropped_fields"]["phone"]


def test_a_website_order_without_a_browser_is_named(world: AssetHarness, cli: Explained) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour, client_user_agent=None))
    world.run(hour)
    assert cli.json("o1")["without_browser"]
    assert "without_browser" in cli.page("o1")
    assert world.received()["accepted"] == 1


def test_a_stored_order_that_was_not_matched_says_what_to_materialize(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour))
    world.run(hour)
    world.lake.path("matched_events", hour).unlink()
    read = cli.json("o1")
    assert read["verdict"] == "not matched yet"
    assert read["to_do"].startswith(f"Materialize {hour_key(hour)}")


def test_the_candidates_show_which_rule_decided(world: AssetHarness, cli: Explained) -> None:
    hour = world.hour(3)
    visits = [
        {"visit_id": f"v{number}", "occurred_at": (hour + timedelta(minutes=number)).isoformat(),
         "email": EMAIL, "external_id": "u1" if number == 0 else None}
        for number in range(14)
    ]  # fmt: skip
    world.land("visits", hour, "v.jsonl", "".join(json.dumps(v) + "\n" for v in visits))
    land(world, hour, order_of(hour, external_id="u1"), order_of(hour, order_id="o2"))
    world.run(hour)
    stronger = cli.json("o1")
    assert stronger["visit_id"] == "v0"
    assert stronger["candidates"][0]["keys"] == ["external_id", "em"]
    assert len(stronger["candidates"]) == 10
    assert stronger["all_candidates"] == 14
    assert "external_id is a stronger key than em" in cli.page("o1")
    page = cli.page("o2")
    assert "v13 is chosen: it is the most recent of those that share em." in page
    assert "and 4 more visits." in page


def test_visits_that_came_after_the_matching_are_pointed_out(
    world: AssetHarness, cli: Explained
) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour))
    world.run(hour)
    matched = world.lake.path("matched_events", hour).read_bytes()
    visit = {"visit_id": "late", "occurred_at": hour.isoformat(), "email": EMAIL}
    world.land("visits", hour, "v.jsonl", json.dumps(visit) + "\n")
    world.run(hour)
    world.lake.path("matched_events", hour).write_bytes(matched)
    assert "The event was built with no visit: visits changed since" in cli.page("o1")


def test_one_id_in_several_hours_is_listed_and_the_newest_explained(
    world: AssetHarness, cli: Explained
) -> None:
    old, new = world.hour(5), world.hour(3)
    land(world, old, order_of(old))
    land(world, new, order_of(new), order_of(new, event_name="Lead"))
    world.run(old, new)
    read = cli.json("o1", "--event-name", "Purchase")
    assert read["hour"] == hour_key(new)
    assert [other["hour"] for other in read["others"]] == [hour_key(old)]
    assert len(cli.json("o1")["others"]) == 2
    assert cli.json("o1", "--hour", hour_key(old))["others"] == []
    assert "Other rows have this id too" in cli.page("o1")


def test_an_unknown_order_is_an_error_with_a_remedy(world: AssetHarness, cli: Explained) -> None:
    empty = cli("o1", fails=True).output
    assert "has no orders" in empty
    hour = world.hour(3)
    land(world, hour, order_of(hour, order_id="SHOP-1001"))
    world.run(hour)
    told = cli("shop-1001", fails=True).output
    assert "No order 'shop-1001'" in told
    assert f"SHOP-1001 of {hour_key(hour)}" in told
    assert "materialize that hour" in told
    assert "Traceback" not in told
    narrowed = cli("SHOP-1001", "--hour", hour_key(world.hour(9)), fails=True).output
    assert "Leave out --hour" in narrowed
    assert "could not be read" not in narrowed


def test_an_order_may_be_in_what_could_not_be_read(world: AssetHarness, cli: Explained) -> None:
    hour = world.hour(3)
    land(world, hour, order_of(hour), name="good.jsonl")
    world.land("orders", hour, "cut.jsonl", '{"order_id": "o2", "occurred')
    world.land("orders", hour, "open.csv", 'order_id,occurred_at\n"o3,now\n')
    world.run(hour)
    told = " ".join(cli("o3", fails=True).output.split())
    assert "It may be among rows that could not be read: " in told
    assert "cut.jsonl line 1" in told
    assert "open.csv" in told


def test_attempts_of_another_order_with_the_same_id_are_named_as_such(
    world: AssetHarness, cli: Explained
) -> None:
    earlier, later = world.hour(24), world.hour(2)
    land(world, earlier, order_of(earlier))
    assert world.run(earlier)
    land(world, later, order_of(later, value=99.0, email="otto@example.net"))
    assert world.run(later)
    page = cli.page("o1")
    assert "Now: invalid (identity_conflict)." in page
    assert "These are of another order o1, which has the same event_id." in page
    assert "These are of" not in cli.page("o1", "--hour", hour_key(earlier))
