"""Sentences about alerts: the text for people and the subject of an e-mail."""

from __future__ import annotations

from datetime import datetime

from capi_assets.coverage.alerting.alert_state import ReportedIncident
from capi_assets.coverage.alerting.alerts import ENDS, Alert
from capi_assets.coverage.formatting import count, join_names, paragraph
from capi_assets.coverage.gap_text import (
    causes_text,
    during,
    evidence_text,
    missing_text,
    orders_text,
    ranges_text,
    recoverable_text,
    remedies_text,
    visits_text,
)
from capi_assets.coverage.incidents import Incident
from capi_assets.delivery.causes import Cause

_NEWS = {
    "opened": "New incident",
    "reopened": "Incident is open again",
    "worse": "Incident has grown",
    "cause_changed": "Cause has changed",
    "about_to_expire": "Incident is about to expire",
    "expired": "Incident has expired",
    "recovered": "Recovered",
    "closed": "Closed",
    "recovery_launched": "Recovery launched",
    "recovery_stopped": "Automatic recovery stopped",
}


def alert_text(alert: Alert, now: datetime, backfill_url: str | None = None) -> str:
    """An alert as one paragraph, with a link to the backfill where `backfill_url` is known.

    Example: `New incident (error), 2026-11-20 13:00 to 18:00 UTC: 412 orders (EUR 38,120.40) are
    missing, because the access token is not accepted. Reasons: token_expired. …`
    """
    reported = alert.incident
    if isinstance(reported, ReportedIncident):  # its hours are good, or not watched any more
        return paragraph(f"{alert_subject(alert)}.", _gone_text(alert, reported))
    total = reported.total
    if alert.kind in ENDS:
        return paragraph(
            f"{alert_subject(alert)}.",
            f"{missing_text(total)}, because {causes_text(alert.causes)}.",
            _final_text(alert, reported),
        )
    if alert.kind == "recovery_launched":
        return paragraph(
            f"{alert_subject(alert)}.",
            recoverable_text(total, now),
            f"These hours are being materialized, most urgent first: {ranges_text(alert.ranges)}",
        )
    what = (
        "its last runs delivered nothing more"
        if alert.kind == "recovery_stopped"
        else missing_text(total)
    )
    return paragraph(
        f"{_news(alert)} ({total.severity}), {during(alert.first_hour, alert.last_hour)}: {what},"
        f" because {causes_text(alert.causes)}.",
        evidence_text(total),
        recoverable_text(total, now),
        visits_text(total, now),
        remedies_text(reported, alert.ranges, backfill_url),
    )


def alert_subject(alert: Alert) -> str:
    """`New incident: 412 orders (EUR 38,120.40) are missing (2026-11-20 13:00 to 18:00 UTC)`, or
    `Recovered: the access token is not accepted (2026-11-20 13:00 to 18:00 UTC)`."""
    reported = alert.incident
    if isinstance(reported, ReportedIncident):
        what = reported.headline
    elif alert.kind in (*ENDS, "recovery_launched"):
        what = reported.total.headline
    else:
        what = missing_text(reported.total)
    return f"{_news(alert)}: {what} ({during(alert.first_hour, alert.last_hour)})"


def _news(alert: Alert) -> str:
    reported = alert.incident
    if alert.kind != "about_to_expire" or isinstance(reported, ReportedIncident):
        return _NEWS[alert.kind]
    total = reported.total
    visits_first = total.visits_until is not None and total.visits_until == total.clock
    return "Visits of an incident are about to be deleted" if visits_first else _NEWS[alert.kind]


_NOT_COMING_BACK = {
    Cause.VISITS_MISSING: "These visits will not come back",
    Cause.MATCH_KEYS_LOST: "These match keys will not come back",
}


def _final_text(alert: Alert, incident: Incident) -> str:
    """Why nothing more is to be done about hours that are still flagged."""
    automatic = "Its hours were materialized again automatically." if alert.automatic else ""
    if alert.kind == "expired":
        return paragraph(automatic, "What did not reach Meta is now too old for it.")
    final = [text for turn in incident.causes if (text := _NOT_COMING_BACK.get(turn.cause))]
    if incident.total.orders:
        final.append("nothing that is missing can be delivered any more")
    else:
        final.append("Meta keeps the orders as they were sent")
    return paragraph(automatic, f"{join_names(final)}.")


_FEWER_KEYS = {
    Cause.VISITS_MISSING: "orders sent in the meantime lack the match keys of their visits",
    Cause.MATCH_KEYS_LOST: "orders sent in the meantime have fewer match keys than usual",
}


def _gone_text(alert: Alert, known: ReportedIncident) -> str:
    lost = orders_text(known.orders, known.money)
    if alert.kind == "expired":
        return f"{lost} missing when last evaluated, now too old for Meta."
    if alert.kind == "closed" and not alert.other_causes:
        return f"{lost} missing when last evaluated; its hours are too old to be watched."
    peak = f"Peak: {lost} missing." if known.orders else ""
    automatic = "Its hours were materialized again automatically." if alert.automatic else ""
    caveat = _match_key_caveat(known)
    if not alert.other_causes:
        good = "Coverage of these hours is good again"
        return paragraph(peak, automatic, f"{good}, but {caveat}." if caveat else f"{good}.")
    causes = join_names(cause.headline for cause in alert.other_causes)
    still = count(alert.still, "order") if alert.still else "orders"
    return paragraph(
        peak,
        automatic,
        f"{still} of these hours {'is' if alert.still == 1 else 'are'} still missing, because"
        f" {causes}: see the incident of that cause.",
        f"{caveat}." if caveat else "",
    )


def _match_key_caveat(known: ReportedIncident) -> str:
    """What Meta keeps with fewer match keys than usual."""
    if meanwhile := next(
        (_FEWER_KEYS[t.cause] for t in known.causes if t.cause in _FEWER_KEYS), ""
    ):
        return f"{meanwhile}, and Meta keeps them so"
    if known.fewer_visits:
        return (
            "some visits were deleted before (CAPI_RETENTION_DAYS), so orders that came from them"
            " were sent with only their own match keys"
        )
    return ""
