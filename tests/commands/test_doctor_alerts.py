"""The doctor sees an alert channel that could never deliver, and shows no secret."""

from __future__ import annotations

import pytest

from capi_assets.commands.doctor import Finding, examine

MAIL = {
    "CAPI_ALERT_EMAIL_TO": "ops@shop.example, ana@shop.example",
    "CAPI_SMTP_URL": "smtps://ops:hushhush@mail.example:465",
}


def finding(name: str, env: dict[str, str]) -> Finding:
    found = examine(env | {"CAPI_GRAPH_URL": "http://127.0.0.1:9"}, {})
    assert "hushhush" not in repr(found)
    return next(each for each in found if each.name == name)


def test_a_mail_server_with_recipients_is_fine() -> None:
    assert finding("CAPI_ALERT_EMAIL_TO", MAIL).verdict == "ok"
    server = finding("CAPI_SMTP_URL", MAIL)
    assert (server.verdict, server.text) == ("ok", "mail.example, port 465")


@pytest.mark.parametrize(
    ("name", "env", "verdict"),
    [
        ("CAPI_ALERT_EMAIL_TO", {"CAPI_ALERT_EMAIL_TO": "ops@shop.example"}, "error"),
        ("CAPI_ALERT_EMAIL_TO", MAIL | {"CAPI_ALERT_EMAIL_TO": "ops, ana@x.example"}, "error"),
        ("CAPI_ALERT_EMAIL_FROM", {"CAPI_ALERT_EMAIL_FROM": "nobody"}, "error"),
        ("CAPI_SMTP_URL", {"CAPI_SMTP_URL": "mail.example:465"}, "error"),
        ("CAPI_SMTP_URL", {"CAPI_SMTP_URL": MAIL["CAPI_SMTP_URL"]}, "warning"),
        ("CAPI_ALERT_WEBHOOK", {"CAPI_ALERT_WEBHOOK": "hooks.example/hushhush"}, "error"),
        ("CAPI_ALERT_JSON_URL", {"CAPI_ALERT_JSON_URL": "https://a.example x"}, "error"),
        ("CAPI_UI_URL", {"CAPI_UI_URL": "127.0.0.1:3000"}, "error"),
        ("CAPI_UI_URL", {"CAPI_UI_URL": "https://dagster.example/capi/"}, "ok"),
    ],
)
def test_what_cannot_work_is_told(name: str, env: dict[str, str], verdict: str) -> None:
    assert finding(name, env).verdict == verdict


def test_several_addresses_are_counted() -> None:
    hooks = {"CAPI_ALERT_WEBHOOK": "https://a.example/hushhush,\n https://b.example/x"}
    assert finding("CAPI_ALERT_WEBHOOK", hooks).text == "2 URLs"
