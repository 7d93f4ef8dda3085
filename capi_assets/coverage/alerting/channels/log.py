"""Alerts as log lines: the channel that is always there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from capi_assets.coverage.alerting.channels.message import Failure, Message


class LogChannel:
    """Errors as ERROR, warnings as WARNING, good news as INFO."""

    name = "log"

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def send(self, messages: Sequence[Message]) -> Failure | None:
        for message in messages:
            level = logging.ERROR if message.severity == "error" else logging.WARNING
            self._logger.log(logging.INFO if message.good else level, "%s", message.text)
        return None
