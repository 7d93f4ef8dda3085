"""A visit supplies what its order lacks; the most recent click wins, of visit or order."""

from __future__ import annotations

import duckdb
import pytest

from capi_assets.matching import VISIT_SUPPLIED_COLUMNS
from tests.helpers.factories import Row, at, digest, fbc
from tests.helpers.matcher import AGENT, EM, IP, KEYS, OCCURRED, PH, Matcher


@pytest.fixture(scope="module")
def matcher(connection: duckdb.DuckDBPyConnection) -> Matcher:
    return Matcher(connection)


LENT = {
    "fbp": "fb.1.1700000000000.123",
    "client_ip_address": IP,
    "client_user_agent": AGENT,
    "external_id": digest("u1"),
    "page_url": "https://shop.example/landing",
    "referrer_url": "https://ads.example/",
}


def test_a_visit_lends_what_the_order_lacks(matcher: Matcher) -> None:
    found = matcher.one({"em": EM}, {"em": EM, "fbc": fbc("IwAR1", at(3)), **LENT})
    for column, visit_column in VISIT_SUPPLIED_COLUMNS.items():
        assert found[column] == LENT[visit_column]
    assert found["fbc"] == fbc("IwAR1", at(3))
    assert found["lent"].split() == sorted([*VISIT_SUPPLIED_COLUMNS, "fbc"])


def test_an_orders_own_value_wins(matcher: Matcher) -> None:
    own: Row = {
        "fbp": "fb.1.1700000000000.999",
        "client_ip_address": "85.9.9.9",
        "client_user_agent": "Opera",
        "external_id": digest("u9"),
        "event_source_url": "https://shop.example/thanks",
        "referrer_url": "https://shop.example/cart",
    }
    found = matcher.one({"em": EM, **own}, {"em": EM, **LENT})
    assert {name: found[name] for name in own} == own
    assert found["lent"] is None


def test_a_visit_supplies_a_store_purchase_with_the_person_but_not_the_browser(
    matcher: Matcher,
) -> None:
    click = fbc("IwAR1", at(3))
    found = matcher.one(
        {"em": EM, "action_source": "physical_store"}, {"em": EM, "fbc": click, **LENT}
    )
    assert found["lent"] == "external_id fbc fbp"
    assert (found["fbc"], found["fbp"], found["external_id"]) == (
        click,
        LENT["fbp"],
        LENT["external_id"],
    )
    for column in ("client_ip_address", "client_user_agent", "event_source_url", "referrer_url"):
        assert found[column] is None


def test_a_visit_that_has_nothing_lends_nothing(matcher: Matcher) -> None:
    found = matcher.one({"em": EM}, {"em": EM})
    assert (found["visit_id"], found["lent"]) == ("v1", None)


def test_contacts_of_a_visit_are_not_supplied(matcher: Matcher) -> None:
    found = matcher.one({"visit_id": "v1"}, {"em": EM, "ph": PH})
    assert (found["em"], found["ph"]) == (None, None)


@pytest.mark.parametrize("own", [True, False, None])
@pytest.mark.parametrize("visits_own", [True, False, None])
def test_consent_is_the_visits_where_the_order_says_nothing(
    matcher: Matcher, own: bool | None, visits_own: bool | None
) -> None:
    found = matcher.one({"em": EM, "consent": own}, {"em": EM, "consent": visits_own})
    assert found["consent"] is (visits_own if own is None else own)


# Clicks

OLD, NEW = fbc("IwOLD", at(-300)), fbc("IwNEW", at(-10))


def test_a_more_recent_click_wins_over_an_older_one_whoever_has_it(matcher: Matcher) -> None:
    newer_visit = matcher.one({"em": EM, "fbc": OLD}, {"em": EM, "fbc": NEW})
    assert (newer_visit["fbc"], newer_visit["lent"]) == (NEW, "fbc")
    newer_order = matcher.one({"em": EM, "fbc": NEW}, {"em": EM, "fbc": OLD})
    assert (newer_order["fbc"], newer_order["lent"]) == (NEW, None)


def test_the_same_click_is_the_orders_own(matcher: Matcher) -> None:
    seen_later = fbc("IwOLD", at(-100))
    found = matcher.one(
        {"em": EM, "fbc": OLD, "fbclid": "IwOLD"}, {"em": EM, "fbc": seen_later, "fbclid": "IwOLD"}
    )
    assert (found["fbc"], found["lent"]) == (OLD, None)


def test_clicks_of_the_same_moment_are_the_orders_own(matcher: Matcher) -> None:
    found = matcher.one({"em": EM, "fbc": fbc("A", at(1))}, {"em": EM, "fbc": fbc("B", at(1))})
    assert found["fbc"] == fbc("A", at(1))


def test_a_bare_click_id_takes_the_time_when_a_visit_saw_it_first(matcher: Matcher) -> None:
    rows = [
        {"fbclid": "IwOLD", "fbc": fbc("IwOLD", at(minutes)), "occurred_at": at(minutes)}
        for minutes in (-300, -200, -100)
    ]
    found = matcher.one({"fbclid": "IwOLD"}, *rows)
    assert (found["fbc"], found["lent"]) == (OLD, "fbc")
    assert found["visit_id"] == "v3"


def test_a_bare_click_id_that_no_visit_saw_is_first_seen_with_the_order(matcher: Matcher) -> None:
    alone = matcher.one({"fbclid": "IwNEW", "occurred_at": OCCURRED})
    assert (alone["fbc"], alone["lent"]) == (fbc("IwNEW", OCCURRED), None)
    later = matcher.one(
        {"fbclid": "IwNEW", "occurred_at": OCCURRED, "em": EM}, {"em": EM, "fbc": OLD}
    )
    assert (later["fbc"], later["lent"]) == (fbc("IwNEW", OCCURRED), None)


def test_a_bare_click_id_gives_way_to_a_later_click(matcher: Matcher) -> None:
    rows = [
        {"em": EM, "fbclid": "IwOLD", "fbc": OLD, "occurred_at": at(-300)},
        {"em": EM, "fbclid": "IwNEW", "fbc": NEW, "occurred_at": at(-10)},
    ]
    found = matcher.one({"em": EM, "fbclid": "IwOLD"}, *rows)
    assert (found["fbc"], found["lent"]) == (NEW, "fbc")


def test_a_click_id_beside_an_older_cookie_is_the_later_click(matcher: Matcher) -> None:
    order = {"fbc": OLD, "fbclid": "IwNEW", "em": EM}
    seen = matcher.one(order, {"em": EM, "fbclid": "IwNEW", "fbc": NEW})
    assert (seen["fbc"], seen["lent"]) == (NEW, "fbc")
    unseen = matcher.one({**order, "occurred_at": OCCURRED})
    assert (unseen["fbc"], unseen["lent"]) == (fbc("IwNEW", OCCURRED), None)


def test_of_several_visits_the_most_recent_click_is_supplied(matcher: Matcher) -> None:
    rows = [
        {"visit_id": "best", "external_id": "u1", "occurred_at": at(-200)},
        {"visit_id": "phone", "ph": PH, "fbc": OLD, "occurred_at": at(-5)},
        {"visit_id": "mail", "em": EM, "fbc": NEW, "occurred_at": at(-8)},
    ]
    found = matcher.one({"external_id": "u1", "em": EM, "ph": PH}, *rows)
    assert (found["visit_id"], found["fbc"], found["lent"]) == ("best", NEW, "fbc")


def test_address_and_browser_lend_a_click_only_where_nothing_better_matched(
    matcher: Matcher,
) -> None:
    shared = KEYS["ip_user_agent"]
    neighbour = {"visit_id": "neighbour", "fbc": NEW, "occurred_at": at(-9), **shared}
    alone = matcher.one(shared, neighbour)
    assert (alone["fbc"], alone["matched_by"]) == (NEW, "ip_user_agent")
    better = matcher.one({"em": EM, **shared}, {"em": EM, "occurred_at": at(-20)}, neighbour)
    assert (better["fbc"], better["matched_by"]) == (None, "em")


def test_a_cookie_with_an_appendix_is_supplied_unchanged(matcher: Matcher) -> None:
    cookie = fbc("IwAR1", at(-10)) + ".AQICAQMC"
    found = matcher.one({"fbclid": "IwAR1"}, {"fbclid": "IwAR1", "fbc": cookie})
    assert found["fbc"] == cookie
