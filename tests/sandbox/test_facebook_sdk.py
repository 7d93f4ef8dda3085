"""The other side of the wire, written by Meta: the facebook-business SDK sends to the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import DATASET, DAY, NOW, NOW_S, TOKEN, control, counted, sha

facebook_business = pytest.importorskip("facebook_business")

from facebook_business.adobjects.adspixel import AdsPixel  # noqa: E402
from facebook_business.adobjects.serverside.action_source import ActionSource  # noqa: E402
from facebook_business.adobjects.serverside.content import Content  # noqa: E402
from facebook_business.adobjects.serverside.custom_data import CustomData  # noqa: E402
from facebook_business.adobjects.serverside.event import Event  # noqa: E402
from facebook_business.adobjects.serverside.event_request import EventRequest  # noqa: E402
from facebook_business.adobjects.serverside.event_request_async import (  # noqa: E402
    EventRequestAsync,
)
from facebook_business.adobjects.serverside.user_data import UserData  # noqa: E402
from facebook_business.api import FacebookAdsApi  # noqa: E402
from facebook_business.exceptions import FacebookRequestError  # noqa: E402


@pytest.fixture
def api(server: SandboxServer) -> Iterator[FacebookAdsApi]:
    """The SDK as Meta's page sets it up, but with the sandbox's address for Meta's."""
    api = FacebookAdsApi.init(access_token=TOKEN, crash_log=False, timeout=10)
    api._session.GRAPH = server.url
    yield api
    FacebookAdsApi.set_default_api(None)


def sdk_event(number: int, **changed: Any) -> Event:
    fields = {
        "event_name": "Purchase",
        "event_time": NOW_S - 60,
        "event_id": f"Purchase:{number}",
        "event_source_url": "https://shop.example/thanks",
        "action_source": ActionSource.WEBSITE,
        "user_data": UserData(
            emails=["John_Smith@gmail.com"],
            phones=["+1 (650) 555-1212"],
            country_codes=["us"],
            external_ids=["customer-7"],
            client_ip_address="203.0.113.7",
            client_user_agent="Mozilla/5.0",
            fbp="fb.1.1596403881668.1116446470",
        ),
        "custom_data": CustomData(
            value=142.52, currency="usd", contents=[Content(product_id="a", quantity=2)]
        ),
        **changed,
    }
    return Event(**fields)


def send(*events: Event) -> Any:
    return EventRequest(pixel_id=DATASET, events=list(events)).execute()


def test_a_batch_of_the_sdk_is_accepted(server: SandboxServer, api: FacebookAdsApi) -> None:
    answer = send(*map(sdk_event, range(50)))
    assert (answer.events_received, answer.messages) == (50, [])
    assert answer.fbtrace_id
    assert counted(server) == (50, 0, 0)
    row = control(server, "GET", "/events?limit=1&payloads=1")["events"][0]
    assert row["event"]["user_data"]["em"] == [sha("john_smith@gmail.com")]
    assert row["event"]["user_data"]["ph"] == [sha("16505551212")]
    assert (row["value"], row["currency"]) == (142.52, "USD")


def refused(*events: Event) -> FacebookRequestError:
    with pytest.raises(FacebookRequestError) as wrong:
        send(*events)
    return wrong.value


@pytest.mark.parametrize(
    ("subcode", "changed"),
    [
        (2804003, {"event_time": NOW_S - 8 * DAY}),
        (2804009, {"custom_data": CustomData(currency="eur")}),
        (2804010, {"custom_data": CustomData(value=1.0)}),
        (2804050, {"user_data": UserData(country_codes=["us"], client_user_agent="M")}),
    ],
)
def test_a_bad_event_reaches_the_sdk_as_its_error(
    server: SandboxServer, api: FacebookAdsApi, subcode: int, changed: dict[str, Any]
) -> None:
    wrong = refused(sdk_event(1), sdk_event(2, **changed))
    assert wrong.http_status() == 400
    assert (wrong.api_error_code(), wrong.api_error_subcode()) == (100, subcode)
    assert wrong.api_error_type() == "OAuthException"
    assert wrong.api_transient_error() is False
    assert counted(server) == (0, 0, 0)


def test_the_sdk_reads_the_blamed_field(server: SandboxServer, api: FacebookAdsApi) -> None:
    wrong = refused(sdk_event(1, action_source=None))
    assert wrong.api_blame_field_specs() == [["data", "0", "action_source"]]


def test_an_expired_token_reaches_the_sdk(server: SandboxServer, api: FacebookAdsApi) -> None:
    server.expire_token(TOKEN)
    wrong = refused(sdk_event(1))
    assert (wrong.api_error_code(), wrong.api_error_subcode()) == (190, 463)
    server.renew_token(TOKEN)
    assert send(sdk_event(1)).events_received == 1


def test_throttling_and_trouble_reach_the_sdk(server: SandboxServer, api: FacebookAdsApi) -> None:
    server.set_fault("throttled", count=1)
    assert refused(sdk_event(1)).api_error_code() == 4
    server.set_fault("server_error", count=1)
    assert refused(sdk_event(1)).api_transient_error() is True
    server.set_fault("unavailable_text", count=1)
    assert refused(sdk_event(1)).http_status() == 200


def test_the_sdk_proves_its_app_secret() -> None:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], app_secret="quiet") as server:
        for secret, accepted in (("quiet", True), ("other", False)):
            api = FacebookAdsApi.init(
                app_secret=secret, access_token=TOKEN, crash_log=False, timeout=10
            )
            api._session.GRAPH = server.url
            if accepted:
                assert send(sdk_event(1)).events_received == 1
            else:
                assert refused(sdk_event(2)).api_error_code() == 100
    FacebookAdsApi.set_default_api(None)


def test_the_sdks_asynchronous_form_is_read_too(server: SandboxServer, api: FacebookAdsApi) -> None:
    # Its own execute() insists on Meta's TLS; what it would send is what counts here.
    params = EventRequestAsync(pixel_id=DATASET, events=[sdk_event(1), sdk_event(2)]).get_params()
    answer = api._session.requests.post(f"{server.url}/v26.0/{DATASET}/events", data=params)
    assert answer.json()["events_received"] == 2


def test_the_sdk_reads_the_node_and_the_stats(server: SandboxServer, api: FacebookAdsApi) -> None:
    send(sdk_event(1), sdk_event(2))
    node = AdsPixel(DATASET).api_get(fields=["name", "last_fired_time"])
    assert node["name"] == "Shop"
    [bucket] = AdsPixel(DATASET).get_stats(params={"event_source": "SERVER_ONLY"})
    assert bucket["aggregation"] == "event"
    assert bucket["data"][0]["value"] == "Purchase"
    assert int(bucket["data"][0]["count"]) == 2
