"""The outages that can be drilled: how each is staged, mended, and what of it stays lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capi_assets.sandbox.shop.outages import OutageKind as ShopOutage


@dataclass(frozen=True)
class Scenario:
    """`meta` is the sandbox's fault or `shop` the shop's outage that stages it. `mended` says what
    a person does; `lost` what nobody can bring back; `lasting` that no past hour can be mended.
    `history` is how many good hours must lie before, where only comparison can tell; `asleep` that
    Dagster's daemon does not run in the outage."""

    says: str
    mended: str
    meta: str | None = None
    shop: ShopOutage | None = None
    lost: str = ""
    lasting: bool = False
    history: int = 0
    asleep: bool = False


KINDS = {
    "token": Scenario(
        "the access token expires",
        "The token is renewed, and the gap's hours are materialized again.",
        meta="expired_token",
    ),
    "permission": Scenario(
        "the token's permission is taken away",
        "The permission is given back, and the gap's hours are materialized again.",
        meta="permission_lost",
    ),
    "throttled": Scenario(
        "Meta limits the calls",
        "The limit has lifted, and the gap's hours are materialized again.",
        meta="throttled",
    ),
    "meta_down": Scenario(
        "Meta answers with server errors",
        "Meta answers again, and the gap's hours are materialized again; what may have arrived is"
        " sent once more inside the 48 hours in which Meta drops the second.",
        meta="server_error",
    ),
    "not_materialized": Scenario(
        "Dagster's daemon does not run",
        "The daemon runs again, and the hours that nobody materialized are made up for.",
        asleep=True,
    ),
    "orders_missing": Scenario(
        "the export of the books fails",
        "The export is run again: its files land late, and their hours are materialized again.",
        shop="orders_missing",
        history=144,
    ),
    "visits_missing": Scenario(
        "the tracker stores no visits",
        "The visits are landed from the tracker's backup, and all hours since are materialized"
        " again, so that orders find them.",
        shop="visits_missing",
        lost="orders that went out without their visit keep the match keys they went with: Meta"
        " keeps the first of two equal events.",
    ),
    "match_keys_lost": Scenario(
        "click ids, cookies, addresses and e-mails are lost on the site",
        "The site is mended; what it did not record in these hours exists nowhere.",
        shop="match_keys_lost",
        lost="the match keys of these hours were never recorded. Their orders were delivered with"
        " what was left, and orders with too little left stay undelivered.",
        lasting=True,
        history=144,
    ),
    "broken_phones": Scenario(
        "a form sends no phone numbers any more",
        "The form is mended; the numbers of these hours were never recorded.",
        shop="broken_phones",
        lost="the phone numbers of these hours. Their orders were delivered with their other match"
        " keys.",
        lasting=True,
        history=144,
    ),
}
