"""Tokens that expire in the middle, are renewed, revoked, and described by /debug_token."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.tokens import digest_of
from tests.helpers.sandbox_samples import (
    DATASET,
    NOW,
    TOKEN,
    codes,
    control,
    counted,
    error,
    get,
    inspect,
    post,
    purchase,
)


def test_a_token_expires_in_the_middle_and_is_renewed(server: SandboxServer) -> None:
    control(server, "PUT", "/tokens", {"token": TOKEN, "expires_at": "2026-11-20T13:00:00Z"})
    assert post(server, purchase(1)).status_code == 200
    server.set_clock(NOW + timedelta(hours=1) - timedelta(seconds=1))
    assert post(server, purchase(2)).status_code == 200
    server.set_clock(NOW + timedelta(hours=1))
    answer = post(server, purchase(3))
    assert codes(answer) == (401, 190, 463)
    assert "Session has expired on Friday, 20-Nov-26 13:00:00" in error(answer)["message"]
    assert answer.headers["WWW-Authenticate"].startswith('OAuth "Facebook Platform"')
    control(server, "PUT", "/tokens", {"token": TOKEN, "expires_at": None})
    assert post(server, purchase(3)).status_code == 200
    assert counted(server) == (3, 0, 0)


def test_a_token_can_be_ended_by_its_fingerprint(server: SandboxServer) -> None:
    fingerprint = control(server, "GET", "/tokens")["tokens"][0]["fingerprint"]
    told = control(server, "PUT", "/tokens", {"fingerprint": fingerprint, "expires_at": "now"})
    assert told["valid"] is False
    assert codes(post(server, purchase()))[1:] == (190, 463)


def test_an_unknown_token_cannot_be_parsed(server: SandboxServer) -> None:
    answer = post(server, purchase(), token="mistyped")
    assert codes(answer) == (401, 190, None)
    assert "Cannot parse access token" in error(answer)["message"]


def test_a_call_without_a_token_is_refused(server: SandboxServer) -> None:
    answer = requests.post(
        f"{server.url}/v26.0/{DATASET}/events", json={"data": [purchase()]}, timeout=5
    )
    assert codes(answer) == (400, 104, None)


def test_a_revoked_token_is_unknown() -> None:
    with SandboxServer(clock=lambda: NOW) as server:
        assert post(server, purchase(1), token="anyone").status_code == 200
        control(server, "DELETE", "/tokens", {"token": "anyone"})
        assert codes(post(server, purchase(2), token="anyone"))[:2] == (401, 190)
        assert post(server, purchase(2), token="someone else").status_code == 200


def test_tokens_may_be_given_with_their_ends() -> None:
    tokens = {"old": NOW - timedelta(days=1), "new": None}
    with SandboxServer(clock=lambda: NOW, tokens=tokens) as server:
        assert codes(post(server, purchase(), token="old"))[1:] == (190, 463)
        assert post(server, purchase(), token="new").status_code == 200


def test_debug_token_tells_the_end_and_the_scopes(server: SandboxServer) -> None:
    server.renew_token(TOKEN, NOW + timedelta(days=3))
    told = inspect(server, TOKEN).json()["data"]
    assert told["is_valid"] is True
    assert told["expires_at"] == int((NOW + timedelta(days=3)).timestamp())
    assert "ads_management" in told["scopes"]
    server.renew_token(TOKEN)
    told = inspect(server, TOKEN, path="/v26.0/debug_token").json()["data"]
    assert told["expires_at"] == 0


def test_debug_token_says_what_is_wrong_with_another_token(server: SandboxServer) -> None:
    control(server, "PUT", "/tokens", {"token": "other", "expires_at": "2026-11-19T00:00:00Z"})
    told = inspect(server, "other").json()["data"]
    assert (told["is_valid"], told["error"]["subcode"]) == (False, 463)
    told = inspect(server, "never seen").json()["data"]
    assert (told["is_valid"], told["error"]["code"]) == (False, 190)


def test_debug_token_wants_a_caller_it_knows(server: SandboxServer) -> None:
    assert codes(inspect(server, TOKEN, token=None))[1] == 104
    server.expire_token(TOKEN)
    assert codes(inspect(server, TOKEN))[1:] == (190, 463)


def test_debug_token_answers_the_app_itself() -> None:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], app_secret="quiet") as server:
        app = "1024000000000001|quiet"
        told = inspect(server, TOKEN, token=app).json()["data"]
        assert told["is_valid"] is True


def test_debug_token_takes_no_token_in_a_url(server: SandboxServer) -> None:
    assert codes(get(server, "/debug_token", input_token=TOKEN))[:2] == (400, 100)
    form = {"input_token": TOKEN}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    plain = requests.post(server.url + "/debug_token", data=form, headers=headers, timeout=10)
    assert codes(plain)[:2] == (400, 100)


def test_a_token_of_events_manager_is_told_nothing_of_itself(server: SandboxServer) -> None:
    server.state.tokens.put(digest_of(TOKEN), NOW, may_inspect=False)
    answer = inspect(server, TOKEN)
    assert codes(answer)[:2] == (400, 100)
    assert "app access token" in error(answer)["message"]
    assert post(server, purchase()).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"expires_at": None}, {"fingerprint": "00000000"}, {"token": "a", "expires_at": "tomorrow"}],
)
def test_a_token_order_that_cannot_be_read_is_refused(
    server: SandboxServer, wrong: dict[str, object]
) -> None:
    answer = requests.put(server.url + "/_sandbox/tokens", json=wrong, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["problem"]
