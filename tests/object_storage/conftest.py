"""One store for all tests of a process; each uses its own bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.object_store import ObjectStore, driver_with, missing


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
def store(_server: ObjectStore) -> Iterator[ObjectStore]:
    """The running store, whose credentials and endpoint are in the environment."""
    with driver_with(**_server.variables):
        yield _server
    _server.fail(0)


@pytest.fixture
def one_try(store: ObjectStore) -> Iterator[None]:
    """The driver gives up soon, for tests in which all of its tries fail."""
    with driver_with(AWS_MAX_ATTEMPTS="1"):
        yield
