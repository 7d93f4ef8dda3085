"""One of several daemons has the watch over a lake: it alone tells and launches.

A turn is known to whoever had the last one, by a word that it keeps. So two daemons that remember
the same, as those of one Dagster, cannot both have the next turn, and another takes over once the
watch has not been held for the time of a lease.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, or_, select, update

from capi_assets.delivery.ledger.rows import micros
from capi_assets.delivery.ledger.schema import WATCHES

_W = WATCHES.c


def take(
    connection: Connection,
    *,
    name: str,
    mine: str | None,
    turn: str,
    now: datetime,
    lease: timedelta,
) -> bool:
    """Takes the next turn, under the word `turn`, if the last one was `mine` or is over."""
    values = {"turn": turn, "held_until": micros(now + lease)}
    is_free = or_(_W.turn == (mine or ""), _W.held_until < micros(now))
    taken = connection.execute(update(WATCHES).where(_W.name == name, is_free).values(values))
    if taken.rowcount:
        return True
    if connection.execute(select(_W.name).where(_W.name == name)).first() is not None:
        return False
    # Of two that insert at once, one has a conflict, tries again, and finds the other's turn.
    connection.execute(insert(WATCHES).values(name=name, **values))
    return True


def give_back(connection: Connection, *, name: str, turn: str) -> None:
    """Ends a turn that could not be used; anyone may have the next."""
    mine = update(WATCHES).where(_W.name == name, _W.turn == turn)
    connection.execute(mine.values(held_until=0))
