"""One store for all tests of a process; each uses its own bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.object_store import ObjectStore, missing


@pytest.fixture(scope="session")
def _server() -> Iterator[ObjectStore]:
    if reason := missing():
        pytest.skip(reason)
    server = ObjectStore()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def store(_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The running store, whose credentials and endpoint are in the environment."""
    for name, value in _server.variables.items():
        monkeypatch.setenv(name, value)
    yield _server
    _server.fail(0)
