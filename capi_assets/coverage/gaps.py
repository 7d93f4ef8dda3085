"""Gaps: consecutive flagged hours with one cause, their cost, their deadline, and the range of
partitions to materialize.

flags.py decides which hours are flagged, alerting/alerts.py which gaps are reported. A `Gap` is
built here only: `gap_of_hour` reads one row of flags, `merged` joins gaps into one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Comparison, Interval, Stream
from capi_assets.coverage.anomalies.stream_findings import total_estimate
from capi_assets.coverage.policy import ERROR, WARN
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, hour_key

_NAMED = 3
"""Streams that a headline names; a longer list is not readable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Consecutive flagged hours with one cause. Money is per currency, `""` where there is none.

    Attributes:
        id: the cause and the first hour, such as `token-2026-11-20T13`.
        missing: missing orders per flagged hour; None where the hour was never materialized.
            Hours between them without eligible orders belong to the range only.
        recoverable: missing orders that materializing the range still delivers.
        correctable: missing orders that need corrected input first, within Meta's seven days.
        unmatched: orders without a visit, where visits are missing.
        orders_expected_missing: estimate of the orders that never arrived.
        orders_with_fewer_keys: estimate of the orders that lack a usual match key.
        orders_affected: estimate of the orders that arrived otherwise than usual: withheld,
            doubled, of another value, late.
        estimated_money: of the orders that never arrived or are affected, per currency, with the
            range that holds it nineteen times of twenty.
        streams: the datasets, event names and action sources concerned; none if it is the shop.
        comparisons: what was seen and expected in the hour that lost most.
        first_deadline: until when the first recoverable order can be delivered; None if none can.
        last_deadline: the same for the last hour that has one.
        visits_until: when the next visits that its orders must be matched with are deleted, if
            before Meta's deadline; None where nothing is matched again.
        fewer_visits, no_visits: hours with recoverable or correctable orders whose oldest visits,
            or all visits, are already deleted.
        reasons: missing orders per reason, the most frequent first.
        evidence: further evidence for the cause, from the hour that lost most.
    """

    id: str
    cause: Cause
    severity: str
    first_hour: datetime
    last_hour: datetime
    missing: Mapping[datetime, int | None]
    money: Mapping[str, float]
    recoverable: int
    recoverable_money: Mapping[str, float]
    correctable: int
    correctable_money: Mapping[str, float]
    unmatched: int
    orders_expected_missing: int
    orders_with_fewer_keys: int
    orders_affected: int = 0
    estimated_money: Mapping[str, Interval] = field(default_factory=dict)
    streams: tuple[Stream, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    first_deadline: datetime | None
    last_deadline: datetime | None
    visits_until: datetime | None
    fewer_visits: int
    no_visits: int
    reasons: Mapping[str, int]
    evidence: str

    @property
    def hours(self) -> int:
        """The number of flagged hours."""
        return len(self.missing)

    @property
    def orders(self) -> int:
        """Orders known to be missing; hours that were never materialized add none."""
        return sum(count or 0 for count in self.missing.values())

    @property
    def estimated_orders(self) -> int:
        """Orders that never arrived, or are not as usual, by estimate."""
        return max(
            self.orders_expected_missing,
            self.unmatched,
            self.orders_with_fewer_keys,
            self.orders_affected,
        )

    @property
    def unknown_hours(self) -> int:
        """Hours whose orders are not counted yet."""
        return sum(count is None for count in self.missing.values())

    @property
    def savable(self) -> bool:
        """Whether materializing the range without other changes can still deliver orders."""
        return self.first_deadline is not None

    @property
    def clock(self) -> datetime | None:
        """The first loss if nobody acts: an order becomes too old, or visits are deleted."""
        return min((at for at in (self.first_deadline, self.visits_until) if at), default=None)

    @property
    def matched_again(self) -> bool:
        """Whether recovery matches its orders with their visits again. Otherwise its events are
        already stored as they will be sent, with all their match keys."""
        return self.cause.matched_again or self.unknown_hours > 0

    @property
    def as_stored(self) -> bool:
        """Whether its stored events must be sent without matching, because visits are deleted."""
        return not self.matched_again and self.fewer_visits + self.no_visits > 0

    @property
    def partition_range(self) -> str:
        """The range as `dagster asset materialize --partition-range` takes it."""
        return f"{hour_key(self.first_hour)}...{hour_key(self.last_hour)}"

    @property
    def headline(self) -> str:
        """What happened and to which streams, as a clause in lower case without a full stop."""
        labels = [stream.label for stream in self.streams]
        more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
        named = f" ({', '.join(labels[:_NAMED])}{more})" if labels else ""
        return f"{self.cause.headline_for(self.reasons)}{named}"

    @property
    def remedy(self) -> str:
        """What a person should do, without the range."""
        return self.cause.remedy_for(self.reasons)


def gaps(flags: pa.Table) -> list[Gap]:
    """The gaps among flagged hours, in time order; an hour is in one gap per cause.

    Args:
        flags: the table of `flags.flag_hours`, with the hours that are not flagged: an hour
            without eligible orders between two hours of one cause does not end a gap, a good
            hour does.
    """
    found: list[list[Gap]] = []
    # Per cause its latest gap, and the hour after which it continues.
    latest: dict[Cause, tuple[list[Gap], datetime]] = {}
    for row in flags.sort_by("hour").to_pylist(maps_as_pydicts="strict"):
        hour = row["hour"].astimezone(UTC)
        open_gaps = {cause: run for cause, (run, last) in latest.items() if hour - last <= HOUR}
        of_hour = {gap.cause: gap for gap in gaps_of_hour(row)}
        for cause, gap in of_hour.items():
            run = open_gaps.get(cause, [])
            if not run:
                found.append(run)
            run.append(gap)
            latest[cause] = run, hour
        if row["judged"] and row["eligible"] == 0:
            latest |= {cause: (run, hour) for cause, run in open_gaps.items()}
    return sorted(map(merged, found), key=lambda gap: (gap.first_hour, gap.cause))


def gaps_of_hour(row: Mapping[str, Any]) -> list[Gap]:
    """The gaps of a single hour, the costliest first; none if it is not flagged.

    Args:
        row: a row of `flags.FLAGS`, its maps as dicts
            (`flags.to_pylist(maps_as_pydicts="strict")`).
    """
    hour = row["hour"].astimezone(UTC)
    return [_gap(hour, finding) for finding in row["findings"] or ()]


def _gap(hour: datetime, finding: Mapping[str, Any]) -> Gap:
    deadline = _utc(finding["first_deadline"])
    counts = {name: finding[name] or 0 for name in _COUNTS if name in finding}
    return Gap(
        id=f"{finding['cause']}-{hour:%Y-%m-%dT%H}",
        cause=Cause(finding["cause"]),
        severity=finding["severity"],
        first_hour=hour,
        last_hour=hour,
        missing={hour: finding["missing"]},
        first_deadline=deadline,
        last_deadline=deadline,
        visits_until=_utc(finding["visits_until"]),
        fewer_visits=int(finding["visits_remaining"] == "some"),
        no_visits=int(finding["visits_remaining"] == "none"),
        reasons=_ranked([finding["reasons"] or {}]),
        evidence=finding["evidence"] or "",
        money=finding["missing_money"] or {},
        recoverable_money=finding["recoverable_money"] or {},
        correctable_money=finding["correctable_money"] or {},
        estimated_money={
            currency: Interval(**amount)
            for currency, amount in (finding["estimated_money"] or {}).items()
        },
        streams=tuple(Stream(**stream) for stream in finding["streams"] or ()),
        comparisons=tuple(_comparison(row) for row in finding["comparisons"] or ()),
        **counts,
    )


def _comparison(row: Mapping[str, Any]) -> Comparison:
    learned = tuple(hour.astimezone(UTC) for hour in row["learned_from"])
    expected = Interval(**row["expected"])
    return Comparison(row["signal"], row["seen"], expected, row["hours"], learned)


_COUNTS = (
    "recoverable",
    "correctable",
    "unmatched",
    "orders_expected_missing",
    "orders_with_fewer_keys",
    "orders_affected",
    "fewer_visits",
    "no_visits",
)
_MONEY = ("money", "recoverable_money", "correctable_money")


def merged(parts: Sequence[Gap]) -> Gap:
    """Several gaps of one cause as one, which has the id of the first."""
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=lambda gap: gap.first_hour)
    worst = max(parts, key=lambda gap: (gap.orders, gap.estimated_orders))
    sums: dict[str, Any] = {name: sum(getattr(gap, name) for gap in parts) for name in _COUNTS}
    sums |= {name: total_money(getattr(gap, name) for gap in parts) for name in _MONEY}
    return replace(
        parts[0],
        severity=ERROR if any(gap.severity == ERROR for gap in parts) else WARN,
        last_hour=max(gap.last_hour for gap in parts),
        missing={hour: count for gap in parts for hour, count in gap.missing.items()},
        first_deadline=min((g.first_deadline for g in parts if g.first_deadline), default=None),
        last_deadline=max((g.last_deadline for g in parts if g.last_deadline), default=None),
        visits_until=min((g.visits_until for g in parts if g.visits_until), default=None),
        reasons=_ranked(gap.reasons for gap in parts),
        evidence=worst.evidence,
        comparisons=worst.comparisons,
        estimated_money=total_estimate(gap.estimated_money for gap in parts),
        streams=_all_streams(parts),
        **sums,
    )


def _all_streams(parts: Sequence[Gap]) -> tuple[Stream, ...]:
    """All that are named; none if a part concerns the whole shop."""
    if not all(gap.streams for gap in parts):
        return ()
    return tuple(sorted({stream for gap in parts for stream in gap.streams}))


def total_money(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum per currency."""
    total: defaultdict[str, float] = defaultdict(float)
    for money in amounts:
        for currency, value in money.items():
            total[currency] += value
    return {currency: round(total[currency], 4) for currency in sorted(total)}


def _ranked(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC)
