"""An alert as a message for the channels, and for programs as one JSON document whose fields are
always present.

`version` increases when a field is removed or changes its meaning; fields may be added at any time.
alert_text.py writes the text for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from capi_assets.coverage.alerting.alert_state import ReportedIncident
from capi_assets.coverage.alerting.alert_text import alert_subject, alert_text
from capi_assets.coverage.alerting.alerts import ENDS, Alert
from capi_assets.coverage.alerting.channels.message import SCHEMA, VERSION, Message
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incidents import CauseInTurn, Incident
from capi_assets.coverage.links import backfill_link
from capi_assets.hours import HOUR


def message(alert: Alert, now: datetime, backfill_url: str | None = None) -> Message:
    """An alert ready for the channels. The coverage sensor sends it.

    Its document has these fields: `schema` and `version`; `sent_at`; `kind` (as in `Alert`),
    `good`, and `is_over`: nothing more will be reported of the incident unless it is reopened;
    `incident_id`, the same from opened to the end, and `gap_id`, which is its former name; `causes`
    in turn, each with `cause`, `headline`, `from` and `to`; `cause` and `headline` of the one that
    costs most; `severity` (warn, error); `from` and `to`, the start and end of the incident;
    `hours` flagged; `orders` missing and `money` per currency (of an incident whose hours are good
    again, the most that was missing); `uncounted_hours`; `recoverable` and `correctable` (orders,
    money); `deadline` and `last_deadline`, until when the first and the last hour can be recovered;
    `visits_until`, when visits needed for matching are deleted, and `hours_short_of_visits`, hours
    of which some or all are deleted already; `ranges` of partitions, `A...B`; `remedy`; `evidence`
    (missing orders per reason, and a text); `estimated`: orders that never arrived or are not as
    usual, and their money per currency as `low`, `expected` and `high`; `streams` (dataset, event
    name, action source) concerned, none if it is the whole shop; `still_missing` and
    `other_causes` if its own causes are gone; `automatic`; `link` to the backfill; `text` for
    people. Times are ISO 8601 in UTC.
    """
    reported, text = alert.incident, alert_text(alert, now, backfill_url)
    total = reported if isinstance(reported, ReportedIncident) else reported.total
    good = alert.kind in ("recovered", "recovery_launched")
    document = {
        **_envelope(alert.kind, now, text),
        "good": good,
        "gap_id": alert.incident_id,
        **_story(alert.incident_id, alert, total, alert.kind in ENDS),
        "still_missing": alert.still,
        "other_causes": [str(cause) for cause in alert.other_causes],
        "automatic": alert.automatic,
        **(
            _gone(total)
            if isinstance(total, ReportedIncident)
            else _current(total, alert.ranges, alert.kind in ENDS, backfill_url)
        ),
    }
    return Message(text, total.severity, good=good, subject=alert_subject(alert), document=document)


def incident_document(
    incident: Incident, is_over: bool, backfill_url: str | None
) -> dict[str, Any]:
    """The fields of `message` that an incident has without an alert, for `capi-assets gaps`."""
    total = incident.total
    return {
        **_story(total.id, incident, total, is_over),
        **_current(total, incident.ranges, is_over, backfill_url),
    }


def _story(
    incident_id: str,
    told: Alert | Incident,
    total: Gap | ReportedIncident,
    is_over: bool,
) -> dict[str, Any]:
    """What happened, as alerts and open incidents say it."""
    return {
        "incident_id": incident_id,
        "is_over": is_over,
        "causes": [_turn(turn) for turn in told.causes],
        "cause": str(total.cause),
        "headline": total.headline,
        "severity": total.severity,
        "from": _iso(min(turn.first_hour for turn in told.causes)),
        "to": _iso(max(turn.last_hour for turn in told.causes) + HOUR),
        "orders": total.orders,
        "money": dict(total.money),
        "ranges": list(told.ranges),
    }


def _turn(turn: CauseInTurn) -> dict[str, Any]:
    hours = {"from": _iso(turn.first_hour), "to": _iso(turn.last_hour + HOUR)}
    return {"cause": str(turn.cause), "headline": turn.headline, **hours}


def _current(
    total: Gap, ranges: Sequence[str], is_over: bool, backfill_url: str | None
) -> dict[str, Any]:
    return {
        "hours": total.hours,
        "uncounted_hours": total.unknown_hours,
        "recoverable": {"orders": total.recoverable, "money": dict(total.recoverable_money)},
        "correctable": {"orders": total.correctable, "money": dict(total.correctable_money)},
        "deadline": _iso(total.first_deadline),
        "last_deadline": _iso(total.last_deadline),
        "visits_until": _iso(total.visits_until),
        "hours_short_of_visits": total.fewer_visits + total.no_visits,
        "estimated": {
            "orders": total.estimated_orders,
            "money": {c: amount._asdict() for c, amount in total.estimated_money.items()},
        },
        "streams": [stream._asdict() for stream in total.streams],
        "remedy": None if is_over else total.remedy,
        "evidence": {"reasons": dict(total.reasons), "text": total.evidence or None},
        "link": None if is_over or total.as_stored else backfill_link(backfill_url, ranges),
    }


def _gone(known: ReportedIncident) -> dict[str, Any]:
    """Of an incident whose hours are good no hour is flagged, and nothing is left to recover."""
    nothing: dict[str, Any] = {"orders": 0, "money": {}}
    return {
        **{"hours": 0, "uncounted_hours": 0, "recoverable": nothing, "correctable": nothing},
        **dict.fromkeys(("deadline", "last_deadline", "visits_until", "remedy", "link")),
        "hours_short_of_visits": known.fewer_visits,
        "estimated": nothing,
        "streams": [],
        "evidence": {"reasons": {}, "text": None},
    }


def note(
    kind: str,
    text: str,
    subject: str,
    now: datetime,
    ranges: Sequence[str],
    backfill_url: str | None,
) -> Message:
    """A message about something other than an incident, such as late files.

    Its document has the fields `schema`, `version`, `sent_at`, `kind`, `good`, `severity`,
    `ranges`, `link` and `text`.
    """
    document = {
        **_envelope(kind, now, text),
        "good": True,
        "severity": "warn",
        "ranges": list(ranges),
        "link": backfill_link(backfill_url, ranges),
    }
    return Message(text, good=True, subject=subject, document=document)


def _envelope(kind: str, now: datetime, text: str) -> dict[str, Any]:
    shared = {"schema": SCHEMA, "version": VERSION}
    return {**shared, "sent_at": _iso(now), "kind": kind, "text": text}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
