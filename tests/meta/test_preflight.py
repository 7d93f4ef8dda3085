"""The preflight proves token and permission with an event that Meta must refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from capi_assets.coverage.access_health.findings import preflight_text
from capi_assets.meta.graph.client import Answer, DatasetAccess, MetaClient, RequestOutcome
from capi_assets.meta.graph.errors import ErrorKind
from capi_assets.meta.graph.preflight import EVENT_NAME, Preflight, preflight, preflight_event
from capi_assets.meta.limits import WINDOW
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DATASET = "123456789012345"
TOKEN = "EAAB-preflight-token"


@pytest.fixture(scope="module")
def shared_meta() -> Iterator[SandboxServer]:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], datasets={DATASET: "Shop"}) as running:
        yield running


@pytest.fixture
def meta(shared_meta: SandboxServer) -> SandboxServer:
    shared_meta.clear_faults()
    shared_meta.renew_token(TOKEN)
    shared_meta.inbox.clear()
    return shared_meta


def fly(meta: SandboxServer, token: str = TOKEN, dataset: str = DATASET) -> Preflight:
    client = MetaClient(DatasetAccess(dataset, token, graph_url=meta.url))
    try:
        return preflight(client, NOW)
    finally:
        client.close()


def test_a_refused_age_proves_token_and_permission_and_counts_nothing(meta: SandboxServer) -> None:
    found = fly(meta)
    assert found.ok
    assert (found.problem, found.code, found.subcode) == (None, 100, 2804003)
    assert found.trace_id
    assert found.api_version == "v26.0"
    assert preflight_text(found).startswith("Meta accepts the token")
    told = totals(meta.inbox)
    assert told["requests"]["calls"] == 1
    assert told["events"]["accepted"] == 0


def kind_of(found: Preflight) -> ErrorKind | None:
    return found.problem.kind if found.problem else None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("expired_token", ErrorKind.TOKEN),
        ("invalid_token", ErrorKind.TOKEN),
        ("permission_lost", ErrorKind.PERMISSION),
        ("unknown_dataset", ErrorKind.PERMISSION),
        ("throttled", ErrorKind.THROTTLED),
        ("server_error", ErrorKind.TRANSIENT),
        ("html", ErrorKind.TRANSIENT),
        ("unavailable_text", ErrorKind.TRANSIENT),
        ("redirect", ErrorKind.TRANSIENT),
        ("hang_up_before_reading", ErrorKind.TRANSIENT),
        ("truncated_json", ErrorKind.TRANSIENT),
        ("error", ErrorKind.PERMISSION),
    ],
)
def test_each_fault_is_told_for_what_it_is(
    meta: SandboxServer, fault: str, kind: ErrorKind
) -> None:
    meta.set_fault(fault)
    found = fly(meta)
    assert not found.ok
    assert kind_of(found) is kind
    assert DATASET in preflight_text(found)
    assert TOKEN not in preflight_text(found) + repr(found)


def test_a_wrong_token_and_a_wrong_dataset_are_told_apart(meta: SandboxServer) -> None:
    assert kind_of(fly(meta, token="mistyped")) is ErrorKind.TOKEN
    assert kind_of(fly(meta, dataset="99")) is ErrorKind.PERMISSION


def test_nobody_there_is_an_answer_too() -> None:
    client = MetaClient(DatasetAccess(DATASET, TOKEN, graph_url="http://127.0.0.1:9"))
    found = preflight(client, NOW)
    assert kind_of(found) is ErrorKind.TRANSIENT
    assert "CAPI_GRAPH_URL" in preflight_text(found)


class Accepting:
    """A Meta that takes what it should refuse."""

    access = DatasetAccess(DATASET, TOKEN)

    def __init__(self, received: int) -> None:
        self.received = received

    def body(self, events: object) -> bytes:
        return b"{}"

    def post(self, body: bytes) -> Answer:
        return Answer(RequestOutcome.ANSWERED, http_status=200, events_received=self.received)


def test_an_accepted_preflight_is_told_as_a_surprise() -> None:
    found = preflight(Accepting(1), NOW)
    assert found.ok
    assert found.was_accepted
    assert "is counted" in preflight_text(found)
    assert "CAPI_PREFLIGHT=off" in preflight_text(found)


def test_an_answer_that_confirms_nothing_proves_nothing() -> None:
    assert kind_of(preflight(Accepting(0), NOW)) is ErrorKind.TRANSIENT


def test_the_event_is_recognisable_too_old_and_belongs_to_nobody() -> None:
    event = json.loads(preflight_event(NOW))
    assert event["event_name"] == EVENT_NAME == "capi_assets_preflight"
    assert event["event_id"].startswith("capi-assets-preflight-")
    age = NOW - datetime.fromtimestamp(event["event_time"], UTC)
    assert WINDOW < age == timedelta(days=30)
    assert set(event["user_data"]) == {"em", "external_id"}
    assert all(len(d) == 64 for digests in event["user_data"].values() for d in digests)


def test_proof_and_test_code_travel_with_it() -> None:
    with SandboxServer(tokens=[TOKEN], datasets=[DATASET], app_secret="quiet") as meta:

        def found(secret: str | None) -> Preflight:
            access = DatasetAccess(
                DATASET, TOKEN, secret, graph_url=meta.url, test_event_code="TEST1"
            )
            return preflight(MetaClient(access), datetime.now(UTC))

        assert found("quiet").ok
        assert found("other").code == 100
        assert "CAPI_APP_SECRET" in preflight_text(found("other"))
        (codes,) = meta.inbox.rows("select count(*) n, min(test_event_code) c from requests")
        assert (codes["n"], codes["c"]) == (3, "TEST1")
