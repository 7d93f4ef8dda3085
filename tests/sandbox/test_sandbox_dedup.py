"""What counts once: 48 hours from the first receipt online, 7 days for physical_store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import (
    DATASET,
    DAY,
    NOW,
    NOW_S,
    control,
    counted,
    post,
    purchase,
    sha,
)

H48 = timedelta(hours=48)
SECOND = timedelta(seconds=1)


def in_store(**changed: Any) -> dict[str, Any]:
    return purchase(action_source="physical_store", **changed)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (timedelta(0), (1, 1, 0)),
        (H48 - SECOND, (1, 1, 0)),
        (H48, (1, 1, 0)),
        (H48 + SECOND, (1, 0, 1)),
    ],
)
def test_a_repeat_is_removed_within_48_hours_of_the_first_receipt(
    server: SandboxServer, later: timedelta, expected: tuple[int, int, int]
) -> None:
    post(server, purchase())
    server.set_clock(NOW + later)
    assert post(server, purchase()).json()["events_received"] == 1
    assert counted(server) == expected


def test_the_window_runs_from_receipt_not_from_event_time(server: SandboxServer) -> None:
    old = purchase(event_time=NOW_S - 6 * DAY)
    post(server, old)
    server.set_clock(NOW + timedelta(hours=20))
    post(server, old)
    assert counted(server) == (1, 1, 0)


def test_repeats_do_not_stretch_the_window(server: SandboxServer) -> None:
    post(server, purchase())
    for hours in (40, 47):
        server.set_clock(NOW + timedelta(hours=hours))
        post(server, purchase())
    server.set_clock(NOW + timedelta(hours=49))
    post(server, purchase())
    assert counted(server) == (1, 2, 1)


def test_a_doubled_event_opens_a_window_of_its_own(server: SandboxServer) -> None:
    for hours in (0, 49, 96):
        server.set_clock(NOW + timedelta(hours=hours))
        post(server, purchase())
    assert counted(server) == (1, 1, 1)


def test_both_receipts_of_a_removed_event_are_kept(server: SandboxServer) -> None:
    post(server, purchase())
    server.set_clock(NOW + timedelta(hours=5))
    post(server, purchase())
    removed = control(server, "GET", "/events?verdict=duplicate")["events"]
    assert [row["event_id"] for row in removed] == ["Purchase:1"]
    assert removed[0]["first_received_at"] == "2026-11-20T12:00:00+00:00"
    assert removed[0]["received_at"] == "2026-11-20T17:00:00+00:00"


def test_the_same_id_twice_in_one_request_counts_once(server: SandboxServer) -> None:
    assert post(server, purchase(), purchase()).json()["events_received"] == 2
    assert counted(server) == (1, 1, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"event_id": "Purchase:2"},
        {"event_name": "Lead"},
        {"action_source": "physical_store"},
    ],
)
def test_another_identity_is_another_event(server: SandboxServer, other: dict[str, Any]) -> None:
    post(server, purchase(), purchase(**other))
    assert counted(server) == (2, 0, 0)


def test_another_dataset_is_another_event() -> None:
    with SandboxServer(clock=lambda: NOW) as server:
        post(server, purchase(), dataset=DATASET)
        post(server, purchase(), dataset="42")
        assert counted(server) == (2, 0, 0)


def test_events_without_an_id_are_never_removed(server: SandboxServer) -> None:
    post(server, purchase(event_id=None), purchase(event_id=None))
    assert counted(server) == (2, 0, 0)


@pytest.mark.parametrize(
    ("later", "expected"),
    [(timedelta(days=7), (1, 1, 0)), (timedelta(days=7) + SECOND, (1, 0, 1))],
)
def test_store_sales_have_seven_days(
    server: SandboxServer, later: timedelta, expected: tuple[int, int, int]
) -> None:
    post(server, in_store())
    server.set_clock(NOW + later)
    post(server, in_store())
    assert counted(server) == expected


def test_store_sales_are_told_apart_by_time_item_and_order_not_by_event_id(
    server: SandboxServer,
) -> None:
    money = {"value": 5, "currency": "EUR"}
    first = in_store(custom_data={**money, "order_id": "7", "item_number": "a"})
    post(server, first)
    post(server, {**first, "event_id": "other"})
    assert counted(server) == (1, 1, 0)
    post(
        server,
        {**first, "event_time": first["event_time"] - 1},
        in_store(custom_data={**money, "order_id": "7", "item_number": "b"}),
        in_store(custom_data={**money, "order_id": "8", "item_number": "a"}),
    )
    assert counted(server) == (4, 1, 0)


def test_store_sales_without_an_order_are_told_apart_by_the_person(server: SandboxServer) -> None:
    bare = {"value": 5, "currency": "EUR"}
    ada, bob = {"em": [sha("ada")], "ph": [sha("1")]}, {"em": [sha("bob")]}
    post(server, in_store(custom_data=bare, user_data=ada))
    post(server, in_store(custom_data=bare, user_data=dict(reversed(ada.items()))))
    post(server, in_store(custom_data=bare, user_data=bob))
    assert counted(server) == (2, 1, 0)
