"""The state of a running sandbox: one object that all its routes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from capi_assets.sandbox.clock import SandboxClock, utc_now
from capi_assets.sandbox.faults import FaultStore
from capi_assets.sandbox.inbox import Inbox
from capi_assets.sandbox.responses import Usage
from capi_assets.sandbox.simulated_stats import Counting
from capi_assets.sandbox.tokens import TokenStore


class Options(TypedDict, total=False):
    """How to set up a sandbox.

    `tokens`: the valid tokens, or a mapping to when each expires (aware, or None for never); None
    accepts any token. `datasets`: the ids that exist, or a mapping to their names; None accepts any
    number. `app_secret`: if set, every call needs an appsecret_proof. `state_path`: a SQLite file
    that keeps what was received; None keeps it in memory.
    """

    clock: Callable[[], datetime]
    tokens: Mapping[str, datetime | None] | Iterable[str] | None
    datasets: Mapping[str, str] | Iterable[str] | None
    app_secret: str | None
    state_path: str | Path | None


class SandboxState:
    """Clock, tokens, datasets, faults and inbox of one sandbox."""

    def __init__(self, options: Options) -> None:
        self.clock = SandboxClock(options.get("clock", utc_now))
        self.started_at = self.clock.now()
        self.tokens = TokenStore(options.get("tokens"), self.started_at, options.get("app_secret"))
        datasets = options.get("datasets")
        if datasets is not None and not isinstance(datasets, Mapping):
            datasets = {str(dataset): f"Dataset {dataset}" for dataset in datasets}
        self.datasets = datasets
        self.faults = FaultStore()
        self.inbox = Inbox(options.get("state_path"))
        self.usage: Usage | None = None
        self.counting = Counting()
        # Set by the server: whether it is stopping, which ends responses that faults delay.
        self.is_closing: Callable[[], bool] = lambda: False

    def dataset_name(self, dataset: str) -> str | None:
        """The dataset's name, or None if there is none of this id."""
        if self.datasets is not None:
            return self.datasets.get(dataset)
        return f"Dataset {dataset}" if dataset.isascii() and dataset.isdigit() else None
