"""What the sandbox tells about what it received: /received, /stats, /dataset_quality, the node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests

from capi_assets.sandbox.field_selection import read_fields, select
from capi_assets.sandbox.responses import GraphError
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import (
    DATASET,
    DAY,
    NOW,
    NOW_S,
    PERSON,
    codes,
    control,
    get,
    post,
    purchase,
    sha,
)


def sale(number: int, hours_ago: float, value: float = 10, currency: str = "EUR") -> dict[str, Any]:
    return purchase(
        number,
        event_time=NOW_S - int(hours_ago * 3600),
        custom_data={"value": value, "currency": currency},
    )


def test_received_counts_by_the_hour_of_the_event(server: SandboxServer) -> None:
    post(server, sale(1, 0.5, 10), sale(2, 0.9, 2.5, "usd"), sale(3, 1.5, 7))
    post(server, sale(1, 0.5, 10))
    server.set_clock(NOW + timedelta(hours=49))
    post(server, sale(3, 1.5, 7))
    told = control(server, "GET", "/received")
    assert told["hours"] == [
        {
            "hour": "2026-11-20-10:00", "dataset": DATASET, "received": 2, "accepted": 1,
            "duplicates": 0, "doubled": 1, "value": {"EUR": 7}, "doubled_value": {"EUR": 7},
        },
        {
            "hour": "2026-11-20-11:00", "dataset": DATASET, "received": 3, "accepted": 2,
            "duplicates": 1, "doubled": 0, "value": {"EUR": 10, "USD": 2.5}, "doubled_value": {},
        },
    ]  # fmt: skip
    assert told["totals"]["value"] == {"EUR": 17, "USD": 2.5}
    assert told["totals"]["requests"] == {"calls": 3, "answered": 3, "refused": 0, "struck": 0}
    for hour in ("2026-11-20-10:00", "2026-11-20T10:59:00Z"):
        only = requests.get(f"{server.url}/_sandbox/received", params={"hour": hour}, timeout=5)
        assert only.json()["hours"] == told["hours"][:1]
    assert control(server, "GET", "/received?dataset=other")["hours"] == []


def test_the_totals_name_what_was_refused(server: SandboxServer) -> None:
    for _ in range(2):
        post(server, sale(1, 200))
    post(server, purchase(user_data={}))
    told = control(server, "GET", "")["refusals"]
    assert [(one["code"], one["subcode"], one["requests"]) for one in told] == [
        (100, 2804003, 2),
        (100, 2804050, 1),
    ]


def test_events_are_paged_in_order(server: SandboxServer) -> None:
    post(server, *(purchase(number) for number in range(25)))
    seen, after = [], "0"
    while after:
        told = control(server, "GET", f"/events?limit=10&after={after}")
        seen += [row["event_id"] for row in told["events"]]
        after = str(told["next"] or "")
    assert seen == [f"Purchase:{number}" for number in range(25)]
    newest = control(server, "GET", "/events?limit=1")
    assert newest["events"][0]["event_id"] == "Purchase:24"
    before = control(server, "GET", f"/events?limit=1&before={newest['next']}")
    assert before["events"][0]["event_id"] == "Purchase:23"


def test_an_event_is_told_by_key_names_without_its_values(server: SandboxServer) -> None:
    post(server, purchase())
    row = control(server, "GET", "/events?event_id=Purchase:1")["events"][0]
    assert row["keys"] == "client_ip_address client_user_agent em external_id fbc"
    assert "event" not in row
    assert PERSON["em"][0] not in str(row)


def test_clearing_forgets_identities_too(server: SandboxServer) -> None:
    post(server, purchase())
    control(server, "DELETE", "/received")
    post(server, purchase())
    assert control(server, "GET", "")["events"] == {
        "received": 1, "accepted": 1, "duplicates": 0, "doubled": 0,
    }  # fmt: skip


def test_stats_have_hourly_buckets_after_deduplication(server: SandboxServer) -> None:
    post(server, sale(1, 0.5), sale(2, 0.5), sale(1, 0.5), sale(4, 3.2))
    post(server, purchase("x", event_name="Lead", custom_data=None))
    told = get(server, f"/v26.0/{DATASET}/stats", event_source="SERVER_ONLY").json()
    assert told["data"] == [
        {
            "aggregation": "event",
            "start_time": "2026-11-20T08:00:00+0000",
            "data": [{"value": "Purchase", "count": 1}],
        },
        {
            "aggregation": "event",
            "start_time": "2026-11-20T11:00:00+0000",
            "data": [{"value": "Purchase", "count": 2}, {"value": "Lead", "count": 1}],
        },
    ]


def test_stats_can_be_narrowed(server: SandboxServer) -> None:
    post(server, sale(1, 0.5), sale(2, 5), purchase("x", event_name="Lead", custom_data=None))

    def total(**asked: Any) -> int:
        told = get(server, f"/v26.0/{DATASET}/stats", **asked).json()["data"]
        return sum(one["count"] for bucket in told for one in bucket["data"])

    assert total() == 3
    assert total(event="Lead") == 1
    assert total(start_time=NOW_S - 3600) == 2
    assert total(end_time="2026-11-20T08:00:00+00:00") == 1
    assert total(event_source="WEB_ONLY") == 0
    assert total(aggregation="event_source") == 3
    assert total(aggregation="match_keys", event="Lead") == len(PERSON)


def test_stats_reach_seven_days_back(server: SandboxServer) -> None:
    store = purchase(action_source="physical_store", event_time=NOW_S - 9 * DAY)
    post(server, store, sale(2, 24 * 6.5))
    asked = {"start_time": NOW_S - 30 * DAY}
    told = get(server, f"/v26.0/{DATASET}/stats", **asked).json()["data"]
    assert [bucket["start_time"][:10] for bucket in told] == ["2026-11-14"]


@pytest.mark.parametrize("asked", [{"aggregation": "moon"}, {"start_time": "soon"}])
def test_stats_refuse_what_they_do_not_know(server: SandboxServer, asked: dict[str, str]) -> None:
    assert codes(get(server, f"/v26.0/{DATASET}/stats", **asked)) == (400, 100, None)


QUALITY = (
    "web{event_name,event_match_quality{composite_score,match_key_feedback{identifier,"
    "coverage{percentage}}},event_coverage{goal_percentage},dedupe_key_feedback,"
    "data_freshness{upload_frequency}}"
)


def quality(server: SandboxServer, fields: str = QUALITY) -> Any:
    asked = {"dataset_id": DATASET, "fields": fields}
    return get(server, "/v26.0/dataset_quality", **asked).json()


def test_dataset_quality_tells_the_coverage_of_each_key(server: SandboxServer) -> None:
    bare = {"external_id": [sha("2")], "client_user_agent": "M"}
    post(server, sale(1, 0.5), sale(2, 0.5), sale(3, 0.5), {**sale(4, 0.5), "user_data": bare})
    [web] = quality(server)["web"]
    assert web["event_name"] == "Purchase"
    told = web["event_match_quality"]["match_key_feedback"]
    shares = {one["identifier"]: one["coverage"]["percentage"] for one in told}
    assert shares == {
        "email": 75, "fbc": 75, "external_id": 100, "ip_address": 75, "user_agent": 100,
    }  # fmt: skip
    assert 0 < web["event_match_quality"]["composite_score"] <= 10
    assert web["event_coverage"] == {"goal_percentage": 75}
    assert web["data_freshness"] == {"upload_frequency": "hourly"}
    by_key = {one["dedupe_key"]: one for one in web["dedupe_key_feedback"]}
    assert by_key["event_id"]["server_events_with_dedupe_key"]["percentage"] == 100


def test_dataset_quality_counts_web_events_once(server: SandboxServer) -> None:
    post(server, sale(1, 0.5), sale(1, 0.5), purchase(2, action_source="physical_store"))
    post(server, purchase(3, event_id=None, custom_data={"value": 1, "currency": "EUR"}))
    [web] = quality(server)["web"]
    by_key = {one["dedupe_key"]: one for one in web["dedupe_key_feedback"]}
    assert by_key["event_id"]["server_events_with_dedupe_key"]["percentage"] == 50


@pytest.mark.parametrize(
    ("hours_ago", "word"), [(0.1, "real_time"), (1.5, "hourly"), (20, "daily"), (100, "weekly")]
)
def test_dataset_quality_tells_how_soon_events_arrive(
    server: SandboxServer, hours_ago: float, word: str
) -> None:
    post(server, sale(1, hours_ago))
    assert quality(server)["web"][0]["data_freshness"]["upload_frequency"] == word


def test_dataset_quality_wants_a_dataset_and_sound_fields(server: SandboxServer) -> None:
    assert codes(get(server, "/v26.0/dataset_quality")) == (400, 100, None)
    assert codes(get(server, "/v26.0/dataset_quality", dataset_id="9")) == (400, 100, 33)
    broken = {"dataset_id": DATASET, "fields": "web{event_name"}
    assert codes(get(server, "/v26.0/dataset_quality", **broken)) == (400, 2500, None)


def test_the_node_tells_its_name_and_when_it_last_fired(server: SandboxServer) -> None:
    assert get(server, f"/v26.0/{DATASET}").json() == {"name": "Shop", "id": DATASET}
    post(server, purchase())
    asked = {"fields": "last_fired_time,is_unavailable"}
    assert get(server, f"/v26.0/{DATASET}", **asked).json() == {
        "last_fired_time": "2026-11-20T12:00:00+0000",
        "is_unavailable": False,
        "id": DATASET,
    }
    assert codes(get(server, "/v26.0/404")) == (400, 100, 33)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a", {"a": {}}),
        (" a , b{c{d}, e } ", {"a": {}, "b": {"c": {"d": {}}, "e": {}}}),
        ("a{}", {"a": {}}),
    ],
)
def test_fields_are_read_with_their_braces(text: str, expected: dict[str, Any]) -> None:
    assert read_fields(text) == expected


@pytest.mark.parametrize("text", ["{", "a}", "a{b", "a b", "{a}", "a;b", "a,,{b}"])
def test_broken_fields_are_refused(text: str) -> None:
    with pytest.raises(GraphError) as refused:
        read_fields(text)
    assert refused.value.code == 2500


def test_a_selection_reaches_into_lists() -> None:
    value = {"a": [{"b": 1, "c": 2}, {"b": 3}], "d": 4}
    assert select(value, read_fields("a{b},missing")) == {"a": [{"b": 1}, {"b": 3}]}
