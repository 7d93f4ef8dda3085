"""Which gaps to report: alerts on a change of state only, compared with what was reported before.

`decide` is pure: it takes the previous state, the current gaps and the time. alert_text.py words an
alert, channels/ sends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from capi_assets.coverage.alerting.alert_state import AlertState, OpenGap
from capi_assets.coverage.gaps import Gap, merged
from capi_assets.coverage.policy import ERROR, WARN
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

AlertKind = Literal[
    "opened", "worse", "about_to_expire", "expired", "recovered", "changed", "recovery_launched",
    "recovery_stopped",
]  # fmt: skip

ABOUT_TO_EXPIRE = timedelta(hours=24)
"""Reported once this long before the first order expires, and once before visits are deleted: a
working day to react."""

_GROWTH_FACTOR = 2
"""A gap is reported as worse at each doubling: an outage of a day is five or six alerts."""
_MIN_MORE_ORDERS = 5
_MIN_MORE_HOURS = 3
"""Growth below these is not reported: one order that becomes two is no news."""

_CAUSE_GONE_FOR = timedelta(hours=1)
"""If hours are still flagged for another cause, the first must be gone for this long before that is
reported: retries may get different errors each time."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state.

    Attributes:
        kind: `opened`; `worse` (twice the orders, or ERROR after WARN); `about_to_expire`;
            `expired` (nothing can be recovered any more); `recovered` (its hours are good, or at
            most half of its orders are still missing there for other causes); `changed` (its
            cause is gone, but most orders are still missing for another, which has its own alert).
            `decide` returns these. Automatic recovery reports `recovery_launched` and
            `recovery_stopped`.
        gap_id: the same from opened to recovered, even if the gap grows or shrinks.
        gap: the gap as it is now; the remembered `OpenGap` if it is over.
        ranges: partition ranges of the hours that are flagged now; empty if it is over.
        still: orders still missing in its hours for `other_causes`, if it is over.
        automatic: whether automatic recovery materialized its hours again.
    """

    kind: AlertKind
    gap_id: str
    gap: Gap | OpenGap
    ranges: tuple[str, ...] = ()
    still: int = 0
    other_causes: tuple[Cause, ...] = ()
    automatic: bool = False


def alerted_id(state: AlertState, gap: Gap) -> str:
    """The id in the alerts of a gap: that of the reported gap that it continues, or its own."""
    return next((known.id for known in state.open_gaps if _overlaps(gap, known)), gap.id)


def decide(
    previous: AlertState,
    gaps: Sequence[Gap],
    now: datetime,
    *,
    watched_from: datetime | None = None,
) -> tuple[list[Alert], AlertState]:
    """What to report now, and what to remember. The coverage sensor and the drill call it.

    A gap continues one that was reported if it has its cause and overlaps or adjoins its hours.
    Gaps of one cause that grow together continue the oldest of them. At most one alert per gap.

    Args:
        previous: the state that the previous call returned.
        gaps: all current gaps. A gap that is missing here counts as over, so do not call this if
            they could not be read.
        now: timezone-aware.
        watched_from: the first hour that was evaluated. An older gap is dropped, and not reported
            as recovered.

    Example:
        `alerts, state = decide(AlertState(), find_gaps(lake, policy, now).gaps, now)`
    """
    alerts: list[Alert] = []
    kept: list[OpenGap] = []
    for known, parts in _same(previous.open_gaps, gaps):
        if not parts:
            alert, remembered = _close_gap(known[0], gaps, now, watched_from)
        elif not known:
            alert, remembered = _open(merged(parts), parts, now)
        else:
            alert, remembered = _update_open_gap(_merged(known), parts, now, watched_from)
        if alert:
            alerts.append(alert)
        if remembered:
            kept.append(remembered)
    return alerts, AlertState(tuple(kept))


def _same(
    open_gaps: Sequence[OpenGap], gaps: Sequence[Gap]
) -> list[tuple[list[OpenGap], list[Gap]]]:
    """Reported and current gaps that are the same gap, reported ones first, in their order."""
    groups: list[tuple[list[OpenGap], list[Gap]]] = [([known], []) for known in open_gaps]
    for gap in sorted(gaps, key=lambda g: (g.first_hour, g.cause)):
        met = [group for group in groups if any(_overlaps(gap, s) for s in group[0])]
        if not met:
            groups.append(([], [gap]))
            continue
        met[0][1].append(gap)
        for other in met[1:]:
            met[0][0].extend(other[0])
            met[0][1].extend(other[1])
            groups.remove(other)
    return groups


def _overlaps(gap: Gap, known: OpenGap) -> bool:
    return (
        gap.cause == known.cause
        and gap.first_hour <= known.last_hour + HOUR
        and gap.last_hour >= known.first_hour - HOUR
    )


def _merged(known: Sequence[OpenGap]) -> OpenGap:
    oldest = known[0]
    return replace(
        oldest,
        severity=ERROR if any(s.severity == ERROR for s in known) else WARN,
        first_hour=min(s.first_hour for s in known),
        last_hour=max(s.last_hour for s in known),
        reported_orders=sum(s.reported_orders for s in known),
        reported_hours=sum(s.reported_hours for s in known),
        deadline=max((s.deadline for s in known if s.deadline), default=None),
        expiry_reported=any(s.expiry_reported for s in known),
        visits_reported=any(s.visits_reported for s in known),
        fewer_visits=max(s.fewer_visits for s in known),
        recovery_launched=any(s.recovery_launched for s in known),
    )


def _open(gap: Gap, parts: Sequence[Gap], now: datetime) -> tuple[Alert, OpenGap]:
    remembered = OpenGap(
        id=gap.id,
        cause=gap.cause,
        headline=gap.headline,
        severity=gap.severity,
        first_hour=gap.first_hour,
        last_hour=gap.last_hour,
        reported_orders=_size(gap),
        reported_hours=gap.unknown_hours,
        orders=gap.orders,
        money=dict(gap.money),
        deadline=gap.last_deadline,
        expiry_reported=_is_soon(gap.first_deadline, now),
        visits_reported=_is_soon(gap.visits_until, now),
        fewer_visits=_fewer_visits(gap),
    )
    return Alert("opened", gap.id, gap, _ranges(parts)), remembered


def _update_open_gap(
    known: OpenGap, parts: Sequence[Gap], now: datetime, watched_from: datetime | None
) -> tuple[Alert | None, OpenGap]:
    gap = merged(parts)
    expiring = _is_soon(gap.first_deadline, now)
    fading = _is_soon(gap.visits_until, now)
    kind: AlertKind | None = None
    if _is_past(known.deadline, now) and not gap.savable:
        kind = "expired"
    elif (expiring and not known.expiry_reported) or (fading and not known.visits_reported):
        kind = "about_to_expire"
    elif _is_worse(gap, known):
        kind = "worse"
    first = min(known.first_hour, gap.first_hour)
    at_its_worst = gap.orders >= known.orders
    remembered = replace(
        known,
        headline=gap.headline,
        severity=gap.severity if kind and gap.severity == ERROR else known.severity,
        first_hour=max(first, watched_from) if watched_from else first,
        last_hour=max(known.last_hour, gap.last_hour),
        reported_orders=_size(gap) if kind else known.reported_orders,
        reported_hours=gap.unknown_hours if kind else known.reported_hours,
        orders=gap.orders if at_its_worst else known.orders,
        money=dict(gap.money) if at_its_worst else known.money,
        deadline=gap.last_deadline if kind == "expired" or gap.savable else known.deadline,
        expiry_reported=known.expiry_reported or expiring,
        visits_reported=known.visits_reported or fading,
        fewer_visits=max(known.fewer_visits, _fewer_visits(gap)),
        gone_since=None,
    )
    if kind is None:
        return None, remembered
    automatic = kind == "expired" and known.recovery_launched
    return Alert(kind, known.id, gap, _ranges(parts), automatic=automatic), remembered


def _close_gap(
    known: OpenGap, gaps: Sequence[Gap], now: datetime, watched_from: datetime | None
) -> tuple[Alert | None, OpenGap | None]:
    over = Alert("recovered", known.id, known, automatic=known.recovery_launched)
    past = _is_past(known.deadline, now)
    if watched_from and known.last_hour < watched_from:
        return (replace(over, kind="expired") if past else None), None
    others = [
        (gap.cause, count)
        for gap in gaps
        for hour, count in gap.missing.items()
        if known.first_hour <= hour <= known.last_hour
    ]
    if not others:
        return over, None
    if known.gone_since is None or now - known.gone_since < _CAUSE_GONE_FOR:
        return None, replace(known, gone_since=known.gone_since or now)
    still = sum(count or 0 for _, count in others)
    uncounted = any(count is None for _, count in others)
    kind: AlertKind = "changed" if uncounted or 2 * still > known.orders else "recovered"
    if past and any(cause is Cause.TOO_LATE for cause, _ in others):
        kind = "expired"
    causes = tuple(sorted({cause for cause, _ in others}))
    return replace(over, kind=kind, still=still, other_causes=causes), None


def _size(gap: Gap) -> int:
    """Orders missing, never arrived, or without match keys, whichever is most."""
    return max(gap.orders, gap.orders_expected_missing, gap.unmatched, gap.orders_with_fewer_keys)


def _is_worse(gap: Gap, known: OpenGap) -> bool:
    if gap.severity == ERROR and known.severity != ERROR:
        return True
    return any(
        size >= _GROWTH_FACTOR * reported and size - reported >= least
        for size, reported, least in (
            (_size(gap), known.reported_orders, _MIN_MORE_ORDERS),
            (gap.unknown_hours, known.reported_hours, _MIN_MORE_HOURS),
        )
    )


def _is_soon(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment - now <= ABOUT_TO_EXPIRE


def _fewer_visits(gap: Gap) -> int:
    """Hours whose orders cannot be matched with all their visits any more."""
    return gap.fewer_visits + gap.no_visits if gap.matched_again else 0


def _is_past(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now


def _ranges(parts: Iterable[Gap]) -> tuple[str, ...]:
    return tuple(gap.partition_range for gap in sorted(parts, key=lambda g: g.first_hour))
