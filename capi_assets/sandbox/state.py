"""The state of a running sandbox: one object that all its routes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from threading import Event

from capi_assets.sandbox.clock import SandboxClock, utc_now
from capi_assets.sandbox.faults import FaultStore
from capi_assets.sandbox.inbox import Inbox
from capi_assets.sandbox.responses import Usage
from capi_assets.sandbox.simulated_stats import Counting
from capi_assets.sandbox.tokens import TokenStore

Tokens = Mapping[str, datetime | None] | Iterable[str] | None
Datasets = Mapping[str, str] | Iterable[str] | None


class SandboxState:
    """Clock, tokens, datasets, faults and inbox of one sandbox.

    `tokens`: the valid tokens, or a mapping to when each expires (aware, or None for never); None
    accepts any token. `datasets`: the ids that exist, or a mapping to their names; None accepts any
    number. `app_secret`: if set, every call needs an appsecret_proof. `state_path`: a SQLite file
    that keeps what was received; None keeps it in memory.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        tokens: Tokens = None,
        datasets: Datasets = None,
        *,
        app_secret: str | None = None,
        state_path: str | Path | None = None,
    ) -> None:
        self.clock = SandboxClock(clock)
        self.tokens = TokenStore.of(tokens, self.clock.now(), app_secret)
        self.datasets: dict[str, str] | None = None
        if datasets is not None:
            self.datasets = (
                dict(datasets)
                if isinstance(datasets, Mapping)
                else {str(dataset): f"Dataset {dataset}" for dataset in datasets}
            )
        self.started_at = self.clock.now()
        self.faults = FaultStore()
        self.inbox = Inbox(state_path)
        self.usage: Usage | None = None
        self.counting = Counting()
        self.closing = Event()

    def dataset_name(self, dataset: str) -> str | None:
        """The dataset's name, or None if there is none of this id."""
        if self.datasets is not None:
            return self.datasets.get(dataset)
        return f"Dataset {dataset}" if dataset.isascii() and dataset.isdigit() else None

    def close(self) -> None:
        """Ends responses that faults delay, and closes the state file."""
        self.closing.set()
        self.inbox.close()
