"""Orders that land while their hour is open: which hours to deliver now.

The landing sensor calls `hours_with_new_orders`; hours that have settled are in late_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from capi_assets.ingest.late_files import LandedFile, LateHour, late_hours

QUIET = timedelta(seconds=5)
"""A file that changed more recently may still be being written. Shorter than `SETTLE_TIME` of late
files: what was cut off is read again once the file has changed."""

PAUSE = timedelta(seconds=45)
"""Between two reads of an hour. A run costs some seconds of CPU: more of them would take more than
a tenth of a core, and bring few orders to Meta sooner."""

VISITS_BEHIND = timedelta(minutes=1)
"""How much older than the orders the newest visits may be: orders that come before their visit
would be sent without its match keys, and Meta keeps what it got first."""


def hours_with_new_orders(
    orders: Sequence[LandedFile],
    visits: Sequence[LandedFile] | None,
    read_at: Mapping[tuple[str, datetime], datetime],
    now: datetime,
) -> list[LateHour]:
    """The hours whose orders are to be delivered now, in time order.

    Args:
        orders: landed files of open hours.
        visits: the same of visits; None if visits do not land as files, so that nothing is waited
            for. Hours whose visits are behind are left to the schedule of the open hour.
        read_at: when a run last listed the files of a table's hour; not there if none did.
        now: current time.
    """
    never = datetime.min.replace(tzinfo=now.tzinfo)
    read = {("orders", file.hour): never for file in orders} | {
        key: at for key, at in read_at.items() if key[0] == "orders"
    }
    found = [
        hour
        for hour in late_hours(orders, read, now, quiet=QUIET)
        if now - read["orders", hour.hour] >= PAUSE
    ]
    if visits is None:
        return found
    newest = max((file.changed_at for file in visits), default=never)
    return [hour for hour in found if hour.newest - newest <= VISITS_BEHIND]
