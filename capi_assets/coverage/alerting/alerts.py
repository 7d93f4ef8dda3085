"""When a gap is worth a word: alerts on change of state only, from what was told before.

Pure: `decide` takes the former state, the gaps of now and a clock. How an alert reads is in
words.py, where it goes in channels.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from capi_assets.coverage.alerting.alert_state import AlertState, OpenGap
from capi_assets.coverage.flags import ERROR, WARN
from capi_assets.coverage.gaps import Gap, merged
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

AlertKind = Literal[
    "opened",
    "worse",
    "about_to_expire",
    "expired",
    "recovered",
    "changed",
    "recovery_launched",
    "recovery_stopped",
]


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """What counts as a change worth telling.

    Attributes:
        about_to_expire: told once when the first order can be saved for no longer than this, and
            once when the visits that orders must be matched with are kept no longer.
        factor, by_orders, by_hours: a gap is worse when its missing orders, or its hours of
            which nobody knows the orders, grew by `factor` and by at least so many.
        calm: when a gap's hours are still bad for another cause, its own must be gone for this
            long before that is told, since retries may answer differently each time.
    """

    about_to_expire: timedelta = timedelta(hours=24)
    factor: int = 2
    by_orders: int = 5
    by_hours: int = 3
    calm: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state.

    Attributes:
        kind: `opened`; `worse` (twice the orders, or ERROR after WARN); `about_to_expire`;
            `expired` (nothing of it can be saved any more); `recovered` (its hours are good, or at
            most half of its orders are still missing there for other causes); `changed` (its
            cause is gone, but most orders are still missing for another, which has its own alert).
            `decide` gives these; the other two are told by who launches (recovery.py).
        gap_id: the same from opened to recovered, however the gap grows or shrinks.
        gap: the gap as it is now; of one that is over, what was remembered of it.
        ranges: partition ranges of the hours that are bad now; empty when it is over.
        still: orders still missing in its hours for `other_causes`, when it is over.
        automatic: whether its hours were materialized again by automatic recovery.
    """

    kind: AlertKind
    gap_id: str
    gap: Gap
    ranges: tuple[str, ...] = ()
    still: int = 0
    other_causes: tuple[Cause, ...] = ()
    automatic: bool = False


def alerted_id(state: AlertState, gap: Gap) -> str:
    """The id that a gap's alerts carry: that of the gap told before that it goes on, or its own."""
    return next((known.id for known in state.standing if _overlaps(gap, known)), gap.id)


def decide(
    previous: AlertState,
    gaps: Sequence[Gap],
    now: datetime,
    *,
    policy: AlertPolicy | None = None,
    watched_from: datetime | None = None,
) -> tuple[list[Alert], AlertState]:
    """What to tell now, and what to remember.

    A gap is the same as one told before if it has its cause and overlaps or adjoins the hours
    that one ever covered; gaps of one cause that grow together become the oldest of them. At most
    one alert per gap and look.

    Args:
        previous: the state of the former look.
        gaps: all gaps of the watched hours. Do not call this after a failed look: a gap that is
            not given counts as over.
        watched_from: the first hour that was looked at. A gap that lies before it is forgotten
            without being called recovered.
    """
    policy = policy or AlertPolicy()
    alerts: list[Alert] = []
    kept: list[OpenGap] = []
    for known, parts in _same(previous.standing, gaps):
        if not parts:
            alert, remembered = _close_gap(known[0], gaps, now, policy, watched_from)
        elif not known:
            alert, remembered = _open(merged(parts), parts, now, policy)
        else:
            alert, remembered = _update_open_gap(_merged(known), parts, now, policy, watched_from)
        if alert:
            alerts.append(alert)
        if remembered:
            kept.append(remembered)
    return alerts, AlertState(tuple(kept))


def _same(
    standing: Sequence[OpenGap], gaps: Sequence[Gap]
) -> list[tuple[list[OpenGap], list[Gap]]]:
    """Groups of what is one and the same gap, those told before first and in their order."""
    groups: list[tuple[list[OpenGap], list[Gap]]] = [([s], []) for s in standing]
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
        told_orders=sum(s.told_orders for s in known),
        told_hours=sum(s.told_hours for s in known),
        deadline=max((s.deadline for s in known if s.deadline), default=None),
        expiring_told=any(s.expiring_told for s in known),
        visits_told=any(s.visits_told for s in known),
        fewer_visits=max(s.fewer_visits for s in known),
    )


def _open(
    gap: Gap, parts: Sequence[Gap], now: datetime, policy: AlertPolicy
) -> tuple[Alert, OpenGap]:
    remembered = OpenGap(
        id=gap.id,
        cause=gap.cause,
        severity=gap.severity,
        first_hour=gap.first_hour,
        last_hour=gap.last_hour,
        told_orders=_size(gap),
        told_hours=gap.unknown_hours,
        orders=gap.orders,
        money=dict(gap.money),
        deadline=gap.last_deadline,
        expiring_told=_expires_soon(gap.first_deadline, now, policy),
        visits_told=_expires_soon(gap.visits_until, now, policy),
        fewer_visits=_fewer_visits(gap),
    )
    return Alert("opened", gap.id, gap, _ranges(parts)), remembered


def _update_open_gap(
    known: OpenGap,
    parts: Sequence[Gap],
    now: datetime,
    policy: AlertPolicy,
    watched_from: datetime | None,
) -> tuple[Alert | None, OpenGap]:
    gap = merged(parts)
    expiring = _expires_soon(gap.first_deadline, now, policy)
    fading = _expires_soon(gap.visits_until, now, policy)
    kind: AlertKind | None = None
    if _is_past(known.deadline, now) and not gap.savable:
        kind = "expired"
    elif (expiring and not known.expiring_told) or (fading and not known.visits_told):
        kind = "about_to_expire"
    elif _is_worse(gap, known, policy):
        kind = "worse"
    first = min(known.first_hour, gap.first_hour)
    at_its_worst = gap.orders >= known.orders
    remembered = replace(
        known,
        severity=gap.severity if kind and gap.severity == ERROR else known.severity,
        first_hour=max(first, watched_from) if watched_from else first,
        last_hour=max(known.last_hour, gap.last_hour),
        told_orders=_size(gap) if kind else known.told_orders,
        told_hours=gap.unknown_hours if kind else known.told_hours,
        orders=gap.orders if at_its_worst else known.orders,
        money=dict(gap.money) if at_its_worst else known.money,
        deadline=gap.last_deadline if kind == "expired" or gap.savable else known.deadline,
        expiring_told=known.expiring_told or expiring,
        visits_told=known.visits_told or fading,
        fewer_visits=max(known.fewer_visits, _fewer_visits(gap)),
        gone_since=None,
    )
    return (Alert(kind, known.id, gap, _ranges(parts)) if kind else None), remembered


def _close_gap(
    known: OpenGap,
    gaps: Sequence[Gap],
    now: datetime,
    policy: AlertPolicy,
    watched_from: datetime | None,
) -> tuple[Alert | None, OpenGap | None]:
    past = _is_past(known.deadline, now)
    if watched_from and known.last_hour < watched_from:
        return (Alert("expired", known.id, _gap_from_state(known)) if past else None), None
    others = [
        (gap.cause, count)
        for gap in gaps
        for hour, count in gap.missing.items()
        if known.first_hour <= hour <= known.last_hour
    ]
    if not others:
        return Alert("recovered", known.id, _gap_from_state(known)), None
    if known.gone_since is None or now - known.gone_since < policy.calm:
        return None, replace(known, gone_since=known.gone_since or now)
    still = sum(count or 0 for _, count in others)
    uncounted = any(count is None for _, count in others)
    kind: AlertKind = "changed" if uncounted or 2 * still > known.orders else "recovered"
    if past and any(cause is Cause.TOO_LATE for cause, _ in others):
        kind = "expired"
    causes = tuple(sorted({cause for cause, _ in others}))
    return Alert(kind, known.id, _gap_from_state(known), (), still, causes), None


def _size(gap: Gap) -> int:
    """Orders lost, never arrived, or left without match keys, whichever is most."""
    return max(gap.orders, gap.orders_expected_missing, gap.unmatched, gap.orders_with_fewer_keys)


def _is_worse(gap: Gap, known: OpenGap, policy: AlertPolicy) -> bool:
    if gap.severity == ERROR and known.severity != ERROR:
        return True
    return any(
        grown >= policy.factor * told and grown - told >= floor
        for grown, told, floor in (
            (_size(gap), known.told_orders, policy.by_orders),
            (gap.unknown_hours, known.told_hours, policy.by_hours),
        )
    )


def _expires_soon(moment: datetime | None, now: datetime, policy: AlertPolicy) -> bool:
    return moment is not None and moment - now <= policy.about_to_expire


def _fewer_visits(gap: Gap) -> int:
    """Hours whose orders can no longer be matched with all their visits."""
    return gap.fewer_visits + gap.no_visits if gap.matched_again else 0


def _is_past(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now


def _ranges(parts: Iterable[Gap]) -> tuple[str, ...]:
    return tuple(gap.partition_range for gap in sorted(parts, key=lambda g: g.first_hour))


def _gap_from_state(known: OpenGap) -> Gap:
    """A gap that is over, as far as it was remembered."""
    return Gap(
        id=known.id,
        cause=known.cause,
        severity=known.severity,
        first_hour=known.first_hour,
        last_hour=known.last_hour,
        missing={known.first_hour: known.orders},
        money=known.money,
        recoverable=0,
        recoverable_money={},
        correctable=0,
        correctable_money={},
        unmatched=0,
        first_deadline=None,
        last_deadline=None,
        reasons={},
        evidence="",
        fewer_visits=known.fewer_visits,
    )
