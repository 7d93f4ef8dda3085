"""The channels that the settings name, any number of each."""

from __future__ import annotations

from capi_assets.coverage.alerting.channels import EmailChannel, JsonChannel, WebhookChannel
from capi_assets.policies import alert_channels
from capi_assets.settings import Settings


def test_addresses_may_have_commas_or_spaces_between_them() -> None:
    settings = Settings(
        alert_webhook="https://a.example/1, https://b.example/2",
        alert_json_url="https://c.example/3\nhttps://d.example/4",
        alert_email_to="ops@shop.example ana@shop.example",
        smtp_url="smtps://mail.example",
    )
    made = alert_channels(settings)
    assert [channel.name for channel in made] == [
        "webhook",
        "webhook 2",
        "json",
        "json 2",
        "email",
    ]
    hook, _, _, program, mail = made
    assert isinstance(hook, WebhookChannel)
    assert hook.url == "https://a.example/1"
    assert isinstance(program, JsonChannel)
    assert program.url == "https://d.example/4"
    assert isinstance(mail, EmailChannel)
    assert mail.to == ["ops@shop.example", "ana@shop.example"]
    assert mail.sender == "ops@shop.example"


def test_without_settings_there_is_no_channel() -> None:
    assert alert_channels(Settings()) == []
    assert alert_channels(Settings(alert_email_to="ops@shop.example")) == []
