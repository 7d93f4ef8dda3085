"""The outages that can be played: how each is caused, how it is fixed, and what stays lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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


# Six days: anomalies are found by comparison with the same hours of days before.
_HISTORY_HOURS = 144

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

DRILLS = {
    "token": Scenario(
        "the access token expires",
        "The token is renewed, and the hours of the gap are materialized again.",
        fault="expired_token",
    ),
    "permission": Scenario(
        "the token loses its permission",
        "The permission is restored, and the hours of the gap are materialized again.",
        fault="permission_lost",
    ),
    "throttled": Scenario(
        "Meta limits the rate of calls",
        "The limit has lifted, and the hours of the gap are materialized again.",
        fault="throttled",
    ),
    "meta_down": Scenario(
        "Meta returns server errors",
        "Meta accepts events again, and the hours of the gap are materialized again; events with"
        " unknown outcome are resent within the 48 hours in which Meta drops duplicates.",
        fault="server_error",
    ),
    "not_materialized": Scenario(
        "the Dagster daemon is not running",
        "The daemon runs again, and the hours that were not materialized are materialized.",
        daemon_stopped=True,
    ),
    "orders_missing": Scenario(
        "the export of the orders fails",
        "The export is run again: its files land late, and their hours are materialized again.",
        shop_outage="orders_missing",
        history_hours=_HISTORY_HOURS,
    ),
    "visits_missing": Scenario(
        "the tracker stores no visits",
        "The visits land from the tracker's backup, and all hours since are materialized again, so"
        " that orders are matched with them.",
        shop_outage="visits_missing",
        lost="orders sent without their visit keep the match keys that they had: Meta keeps the"
        " first copy of an event.",
    ),
    "match_keys_lost": Scenario(
        "the site loses click ids, cookies, addresses and e-mails",
        "The site is fixed; what it did not record in these hours does not exist.",
        shop_outage="match_keys_lost",
        lost="the match keys of these hours were never recorded. Their orders were delivered with"
        " the remaining ones; orders with too few stay undelivered.",
        is_fixable=False,
        history_hours=_HISTORY_HOURS,
    ),
    "broken_phones": Scenario(
        "a form stops sending phone numbers",
        "The form is fixed; the phone numbers of these hours were never recorded.",
        shop_outage="broken_phones",
        lost="the phone numbers of these hours. Their orders were delivered with their other match"
        " keys.",
        is_fixable=False,
        history_hours=_HISTORY_HOURS,
    ),
}
