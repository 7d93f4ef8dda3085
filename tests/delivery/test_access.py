"""The ways out to Meta are as many as the datasets, and are closed when the work is done."""

from __future__ import annotations

import pytest

from capi_assets.delivery.sending.access import DatasetAccess, clients_for, open_clients
from capi_assets.meta.graph.client import MetaClient
from tests.helpers.delivery_harness import DATASET, OTHER_DATASET, QUICK, TOKEN

ACCESSES = [DatasetAccess(DATASET, TOKEN), DatasetAccess(OTHER_DATASET, TOKEN)]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The datasets whose connections were closed."""
    names: list[str] = []
    monkeypatch.setattr(MetaClient, "close", lambda self: names.append(self.access.dataset_id))
    return names


def test_connections_are_closed_when_the_work_is_done(closed: list[str]) -> None:
    with clients_for(ACCESSES, QUICK) as clients:
        assert set(clients) == {DATASET, OTHER_DATASET}
        assert closed == []
    assert sorted(closed) == [DATASET, OTHER_DATASET]


def test_connections_are_closed_when_the_work_fails(closed: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), clients_for(ACCESSES, QUICK):
        raise KeyboardInterrupt
    assert sorted(closed) == [DATASET, OTHER_DATASET]


def test_a_dataset_named_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match=f"{DATASET} is named twice"):
        open_clients([ACCESSES[0], ACCESSES[0]], QUICK)
