"""Sandboxes that listen while a test runs, with a clock that stands at `NOW`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import DATASET, NOW, TOKEN


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SandboxServer]:
    with SandboxServer(clock=lambda: NOW, tokens=[TOKEN], datasets={DATASET: "Shop"}) as running:
        yield running


@pytest.fixture
def server(shared_server: SandboxServer) -> SandboxServer:
    """A sandbox that has received nothing, has no faults, and stands at `NOW`."""
    shared_server.clear_faults()
    shared_server.set_clock(None)
    shared_server.inbox.clear()
    shared_server.renew_token(TOKEN)
    shared_server.state.usage = None
    return shared_server
