"""How /stats counts: every counting that Meta's pages leave open, to test our reading of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from capi_assets.sandbox.dedup import DUPLICATE
from capi_assets.sandbox.inbox import Inbox, micros
from capi_assets.sandbox.settings import STRICT, Share, Time


@dataclass(frozen=True, config=STRICT)
class Counting:
    """How to count; the defaults are the sandbox's assumption about Meta.

    `basis` assigns an event to an hour: by its own time, or by its receipt. `after_dedup` leaves
    duplicates out. Events are counted `settle_minutes` after receipt. In the hours from `lost_from`
    until before `lost_until`, `lost_share` of each count is missing.
    """

    basis: Literal["event", "receipt"] = "event"
    after_dedup: bool = True
    settle_minutes: Annotated[int, Field(ge=0)] = 0
    lost_share: Share = 0.0
    lost_from: Time | None = None
    lost_until: Time | None = None

    def reported(self, hour: datetime, count: int) -> int:
        """How much of an hour's count is reported."""
        is_lost = (self.lost_from is None or hour >= self.lost_from) and (
            self.lost_until is None or hour < self.lost_until
        )
        return count - round(count * self.lost_share) if is_lost else count


_COUNT = """
select {hour} as hour, event_name, keys, count(*) as events from events
where dataset = ?1 and {hour} >= ?2 and {hour} < ?3 and (?4 is null or event_name = ?4)
    and verdict <> ?5 and received_at <= ?6
group by 1, event_name, keys"""

_HOURS = {"event": "hour", "receipt": "(received_at / 3600000000 * 3600)"}


def counted(
    inbox: Inbox,
    dataset: str,
    start: datetime,
    end: datetime,
    event_name: str | None,
    counting: Counting,
    now: datetime,
) -> list[Any]:
    """Rows of hour (Unix seconds), event_name, keys and events for `[start, end)`."""
    return inbox.rows(
        _COUNT.format(hour=_HOURS[counting.basis]),
        dataset,
        start.timestamp() // 3600 * 3600,
        end.timestamp(),
        event_name,
        DUPLICATE if counting.after_dedup else "",
        micros(now - timedelta(minutes=counting.settle_minutes)),
    )
