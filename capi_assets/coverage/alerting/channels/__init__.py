"""Where alerts go: the log, Slack-compatible webhooks, JSON receivers and e-mail; a file each.

A channel never raises and never shows its address, which is a secret: it returns a `Failure` for
the caller to log. alert_message.py and alert_text.py write the messages.
"""

from capi_assets.coverage.alerting.channels.email import EmailChannel
from capi_assets.coverage.alerting.channels.json_channel import JsonChannel
from capi_assets.coverage.alerting.channels.log import LogChannel
from capi_assets.coverage.alerting.channels.message import Channel, Failure, Message
from capi_assets.coverage.alerting.channels.outbox import UnsentMessages, deliver
from capi_assets.coverage.alerting.channels.send import send_all
from capi_assets.coverage.alerting.channels.smtp_address import SmtpAddress, smtp_address
from capi_assets.coverage.alerting.channels.webhook import WebhookChannel, webhook_text

__all__ = [
    "Channel",
    "EmailChannel",
    "Failure",
    "JsonChannel",
    "LogChannel",
    "Message",
    "SmtpAddress",
    "UnsentMessages",
    "WebhookChannel",
    "deliver",
    "send_all",
    "smtp_address",
    "webhook_text",
]
