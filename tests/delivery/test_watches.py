"""Of several daemons, one at a time has the watch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from capi_assets.delivery.ledger.ledger import Ledger

NOW = datetime(2026, 11, 20, 13, tzinfo=UTC)
LEASE = timedelta(minutes=3)
MINUTE = timedelta(minutes=1)


def test_a_watch_is_kept_by_who_looks_and_taken_over_from_who_does_not(any_url: str) -> None:
    with Ledger(any_url) as one, Ledger(any_url) as other:
        assert one.take_watch("lake", None, "a1", NOW, LEASE)
        assert not other.take_watch("lake", None, "b1", NOW + MINUTE, LEASE)
        assert one.take_watch("lake", "a1", "a2", NOW + 2 * MINUTE, LEASE)
        assert not other.take_watch("lake", None, "b1", NOW + 4 * MINUTE, LEASE)
        assert other.take_watch("lake", None, "b1", NOW + 6 * MINUTE, LEASE)
        assert not one.take_watch("lake", "a2", "a3", NOW + 7 * MINUTE, LEASE)
        assert one.take_watch("another lake", None, "a1", NOW, LEASE)


def test_a_turn_that_is_given_back_can_be_taken_at_once(any_url: str) -> None:
    with Ledger(any_url) as ledger:
        assert ledger.take_watch("lake", None, "a1", NOW, LEASE)
        ledger.give_back_watch("lake", "b1")  # not the holder's word
        assert not ledger.take_watch("lake", None, "b1", NOW + MINUTE, LEASE)
        ledger.give_back_watch("lake", "a1")
        assert ledger.take_watch("lake", None, "b1", NOW + MINUTE, LEASE)


def test_of_those_who_remember_the_same_turn_one_has_the_next(any_url: str) -> None:
    def take(number: int) -> bool:
        with Ledger(any_url) as ledger:
            return ledger.take_watch("lake", mine, f"{mine}-{number}", NOW, LEASE)

    with ThreadPoolExecutor(8) as pool:
        mine = None
        assert sum(pool.map(take, range(8))) == 1
        with Ledger(any_url) as ledger:
            ledger.take_watch("lake", None, "known", NOW + 2 * LEASE, LEASE)
        mine = "known"
        assert sum(pool.map(take, range(8))) == 1
