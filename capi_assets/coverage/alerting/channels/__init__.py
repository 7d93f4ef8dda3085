"""Where alerts go: the log, Slack-compatible webhooks, JSON receivers and e-mail.

A channel never raises and never shows its address, which is a secret: it returns a `Failure` for
the caller to log. alert_message.py and alert_text.py write the messages.
"""

from capi_assets.coverage.alerting.channels.email import EmailChannel, SmtpAddress, smtp_address
from capi_assets.coverage.alerting.channels.http import JsonChannel, WebhookChannel, webhook_text
from capi_assets.coverage.alerting.channels.message import Channel, Failure, LogChannel, Message
from capi_assets.coverage.alerting.channels.outbox import UnsentMessages, deliver, send_all

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
