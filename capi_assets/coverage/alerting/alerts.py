"""Which incidents to report: each opens once, is updated on a change of its size, cause or
deadline, and ends once.

`decide` is pure: it takes the previous state, the current gaps and the time. alert_text.py words an
alert, channels/ sends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from capi_assets.coverage.alerting.alert_state import AlertState, ReportedIncident
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incidents import (
    QUIET,
    SAME_CAUSE,
    CauseInTurn,
    Incident,
    incident,
    incidents,
    is_past_help,
    is_related,
    quiet_at,
    size,
)
from capi_assets.coverage.policy import ERROR, WARN, CoveragePolicy
from capi_assets.delivery.causes import Cause, EndedBy

AlertKind = Literal[
    "opened", "reopened", "worse", "cause_changed", "about_to_expire", "expired", "recovered",
    "closed", "recovery_launched", "recovery_stopped",
]  # fmt: skip

ENDS = ("expired", "recovered", "closed")
"""The kinds that end an incident."""

ABOUT_TO_EXPIRE = timedelta(hours=24)
"""Reported once this long before the first order expires, and once before visits are deleted: a
working day to react."""

_GROWTH_FACTOR = 2
"""An incident is reported as worse at each doubling: an outage of a day is five or six alerts."""
_MIN_MORE_ORDERS = 5
_MIN_MORE_HOURS = 3
"""Growth below these is not reported: one order that becomes two is no news."""

_NEW_CAUSE_AFTER = timedelta(hours=1)
"""Another main cause is reported once it has lasted this long: retries may get different errors
each time, and a backfill passes through several."""

_REMEMBERED = SAME_CAUSE
"""How long an incident that ended is remembered: hours near it that are flagged again open it
again, and it then needs twice as long without a flagged hour to end."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state.

    Attributes:
        kind: `opened`; `reopened` (flagged again after its end); `worse` (twice the orders, or
            ERROR after WARN); `cause_changed` (another cause costs most now, and needs another
            remedy); `about_to_expire`; and one of the ends: `recovered` (its hours are good, or at
            most half of its orders are still missing there for other causes), `expired` (what
            could be delivered is too old now) or `closed` (never fixed, and nothing can be done
            any more). `decide` returns these. Automatic recovery reports `recovery_launched` and
            `recovery_stopped`.
        incident_id: the same from opened to the end, even if the incident grows or shrinks.
        incident: as it is now; the remembered `ReportedIncident` if none of its hours is flagged.
        ranges: partition ranges of the hours that are flagged now.
        still: orders still missing in its hours for `other_causes`, if its own are gone.
        automatic: whether automatic recovery materialized its hours again.
    """

    kind: AlertKind
    incident_id: str
    incident: Incident | ReportedIncident
    ranges: tuple[str, ...] = ()
    still: int = 0
    other_causes: tuple[Cause, ...] = ()
    automatic: bool = False

    @property
    def causes(self) -> tuple[CauseInTurn, ...]:
        """The causes of the incident in turn."""
        return self.incident.causes

    @property
    def first_hour(self) -> datetime:
        """The first flagged hour of the incident."""
        return min(turn.first_hour for turn in self.causes)

    @property
    def last_hour(self) -> datetime:
        """The last flagged hour of the incident."""
        return max(turn.last_hour for turn in self.causes)


def alerted_id(state: AlertState, gap: Gap) -> str:
    """The id in the alerts of a gap: that of the incident that it belongs to, or its own."""
    return next((known.id for known in state.open if _continues(gap, known)), gap.id)


def decide(
    previous: AlertState,
    gaps: Sequence[Gap],
    now: datetime,
    *,
    watched_from: datetime | None = None,
    policy: CoveragePolicy | None = None,
) -> tuple[list[Alert], AlertState]:
    """What to report now, and what to remember. The coverage sensor and the drill call it.

    Gaps continue an incident that was reported if they share an evidence with it
    (`incidents.is_related`), or take over its hours once its own gaps are gone. Incidents that
    grow together continue the oldest of them. At most one alert per incident.

    Args:
        previous: the state that the previous call returned.
        gaps: all current gaps. Hours that are missing here count as good, so do not call this if
            they could not be read.
        now: timezone-aware.
        watched_from: the first hour that was evaluated. An incident before it is closed.
        policy: how long after its end an hour is evaluated; by default as `CoveragePolicy()`.

    Example:
        `alerts, state = decide(AlertState(), find_gaps(lake, policy, now).gaps, now)`
    """
    policy = policy or CoveragePolicy()
    alerts: list[Alert] = []
    remembered: list[ReportedIncident] = []
    alert: Alert | None
    after: ReportedIncident | None
    for known, parts in _same(previous.incidents, gaps):
        if not known:
            alert, after = _open(incident(parts), now, policy)
        elif parts:
            alert, after = _update(_merged(known), incident(parts), now, watched_from, policy)
        else:
            alert, after = _end(known[0], gaps, now, watched_from, policy)
        if alert:
            alerts.append(alert)
        if after:
            remembered.append(after)
    return alerts, AlertState(tuple(remembered))


def _same(
    reported: Sequence[ReportedIncident], gaps: Sequence[Gap]
) -> list[tuple[list[ReportedIncident], list[Gap]]]:
    """Reported and current incidents that are the same one; reported ones first, in their order."""
    groups: list[tuple[list[ReportedIncident], list[Gap]]] = [([known], []) for known in reported]
    unknown: list[list[Gap]] = []
    for current in incidents(gaps):
        parts = list(current.gaps)
        met = [g for g in groups if any(_continues(gap, k) for gap in parts for k in g[0])]
        if not met:
            unknown.append(parts)
            continue
        met[0][1].extend(parts)
        for other in met[1:]:
            met[0][0].extend(other[0])
            met[0][1].extend(other[1])
            groups.remove(other)
    # Hours that were not materialized, and now are, without success: the same orders are missing.
    for parts in unknown:
        bereft = [g for g in groups if not g[1] and any(_covers(k, parts) for k in g[0])]
        if bereft:
            bereft[0][1].extend(parts)
        else:
            groups.append(([], parts))
    return groups


def _continues(gap: Gap, known: ReportedIncident) -> bool:
    return any(is_related(gap, turn) for turn in known.causes)


def _covers(known: ReportedIncident, parts: Sequence[Gap]) -> bool:
    """Whether gaps of another kind lie in its hours and miss most of what was missing there."""
    inside = any(
        gap.first_hour <= known.last_hour and gap.last_hour >= known.first_hour for gap in parts
    )
    missing = sum(size(gap) for gap in parts)
    return known.ended_at is None and inside and 2 * missing > known.orders


def _merged(known: Sequence[ReportedIncident]) -> ReportedIncident:
    """Several as the oldest of them; its end is over if that of any is."""
    oldest = known[0]
    if len(known) == 1:
        return oldest
    running = [k for k in known if k.ended_at is None]
    return replace(
        oldest,
        causes=_in_turn([turn for k in known for turn in k.causes]),
        severity=ERROR if any(k.severity == ERROR for k in known) else WARN,
        reported_orders=sum(k.reported_orders for k in running),
        reported_hours=sum(k.reported_hours for k in running),
        deadline=max((k.deadline for k in known if k.deadline), default=None),
        expiry_reported=any(k.expiry_reported for k in known),
        visits_reported=any(k.visits_reported for k in known),
        fewer_visits=max(k.fewer_visits for k in known),
        recovery_launched=any(k.recovery_launched for k in known),
        recovery_stopped=any(k.recovery_stopped for k in known),
        hours_at_once=max(k.hours_at_once for k in known),
        reopened=max(k.reopened for k in known),
        ended_at=None if running else max(k.ended_at for k in known if k.ended_at),
    )


def _in_turn(turns: Sequence[CauseInTurn]) -> tuple[CauseInTurn, ...]:
    """Each cause once, with all its hours and its latest headline, in the order of its start."""
    by_cause: dict[Cause, CauseInTurn] = {}
    for turn in turns:
        known = by_cause.get(turn.cause, turn)
        by_cause[turn.cause] = replace(
            turn,
            first_hour=min(known.first_hour, turn.first_hour),
            last_hour=max(known.last_hour, turn.last_hour),
        )
    return tuple(sorted(by_cause.values(), key=lambda turn: turn.first_hour))


def _open(
    current: Incident, now: datetime, policy: CoveragePolicy
) -> tuple[Alert, ReportedIncident]:
    total = current.total
    opened = ReportedIncident(
        id=total.id,
        causes=current.causes,
        cause=total.cause,
        headline=total.headline,
        severity=total.severity,
        reported_orders=size(total),
        reported_hours=total.unknown_hours,
        orders=total.orders,
        money=dict(total.money),
        deadline=total.last_deadline,
        expiry_reported=_is_soon(total.first_deadline, now),
        visits_reported=_is_soon(total.visits_until, now),
        fewer_visits=_fewer_visits(total),
        hours_at_once=total.hours,
        ended_at=now if current.is_over(policy, now) else None,
    )
    return Alert("opened", total.id, current, current.ranges), opened


def _update(
    known: ReportedIncident,
    current: Incident,
    now: datetime,
    watched_from: datetime | None,
    policy: CoveragePolicy,
) -> tuple[Alert | None, ReportedIncident]:
    total, has_grown = current.total, current.total.last_hour > known.last_hour
    known = replace(known, causes=_watched(known, current, watched_from))
    is_quiet = now >= quiet_at(known.causes, policy, _quiet(known))
    is_over = is_past_help(total) and is_quiet
    if known.ended_at and is_past_help(total) and (is_over or not has_grown):
        return None, known
    known = _with_main_cause(known, total, now)
    expiring, fading = _is_soon(total.first_deadline, now), _is_soon(total.visits_until, now)
    kind: AlertKind | None = None
    if known.ended_at:
        kind = "reopened"
        known = replace(known, ended_at=None, reopened=known.reopened + 1)
    elif is_over:
        kind = "expired" if _is_past(known.deadline, now) else "closed"
    elif (expiring and not known.expiry_reported) or (fading and not known.visits_reported):
        kind = "about_to_expire"
    elif _is_worse(total, known):
        kind = "worse"
    elif known.other_since and now - known.other_since >= _NEW_CAUSE_AFTER:
        kind = "cause_changed"
    at_its_worst = total.orders >= known.orders
    # What remains of it once no hour was added for some time is what further growth adds to.
    reported = min(known.reported_orders, size(total)) if is_quiet else known.reported_orders
    after = replace(
        known,
        cause=total.cause if kind else known.cause,
        headline=total.headline if kind else known.headline,
        severity=total.severity if kind and total.severity == ERROR else known.severity,
        reported_orders=size(total) if kind else reported,
        reported_hours=total.unknown_hours if kind else known.reported_hours,
        orders=total.orders if at_its_worst else known.orders,
        money=dict(total.money) if at_its_worst else known.money,
        deadline=total.last_deadline if total.savable else known.deadline,
        expiry_reported=known.expiry_reported or expiring,
        visits_reported=known.visits_reported or fading,
        fewer_visits=max(known.fewer_visits, _fewer_visits(total)),
        hours_at_once=max(known.hours_at_once, total.hours),
        other_cause=None if kind else known.other_cause,
        other_since=None if kind else known.other_since,
        ended_at=now if kind in ENDS else None,
    )
    if kind is None:
        return None, after
    automatic = kind in ENDS and known.recovery_launched
    told = Incident(current.gaps, known.causes, total)
    return Alert(kind, known.id, told, current.ranges, automatic=automatic), after


def _watched(
    known: ReportedIncident, current: Incident, watched_from: datetime | None
) -> tuple[CauseInTurn, ...]:
    """All causes that it had or has, without hours that are no longer watched."""
    turns = _in_turn([*known.causes, *current.causes])
    if watched_from is None:
        return turns
    return (
        tuple(
            replace(turn, first_hour=max(turn.first_hour, watched_from))
            for turn in turns
            if turn.last_hour >= watched_from
        )
        or turns
    )


def _with_main_cause(known: ReportedIncident, total: Gap, now: datetime) -> ReportedIncident:
    """Notes another main cause than the reported one, unless waiting is the remedy of both."""
    main = total.cause
    both_wait = main.ended_by is known.cause.ended_by is EndedBy.WAITING
    if main is known.cause or both_wait:
        return replace(known, other_cause=None, other_since=None)
    if main is known.other_cause:
        return known
    return replace(known, other_cause=main, other_since=now)


def _quiet(known: ReportedIncident) -> timedelta:
    """How long without a flagged hour it takes to end: twice as long each time it came back."""
    longest = _REMEMBERED // QUIET
    times: int = min(2**known.reopened, longest)
    return times * QUIET


def _end(
    known: ReportedIncident,
    gaps: Sequence[Gap],
    now: datetime,
    watched_from: datetime | None,
    policy: CoveragePolicy,
) -> tuple[Alert | None, ReportedIncident | None]:
    """The end of an incident of which nothing is flagged any more."""
    if known.ended_at:
        return None, known if now - known.ended_at < _REMEMBERED else None
    past = _is_past(known.deadline, now)
    over = Alert("recovered", known.id, known, automatic=known.recovery_launched)
    if watched_from and known.last_hour < watched_from:
        return replace(over, kind="expired" if past else "closed"), None
    if not _was_recovered(known) and now < quiet_at(known.causes, policy, _quiet(known)):
        return None, known
    others = [
        (gap.cause, count)
        for gap in gaps
        for hour, count in gap.missing.items()
        if known.first_hour <= hour <= known.last_hour
    ]
    still = sum(count or 0 for _, count in others)
    uncounted = any(count is None for _, count in others)
    kind: AlertKind = "closed" if uncounted or 2 * still > known.orders else "recovered"
    if past and any(cause is Cause.TOO_LATE for cause, _ in others):
        kind = "expired"
    if not others:
        kind = "recovered"
    causes = tuple(sorted({cause for cause, _ in others}))
    return replace(over, kind=kind, still=still, other_causes=causes), replace(known, ended_at=now)


def _was_recovered(known: ReportedIncident) -> bool:
    """Whether somebody materialized its hours again, so that its end is no chance: several hours
    that are good at once, or runs of automatic recovery. What lands late cures several hours too,
    and may be late again; so may what came back before."""
    if known.reopened or any(turn.cause.ended_by is EndedBy.DATA for turn in known.causes):
        return False
    return known.recovery_launched or known.hours_at_once > 1


def _is_worse(gap: Gap, known: ReportedIncident) -> bool:
    if gap.severity == ERROR and known.severity != ERROR:
        return True
    return any(
        now >= _GROWTH_FACTOR * reported and now - reported >= least
        for now, reported, least in (
            (size(gap), known.reported_orders, _MIN_MORE_ORDERS),
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
