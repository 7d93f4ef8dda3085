"""The outages that can be played: how each is caused, how it is fixed, and what stays lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capi_assets.table_files import table_beside

if TYPE_CHECKING:
    from capi_assets.sandbox.shop.outages import OutageKind


@dataclass(frozen=True)
class Scenario:
    """An outage for `play.play`.

    Attributes:
        title, fix: what breaks, and what a person does about it, as sentences.
        fault: the sandbox's fault that causes it; or `shop_outage`, the sample shop's; or
            `daemon_stopped`: no hour is materialized during the outage.
        lost: what nobody can recover; empty if all is.
        is_fixable: whether the hours of the outage can still be corrected.
        history_hours: good hours before it, where an outage shows only by comparison.
        start, length: when it starts and how long it lasts, as shares of the hours played;
            without a length it lasts until it is fixed.
        has_alerts: whether alerts are evaluated after each hour; the scenario fails without one.
        reads_meta: whether Meta's counts are read at the end, so that the UI shows them.
    """

    title: str
    fix: str
    fault: str | None = None
    shop_outage: OutageKind | None = None
    daemon_stopped: bool = False
    lost: str = ""
    is_fixable: bool = True
    history_hours: int = 0
    start: float = 1 / 3
    length: float | None = 1 / 4
    has_alerts: bool = True
    reads_meta: bool = False


# No alerts in the demo: evaluating 72 hours twice adds half a minute, and drills show them.
DEMO = Scenario(
    "the access token expires",
    "The token is renewed, and the hours of the gap are materialized again.",
    fault="expired_token",
    start=5 / 9,
    length=None,
    has_alerts=False,
    reads_meta=True,
)

DRILLS = {kind: Scenario(**entry) for kind, entry in table_beside(__file__).items()}
