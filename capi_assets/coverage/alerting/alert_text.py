"""Sentences about alerts: the text for people and the subject of an e-mail."""

from __future__ import annotations

from datetime import datetime

from capi_assets.coverage.alerting.alert_state import OpenGap
from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.formatting import count, join_names, paragraph
from capi_assets.coverage.gap_text import (
    during,
    evidence_text,
    missing_text,
    orders_text,
    ranges_text,
    recoverable_text,
    remedy_text,
    visits_text,
)
from capi_assets.delivery.causes import Cause

_NEWS = {
    "opened": "New gap",
    "worse": "Gap has grown",
    "about_to_expire": "Gap is about to expire",
    "expired": "Gap has expired",
    "recovered": "Recovered",
    "changed": "Cause has changed",
    "recovery_launched": "Recovery launched",
    "recovery_stopped": "Automatic recovery stopped",
}


def alert_text(alert: Alert, now: datetime, ui_url: str | None = None) -> str:
    """An alert as one paragraph, with a link to the backfill where `ui_url` is known.

    Example: `New gap (error), 2026-11-20 13:00 to 18:00 UTC: 412 orders (EUR 38,120.40) are
    missing, because the access token is not accepted. Reasons: token_expired. …`
    """
    gap = alert.gap
    if isinstance(gap, OpenGap):  # it is over
        return paragraph(f"{alert_subject(alert)}.", _closing_text(alert, gap))
    if alert.kind == "recovery_launched":
        return paragraph(
            f"{alert_subject(alert)}.",
            recoverable_text(gap, now),
            f"These hours are being materialized, most urgent first: {ranges_text(alert.ranges)}",
        )
    what = (
        "its last runs delivered nothing more"
        if alert.kind == "recovery_stopped"
        else missing_text(gap)
    )
    return paragraph(
        f"{_news(alert)} ({gap.severity}), {during(gap.first_hour, gap.last_hour)}: {what},"
        f" because {gap.headline}.",
        evidence_text(gap),
        recoverable_text(gap, now),
        visits_text(gap, now),
        remedy_text(gap, alert.ranges, ui_url),
    )


def alert_subject(alert: Alert) -> str:
    """`New gap: 412 orders (EUR 38,120.40) are missing (2026-11-20 13:00 to 18:00 UTC)`, or
    `Recovered: the access token is not accepted (2026-11-20 13:00 to 18:00 UTC)`."""
    gap = alert.gap
    if isinstance(gap, OpenGap) or alert.kind == "recovery_launched":
        what = gap.headline
    else:
        what = missing_text(gap)
    return f"{_news(alert)}: {what} ({during(gap.first_hour, gap.last_hour)})"


def _news(alert: Alert) -> str:
    gap = alert.gap
    if alert.kind != "about_to_expire" or isinstance(gap, OpenGap):
        return _NEWS[alert.kind]
    visits_first = gap.visits_until is not None and gap.visits_until == gap.clock
    return "Visits of a gap are about to be deleted" if visits_first else _NEWS[alert.kind]


_FEWER_KEYS = {
    Cause.VISITS_MISSING: "orders sent in the meantime lack the match keys of their visits",
    Cause.MATCH_KEYS_LOST: "orders sent in the meantime have fewer match keys than usual",
}


def _closing_text(alert: Alert, gap: OpenGap) -> str:
    lost = orders_text(gap.orders, gap.money)
    if alert.kind == "expired":
        return f"{lost} missing when last evaluated, now too old for Meta."
    peak = f"Peak: {lost} missing." if gap.orders else ""
    automatic = "Its hours were materialized again automatically." if alert.automatic else ""
    caveat = _match_key_caveat(gap)
    if not alert.other_causes:
        good = "Coverage of these hours is good again"
        return paragraph(peak, automatic, f"{good}, but {caveat}." if caveat else f"{good}.")
    causes = join_names(cause.headline for cause in alert.other_causes)
    still = count(alert.still, "order") if alert.still else "orders"
    return paragraph(
        peak,
        automatic,
        f"{still} of these hours {'is' if alert.still == 1 else 'are'} still missing, because"
        f" {causes}: see the gap of that cause.",
        f"{caveat}." if caveat else "",
    )


def _match_key_caveat(gap: OpenGap) -> str:
    """What Meta keeps with fewer match keys than usual."""
    if meanwhile := _FEWER_KEYS.get(gap.cause):
        return f"{meanwhile}, and Meta keeps them so"
    if gap.fewer_visits:
        return (
            "some visits were deleted before (CAPI_RETENTION_DAYS), so orders that came from them"
            " were sent with only their own match keys"
        )
    return ""
