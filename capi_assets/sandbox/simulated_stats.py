"""How /stats counts: every counting that Meta's pages leave open, to test our reading of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

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
        is_lost = (self.lost_from is None or hour >= self.lost_from) and (
            self.lost_until is None or hour < self.lost_until
        )
        return count - round(count * self.lost_share) if is_lost else count
