"""Clients for the datasets that this run may send to, each with its own token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Protocol

from capi_assets.delivery.policy import Policy
from capi_assets.meta.graph.client import Answer, DatasetAccess, MetaClient

__all__ = ["DatasetAccess", "EventsClient", "clients_for", "open_clients"]


class EventsClient(Protocol):
    """What the sender needs of a client; `MetaClient` is the real one."""

    @property
    def access(self) -> DatasetAccess:
        """The dataset it sends to."""

    def body(self, events: list[bytes]) -> bytes:
        """A request's bytes."""

    def post(self, body: bytes) -> Answer:
        """Sends them; never raises."""


def open_clients(accesses: Iterable[DatasetAccess], policy: Policy) -> dict[str, MetaClient]:
    """A client for each dataset, by its id, with connections for the requests in flight.

    Raises:
        ValueError: a dataset is named twice.
    """
    clients: dict[str, MetaClient] = {}
    for access in accesses:
        if access.dataset_id in clients:
            raise ValueError(f"dataset {access.dataset_id} is named twice")
        clients[access.dataset_id] = MetaClient(access, connections=policy.requests_in_flight)
    return clients


@contextmanager
def clients_for(
    accesses: Iterable[DatasetAccess], policy: Policy
) -> Iterator[dict[str, MetaClient]]:
    """`open_clients` for as long as the `with` block runs; their connections are closed after."""
    with ExitStack() as opened:
        clients = open_clients(accesses, policy)
        for client in clients.values():
            opened.enter_context(closing(client))
        yield clients
