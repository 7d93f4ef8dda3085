"""Erasures and runs in processes of their own, which are killed or held where a test says."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import dagster as dg

from capi_assets.commands.erase import Erasure
from capi_assets.commands.runs import run_hours
from capi_assets.delivery.erasure.person import Named, named_by
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import MetaClient
from capi_assets.settings import Settings
from tests.helpers.killed_runs import PROCESSES, warm_up

KILL_PLACES: dict[str, tuple[type, str, int]] = {
    "before anything is removed": (Lake, "edit", 1),
    "after the first table": (Lake, "edit", 2),
    "before the ledger": (Ledger, "erase", 1),
    "after the ledger": (Ledger, "compact", 1),
}
"""Before which call of what an erasure is killed; all but the first leave some of it done."""


def named(**values: str) -> Named:
    """A person by email, phone, external_id or order_id."""
    now = datetime.fromisoformat("2026-11-20T00:00:00+00:00")
    return named_by({name: [value] for name, value in values.items()}, HashPolicy(), now)


def killed_erasure(settings: Settings, person: Named, now: datetime, place: str) -> BaseProcess:
    """An erasure in a process that kills itself at a place of `KILL_PLACES`."""
    warm_up()
    process = PROCESSES.Process(target=_erase_and_die, args=(settings, person, now, place))
    process.start()
    return process


def _erase_and_die(settings: Settings, person: Named, now: datetime, place: str) -> None:
    owner, name, left = KILL_PLACES[place]
    real = getattr(owner, name)
    calls = iter(range(left - 1))

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *args, **kwargs)

    setattr(owner, name, call)
    Erasure.examine(settings, person).carry_out(None, now, timedelta(0), print)


def held_run(settings: Settings, storage: Path, hour: datetime, at: datetime) -> BaseProcess:
    """A run that waits with its first request until `storage / "go"` exists; it makes
    `storage / "holds"` when it has come there."""
    warm_up()
    process = PROCESSES.Process(target=_run_held, args=(settings, storage, hour, at))
    process.start()
    return process


def _run_held(settings: Settings, storage: Path, hour: datetime, at: datetime) -> None:
    post = MetaClient.post

    def held(self: MetaClient, body: bytes) -> Any:
        (storage / "holds").touch()
        while not (storage / "go").exists():
            time.sleep(0.02)
        return post(self, body)

    MetaClient.post = held  # type: ignore[method-assign]
    off = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(storage), overrides=off) as instance:
        run_hours(instance, settings, hour, hour, at=at)
