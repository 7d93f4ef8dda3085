"""How /stats counts: every counting that Meta's pages leave open, to test our reading of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from capi_assets.sandbox.clock import parse_utc
from capi_assets.sandbox.dedup import DUPLICATE
from capi_assets.sandbox.inbox import Inbox, micros

BASES = ("event", "receipt")


@dataclass(frozen=True)
class Counting:
    """How to count; the defaults are the sandbox's assumption about Meta.

    `basis` assigns an event to an hour: by its own time, or by its receipt. `after_dedup` leaves
    duplicates out. Events are counted `settle_minutes` after receipt. In the hours from `lost_from`
    until before `lost_until`, `lost_share` of each count is missing.
    """

    basis: str = "event"
    after_dedup: bool = True
    settle_minutes: int = 0
    lost_share: float = 0.0
    lost_from: datetime | None = None
    lost_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.basis not in BASES:
            raise ValueError(f"basis must be one of {', '.join(BASES)}")
        if not 0 <= self.lost_share <= 1:
            raise ValueError("lost_share must be between 0 and 1")
        if self.settle_minutes < 0:
            raise ValueError("settle_minutes must not be negative")

    def reported(self, hour: datetime, count: int) -> int:
        """How much of an hour's count is reported."""
        is_lost = (self.lost_from is None or hour >= self.lost_from) and (
            self.lost_until is None or hour < self.lost_until
        )
        return count - round(count * self.lost_share) if is_lost else count


def read_counting(document: Mapping[str, Any]) -> Counting:
    """How to count, from its JSON form.

    Raises:
        ValueError: a setting is unknown or not valid; the message names it.
    """
    settings = dict(document)
    if unknown := settings.keys() - {field.name for field in fields(Counting)}:
        raise ValueError(f"unknown setting: {', '.join(sorted(unknown))}")
    for name in ("lost_from", "lost_until"):
        if settings.get(name) is not None:
            settings[name] = parse_utc(settings[name])
    return Counting(**settings)


_BY_EVENT_TIME = """
select hour, event_name, keys, sum(events) as events from tally
where dataset = ?1 and hour >= ?2 and hour < ?3 and (?4 is null or event_name = ?4)
    and verdict <> ?5
group by hour, event_name, keys"""

_EACH_EVENT = """
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
    excluded = DUPLICATE if counting.after_dedup else ""
    parameters = (dataset, start.timestamp() // 3600 * 3600, end.timestamp(), event_name, excluded)
    if counting.basis == "event" and not counting.settle_minutes:
        return inbox.rows(_BY_EVENT_TIME, *parameters)
    settled = micros(now - timedelta(minutes=counting.settle_minutes))
    return inbox.rows(_EACH_EVENT.format(hour=_HOURS[counting.basis]), *parameters, settled)
