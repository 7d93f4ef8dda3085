"""Gaps: runs of consecutive flagged hours with one cause, what they cost, until when they can be
saved, and the range of partitions that a person or the sensor materializes to save them.

Which hours are flagged is decided in flags.py; when a gap is worth an alert, in alerts.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from capi_assets.coverage.flags import ERROR, WARN
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, hour_key


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of flagged hours with one cause. Money is per currency, `""` where there is none.

    Attributes:
        id: `token-2026-11-20T13`: the cause and the first hour.
        missing: per flagged hour, how many orders are missing; None where the hour was never
            materialized. Hours between them that had nothing to lose belong to the range only.
        recoverable: missing orders that materializing the range still delivers.
        correctable: missing orders that need other input first, inside Meta's seven days.
        unmatched: orders without a visit, where visits are missing.
        orders_expected_missing: about how many orders never arrived, where orders are missing.
        orders_with_fewer_keys: about how many orders lack a match key that they usually carry.
        first_deadline: until when the first recoverable order can be saved; None if none can.
        last_deadline: the same for the last hour that holds one.
        visits_until: the next moment at which visits are deleted that its orders must be matched
            with, if that is before Meta's deadline; None where nothing is matched again.
        fewer_visits, no_visits: hours with something to save of whose visits the oldest, or all,
            are deleted already.
        reasons: missing orders per reason, the most frequent first.
        evidence: what was seen beside the reasons, in the hour that lost most.
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
    first_deadline: datetime | None
    last_deadline: datetime | None
    reasons: Mapping[str, int]
    evidence: str
    orders_expected_missing: int = 0
    orders_with_fewer_keys: int = 0
    visits_until: datetime | None = None
    fewer_visits: int = 0
    no_visits: int = 0

    @property
    def hours(self) -> int:
        """How many hours are flagged."""
        return len(self.missing)

    @property
    def orders(self) -> int:
        """Orders known to be missing; those of unmaterialized hours are not among them."""
        return sum(count or 0 for count in self.missing.values())

    @property
    def unknown_hours(self) -> int:
        """Hours whose orders nobody has counted yet."""
        return sum(count is None for count in self.missing.values())

    @property
    def savable(self) -> bool:
        """Whether materializing the range, as it is, can still deliver anything."""
        return self.first_deadline is not None

    @property
    def clock(self) -> datetime | None:
        """When it first gets worse by waiting: an order is too old, or its visits are deleted."""
        return min((at for at in (self.first_deadline, self.visits_until) if at), default=None)

    @property
    def matched_again(self) -> bool:
        """Whether saving it begins before delivery, so that orders look for their visits again.
        Otherwise its events are stored as they will be sent, with all their match keys."""
        return self.cause.matched_again or self.unknown_hours > 0

    @property
    def as_stored(self) -> bool:
        """Whether it is better not matched again: its events are stored, its visits are not."""
        return not self.matched_again and self.fewer_visits + self.no_visits > 0

    @property
    def partition_range(self) -> str:
        """The range as `dagster asset materialize --partition-range` takes it."""
        return f"{hour_key(self.first_hour)}...{hour_key(self.last_hour)}"

    @property
    def headline(self) -> str:
        """What happened, as a clause without capital or full stop."""
        return self.cause.headline_for(self.reasons)

    @property
    def remedy(self) -> str:
        """What a person should do; the range is `partition_range`."""
        return self.cause.remedy_for(self.reasons)


def gaps(flags: pa.Table) -> list[Gap]:
    """The gaps among flagged hours, in time order.

    Args:
        flags: the table of `flags.flag_hours`, unflagged hours included: a quiet hour without
            eligible orders between two hours of one cause does not break a gap, a good hour does.
    """
    runs: list[list[dict[str, Any]]] = []
    reach: datetime | None = None  # the run may continue at the hour after this one
    for row in flags.sort_by("hour").to_pylist():
        hour = row["hour"].astimezone(UTC)
        touching = reach is not None and hour - reach <= HOUR
        if row["flagged"]:
            if touching and runs[-1][-1]["cause"] == row["cause"]:
                runs[-1].append(row)
            else:
                runs.append([row])
            reach = hour
        elif touching and row["judged"] and row["eligible"] == 0:
            reach = hour
        else:
            reach = None
    return [_gap(run) for run in runs]


def _gap(run: Sequence[Mapping[str, Any]]) -> Gap:
    first, last = (row["hour"].astimezone(UTC) for row in (run[0], run[-1]))
    deadlines = [row["first_deadline"].astimezone(UTC) for row in run if row["first_deadline"]]
    visits = [row["visits_until"].astimezone(UTC) for row in run if row["visits_until"]]
    worst = max(
        run,
        key=lambda row: tuple(
            row[n] or 0
            for n in ("missing", "orders_expected_missing", "unmatched", "orders_with_fewer_keys")
        ),
    )
    return Gap(
        id=f"{run[0]['cause']}-{first:%Y-%m-%dT%H}",
        cause=Cause(run[0]["cause"]),
        severity=ERROR if any(row["severity"] == ERROR for row in run) else WARN,
        first_hour=first,
        last_hour=last,
        missing={row["hour"].astimezone(UTC): row["missing"] for row in run},
        money=_sum(row["missing_money"] for row in run),
        recoverable=sum(row["recoverable"] or 0 for row in run),
        recoverable_money=_sum(row["recoverable_money"] for row in run),
        correctable=sum(row["correctable"] or 0 for row in run),
        correctable_money=_sum(row["correctable_money"] for row in run),
        unmatched=sum(row["unmatched"] or 0 for row in run),
        first_deadline=min(deadlines, default=None),
        last_deadline=max(deadlines, default=None),
        reasons=_ranked(orjson.loads(row["reasons"] or "{}") for row in run),
        evidence=worst["evidence"] or "",
        orders_expected_missing=sum(row["orders_expected_missing"] or 0 for row in run),
        orders_with_fewer_keys=sum(row["orders_with_fewer_keys"] or 0 for row in run),
        visits_until=min(visits, default=None),
        fewer_visits=sum(row["visits_remaining"] == "some" for row in run),
        no_visits=sum(row["visits_remaining"] == "none" for row in run),
    )


def merged(parts: Sequence[Gap]) -> Gap:
    """Several gaps of one cause told as one, with the name of the first."""
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=lambda gap: gap.first_hour)
    worst = max(parts, key=lambda gap: gap.orders)
    return Gap(
        id=parts[0].id,
        cause=parts[0].cause,
        severity=ERROR if any(gap.severity == ERROR for gap in parts) else WARN,
        first_hour=parts[0].first_hour,
        last_hour=max(gap.last_hour for gap in parts),
        missing={hour: count for gap in parts for hour, count in gap.missing.items()},
        money=_add(gap.money for gap in parts),
        recoverable=sum(gap.recoverable for gap in parts),
        recoverable_money=_add(gap.recoverable_money for gap in parts),
        correctable=sum(gap.correctable for gap in parts),
        correctable_money=_add(gap.correctable_money for gap in parts),
        unmatched=sum(gap.unmatched for gap in parts),
        first_deadline=min((g.first_deadline for g in parts if g.first_deadline), default=None),
        last_deadline=max((g.last_deadline for g in parts if g.last_deadline), default=None),
        reasons=_ranked(gap.reasons for gap in parts),
        evidence=worst.evidence,
        orders_expected_missing=sum(gap.orders_expected_missing for gap in parts),
        orders_with_fewer_keys=sum(gap.orders_with_fewer_keys for gap in parts),
        visits_until=min((g.visits_until for g in parts if g.visits_until), default=None),
        fewer_visits=sum(gap.fewer_visits for gap in parts),
        no_visits=sum(gap.no_visits for gap in parts),
    )


def _ranked(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _sum(texts: Iterable[str | None]) -> dict[str, float]:
    return _add(orjson.loads(text or "{}") for text in texts)


def _add(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for money in amounts:
        for currency, value in money.items():
            total[currency] += value
    return {currency: round(total[currency], 4) for currency in sorted(total)}
