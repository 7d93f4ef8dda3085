"""A delivery in a process of its own, which may be told to die at a chosen step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan, to_send
from capi_assets.delivery.sending.access import DatasetAccess, open_clients
from capi_assets.delivery.sending.sender import deliver
from capi_assets.meta.graph.client import Answer, MetaClient
from tests.helpers.delivery_harness import DATASET, QUICK, TOKEN, orders

STEPS = (
    "before_claim",
    "after_claim",
    "after_intent",
    "mid_request",
    "after_acceptance",
    "after_outcome",
)

POLICY = replace(QUICK, events_per_request=20, requests_in_flight=2)


def run(
    url: str,
    graph_url: str,
    now: datetime,
    count: int,
    patience: float,
    run_id: str,
    lease: float | None = None,
) -> tuple[int, int]:
    """Plans and delivers `count` orders; how many this process delivered, in how many requests.

    The clock stands at `now`, unless a `lease` in seconds is given: then it runs from there.
    """
    policy = replace(POLICY, claim_patience=timedelta(seconds=patience))
    if lease is not None:
        policy = replace(policy, lease=timedelta(seconds=lease))
    started = time.monotonic()

    def clock() -> datetime:
        return now if lease is None else now + timedelta(seconds=time.monotonic() - started)

    clients = open_clients([DatasetAccess(DATASET, TOKEN, graph_url=graph_url)], policy)
    events = orders(count)
    with Ledger(url) as ledger:
        sends = to_send(events, plan(events, ledger.state_of(events), now, policy))
        summary = deliver(sends, ledger, clients, clock, policy, run_id=run_id)
    return summary.delivered, summary.requests


def run_and_die(
    url: str,
    graph_url: str,
    now: datetime,
    count: int,
    step: str,
    at: int,
    lease: float | None = None,
) -> None:
    """The same, but the process is killed at the `at`-th time it comes to `step`."""
    kill = _Killer(at)
    if step == "before_claim":
        _replace(Ledger, "claim", before=kill)
    elif step == "after_claim":
        _replace(Ledger, "claim", after=kill)
    elif step == "after_intent":
        _replace(Ledger, "mark_in_flight", after=kill)
    elif step == "mid_request":
        # The sandbox takes its time to respond; the kill is quicker.
        _replace(MetaClient, "post", before=lambda: threading.Timer(0.1, kill).start())
    elif step == "after_acceptance":
        _replace(MetaClient, "post", after=kill)
    elif step == "after_outcome":
        _replace(Ledger, "record", after=kill)
    run(url, graph_url, now, count, 0.0, f"dies-{step}", lease)


class _Killer:
    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _replace(
    owner: type,
    name: str,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Answer | Any:
        before()
        result = real(self, *args, **kwargs)
        after()
        return result

    setattr(owner, name, wrapped)
