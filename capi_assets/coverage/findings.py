"""What is found about one hour: one finding per cause, with its own orders, money and deadline.

Recorded losses come from the hour's totals, of the whole shop and of each dataset and event name;
what never arrived, or arrived otherwise than usual, comes from anomaly detection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.anomalies.anomaly import Anomaly, Stream
from capi_assets.coverage.anomalies.refusal_rate import RefusalBaselines, is_no_chance
from capi_assets.coverage.hour_totals import HourTotals, Totals, window_end
from capi_assets.coverage.outcomes import UNREADABLE_FILE
from capi_assets.coverage.policy import ERROR, WARN, CoveragePolicy
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

MONEY = pa.map_(pa.string(), pa.float64())
_INTERVAL = pa.struct({**dict.fromkeys(("low", "expected", "high"), pa.float64())})
STREAM = pa.struct({**dict.fromkeys(("dataset_id", "event_name", "action_source"), pa.string())})
COMPARISON = pa.struct(
    {
        "signal": pa.string(),
        "hours": pa.int64(),
        "seen": pa.float64(),
        "expected": _INTERVAL,
        "learned_from": pa.list_(UTC_MICROSECONDS),
    }
)
FINDING = pa.schema(
    {
        **dict.fromkeys(("severity", "cause"), pa.string()),
        "streams": pa.list_(STREAM),
        **{"missing": pa.int64(), "missing_money": MONEY},
        **{"recoverable": pa.int64(), "recoverable_money": MONEY},
        **{"correctable": pa.int64(), "correctable_money": MONEY},
        **dict.fromkeys(
            ("unmatched", "orders_expected_missing", "orders_with_fewer_keys", "orders_affected"),
            pa.int64(),
        ),
        "estimated_money": pa.map_(pa.string(), _INTERVAL),
        "first_deadline": UTC_MICROSECONDS,
        "visits_until": UTC_MICROSECONDS,
        "visits_remaining": pa.string(),
        "reasons": pa.map_(pa.string(), pa.int64()),
        "evidence": pa.string(),
        "comparisons": pa.list_(COMPARISON),
    }
)

_QUALITY = (Cause.VISITS_MISSING, Cause.MATCH_KEYS_LOST)
"""Orders are delivered, with less than usual in them: not told beside orders that are lost."""

_DAY = 24
"""Hours over which an event name with few orders is judged."""

_UNREADABLE = "a landed file cannot be read; the number of its orders is unknown"


@dataclass(frozen=True)
class Findings:
    """What is found about hours, given the hours around them.

    Attributes:
        hours: the totals of all hours at hand.
        anomalies: what detection found, per hour.
        baselines: the usual shares of refused orders; None without any hour.
    """

    hours: Mapping[datetime, HourTotals]
    anomalies: Mapping[datetime, Sequence[Anomaly]]
    baselines: RefusalBaselines | None
    policy: CoveragePolicy
    now: datetime

    def of_hour(self, hour: datetime) -> list[dict[str, Any]]:
        """Rows of FINDING, the costliest first."""
        totals = self.hours[hour]
        settled = self.now >= hour + HOUR + self.policy.settle
        anomalies = list(self.anomalies.get(hour, ())) if settled else []
        if any(a.cause is Cause.VISITS_MISSING and not a.streams for a in anomalies):
            totals.blame_visits()
        lost = self._lost(hour, totals, settled)
        rows = []
        for cause, streams in lost.items():
            own = next((a for a in anomalies if a.cause is cause), None)
            if own:
                anomalies.remove(own)
            rows.append(self._row(hour, cause, totals.of(*streams, cause=cause), streams, own))
        for anomaly in anomalies:
            if self._matters(anomaly, lost):
                rows.append(self._row(hour, anomaly.cause, Totals(), anomaly.streams, anomaly))
        return sorted(rows, key=_cost)

    def _lost(
        self, hour: datetime, totals: HourTotals, settled: bool
    ) -> dict[Cause, tuple[Stream, ...]]:
        """The causes whose undelivered orders are enough to flag the hour, with the event names
        concerned; none are named where the whole shop's coverage is too low."""
        whole = totals.whole
        found: dict[Cause, tuple[Stream, ...]] = {}
        # An unreadable file may hold any number of orders, so no share can excuse it.
        if settled and whole.reasons[UNREADABLE_FILE]:
            found[Cause.QUARANTINE] = ()
        for cause, cost in sorted(totals.costs().items()):
            if not (settled or cause.certain) or cause in found:
                continue
            # Orders that need their visit are not lost before its file usually lands.
            if cause is Cause.MATCH_KEYS_LOST and not self.policy.visits_are_due(hour, self.now):
                continue
            if self._is_low(whole) and self._is_enough(hour, cause, cost, ()):
                found[cause] = ()
                continue
            low = tuple(
                stream
                for stream in self._parts(hour)
                if cause in totals.parts[stream] and self._lost_of_stream(hour, stream, cause)
            )
            if low:
                found[cause] = low
        return found

    def _is_low(self, totals: Totals) -> bool:
        return totals.coverage is not None and totals.coverage < self.policy.threshold

    def _is_enough(
        self, hour: datetime, cause: Cause, cost: int, streams: tuple[Stream, ...]
    ) -> bool:
        if not cause.cured_by_data:
            return cost >= self.policy.min_missing
        totals = self.hours[hour]
        refused = sum(n for why, n in totals.costs(*streams).items() if why.cured_by_data)
        stream = streams[0] if streams else Stream()
        baseline = self.baselines.of(stream) if self.baselines else None
        if baseline:
            more = baseline.is_more(
                hour, refused, totals.eligible(*streams), 1.0 - self.policy.threshold
            )
            if more is not None:
                return more
        least = 1.0 - self.policy.threshold
        enough = cost >= self.policy.min_missing_data
        return (enough and is_no_chance(cost, totals.eligible(*streams), least)) or (
            self._day_is_bad(hour, streams, None)
        )

    def _parts(self, hour: datetime) -> list[Stream]:
        """The event names of the hour, if the day up to it has more than one."""
        streams = self.hours[hour].streams
        several = any(t.streams - streams or len(streams) > 1 for t in self._day(hour))
        return sorted(streams) if several else []

    def _day(self, hour: datetime) -> list[HourTotals]:
        return [t for i in range(_DAY) if (t := self.hours.get(hour - i * HOUR))]

    def _lost_of_stream(self, hour: datetime, stream: Stream, cause: Cause) -> bool:
        """Whether an event name loses enough to a cause, in this hour and in the day up to it.

        The day, because the event name may have a few orders a day: a single one that waits for
        its next run is no loss.
        """
        cost = self.hours[hour].costs(stream)[cause]
        if not cost or not self._day_is_bad(hour, (stream,), cause):
            return False
        return not cause.cured_by_data or self._is_enough(hour, cause, cost, (stream,))

    def _day_is_bad(self, hour: datetime, streams: tuple[Stream, ...], cause: Cause | None) -> bool:
        """Whether the 24 hours that end with this one lost enough orders to a cause (None: to
        faulty rows)."""
        day = self._day(hour)
        lost = sum(
            n
            for t in day
            for why, n in t.costs(*streams).items()
            if (why.cured_by_data if cause is None else why is cause)
        )
        if lost < self.policy.min_missing_data:
            return False
        eligible = sum(t.eligible(*streams) for t in day)
        least = 1.0 - self.policy.threshold
        if cause is None or cause.cured_by_data:
            return is_no_chance(lost, eligible, least)
        return lost > least * eligible

    def _matters(self, anomaly: Anomaly, lost: Mapping[Cause, Collection[Stream]]) -> bool:
        if anomaly.cause not in _QUALITY:
            return True
        if anomaly.cause is Cause.VISITS_MISSING and anomaly.unmatched < (
            self.policy.min_missing_data
        ):
            return False
        return not any(
            not streams or set(streams) & set(anomaly.streams) for streams in lost.values()
        )

    def _row(
        self,
        hour: datetime,
        cause: Cause,
        lost: Totals,
        streams: tuple[Stream, ...],
        anomaly: Anomaly | None,
    ) -> dict[str, Any]:
        end = window_end(hour)
        deadline = lost.first_deadline
        if cause.brings_orders and self.now < end:
            deadline = min(deadline or end, end)
        visits = visits_left(
            self.policy,
            hour,
            deadline or end,
            self.now,
            needed=deadline is not None or lost.correctable > 0,
            matched_again=cause.matched_again,
        )
        found = anomaly or Anomaly(cause, "")
        whole = self.hours[hour].of(*streams)
        return {
            "cause": str(cause),
            "severity": self._severity(hour, cause, whole, deadline, visits.until),
            "streams": [stream._asdict() for stream in streams or found.streams],
            "missing": lost.missing,
            "missing_money": _amounts(lost.missing_money),
            "recoverable": lost.recoverable,
            "recoverable_money": _amounts(lost.recoverable_money),
            "correctable": lost.correctable,
            "correctable_money": _amounts(lost.correctable_money),
            "unmatched": found.unmatched,
            "orders_expected_missing": found.orders_expected_missing,
            "orders_with_fewer_keys": found.orders_with_fewer_keys,
            "orders_affected": found.orders_affected,
            "estimated_money": [(c, i._asdict()) for c, i in found.estimated_money.items()],
            "first_deadline": deadline,
            "visits_until": visits.until,
            "visits_remaining": visits.remaining,
            "reasons": list(lost.reasons.items()),
            "evidence": _evidence(found, lost),
            "comparisons": [
                {**comparison._asdict(), "expected": comparison.expected._asdict()}
                for comparison in found.comparisons
            ],
        }

    def _severity(
        self,
        hour: datetime,
        cause: Cause,
        totals: Totals,
        deadline: datetime | None,
        visits: datetime | None,
    ) -> str:
        if cause.warns_only:
            return WARN
        soon = self.policy.expires_soon(hour, deadline, visits, self.now)
        # No delivery at all is an error only if several orders are missing, not for a single one.
        nothing = totals.delivered == 0 and totals.missing >= self.policy.min_missing_data
        return ERROR if soon or nothing else WARN


def not_materialized(hour: datetime, policy: CoveragePolicy, now: datetime) -> list[dict[str, Any]]:
    """The finding about an hour that should be in `attribution_health` and is not, once it is due;
    its counts are unknown (null)."""
    if now < hour + HOUR + policy.settle + policy.grace:
        return []
    deadline = window_end(hour)
    savable = now < deadline
    visits = visits_left(policy, hour, deadline, now, needed=savable, matched_again=True)
    soon = savable and policy.expires_soon(hour, deadline, visits.until, now)
    return [
        {
            "cause": str(Cause.NOT_MATERIALIZED),
            "severity": ERROR if soon else WARN,
            "first_deadline": deadline if savable else None,
            "visits_until": visits.until,
            "visits_remaining": visits.remaining,
            "evidence": "attribution_health has no data for this hour",
        }
    ]


def _cost(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    orders = max(
        row["missing"], row["orders_expected_missing"], row["unmatched"],
        row["orders_with_fewer_keys"], row["orders_affected"],
    )  # fmt: skip
    return Cause(row["cause"]).warns_only, -orders, row["cause"]


@dataclass(frozen=True, slots=True)
class _Visits:
    until: datetime | None
    remaining: str | None


def visits_left(
    policy: CoveragePolicy,
    hour: datetime,
    deadline: datetime,
    now: datetime,
    *,
    needed: bool,
    matched_again: bool,
) -> _Visits:
    """Which visits of a flagged hour are stored, and until when, if that is before its deadline."""
    if policy.visits is None or not needed:
        return _Visits(None, None)
    until = policy.visits.next_loss(hour, now)
    binds = matched_again and until is not None and until < deadline
    return _Visits(until if binds else None, policy.visits.remaining(hour, now))


def _evidence(found: Anomaly, lost: Totals) -> str | None:
    unreadable = [_UNREADABLE] if lost.reasons[UNREADABLE_FILE] else []
    return "; ".join([*unreadable, *([found.evidence] if found.evidence else [])]) or None


def _amounts(money: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(c, round(v, 4)) for c, v in sorted(money.items()) if round(v, 4)]
