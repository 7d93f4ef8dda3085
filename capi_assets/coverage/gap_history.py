"""The history of each gap: start, cause, what was missing, recovered, and is unrecoverable.

A gap of today (gaps.py) knows what is missing now; joined with the orders that were delivered late
(late_orders.py) it has its whole history, also when nothing of it is missing any more. Called by
the report; reads nothing itself.

    late = late_orders(delivery_results, policy)
    histories = gap_histories(flag_hours(health, policy, now), late, late_causes(late, ...))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.flags import FLAGS
from capi_assets.coverage.gaps import Gap, gaps, total_money
from capi_assets.coverage.late_orders import LateCause
from capi_assets.coverage.policy import WARN
from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True)
class GapHistory:
    """A gap from its start until now. Money is per currency, `""` where there is none.

    Attributes:
        gap: what is still missing; zero orders in hours that were recovered.
        recovered: orders that were missing when their hour was due, and are at Meta now.
        recovered_at: when the last of them was delivered; None if none was.
        least_time_left: the shortest time to its deadline that one of them had on delivery.
        reasons: reasons of failed attempts and of missing orders, the most frequent first.
    """

    gap: Gap
    recovered: int
    recovered_money: Mapping[str, float]
    recovered_at: datetime | None
    least_time_left: timedelta | None
    reasons: Mapping[str, int]

    @property
    def missing_at_first(self) -> int:
        """Orders that were missing, including those recovered since."""
        return self.gap.orders + self.recovered

    @property
    def missing_at_first_money(self) -> dict[str, float]:
        return _combined(self.gap.money, self.recovered_money, 1)

    @property
    def unrecoverable(self) -> int:
        """Orders that can no longer be delivered, not even with corrected input."""
        return max(self.gap.orders - self.gap.recoverable - self.gap.correctable, 0)

    @property
    def unrecoverable_money(self) -> dict[str, float]:
        if not self.unrecoverable:
            return {}
        rest = _combined(self.gap.money, self.gap.recoverable_money, -1)
        return _combined(rest, self.gap.correctable_money, -1)

    @property
    def is_over(self) -> bool:
        """Whether nothing is missing any more, and no order has fewer match keys than usual."""
        gap = self.gap
        return not (gap.orders or gap.unknown_hours or gap.estimated_orders)


def gap_histories(
    flags: pa.Table, late: pa.Table, late_causes: Mapping[datetime, LateCause]
) -> list[GapHistory]:
    """One history per gap among flagged and late hours, in time order; a gap has one cause.

    Args:
        flags: the table of `flags.flag_hours`.
        late: the table of `late_orders.late_orders`.
        late_causes: per late hour, the result of `late_orders.late_causes`.
    """
    rows = flags.to_pylist()
    causes = {Cause(finding["cause"]) for row in rows for finding in row["findings"] or ()}
    causes |= {late_cause.cause for late_cause in late_causes.values()}
    histories = []
    for cause in causes:
        of_cause = [_as_of(r, cause, late_causes.get(r["hour"])) for r in rows]
        flagged = pa.Table.from_pylist(of_cause, schema=FLAGS)
        histories += [_history(gap, late, late_causes) for gap in gaps(flagged)]
    return sorted(histories, key=lambda history: (history.gap.first_hour, history.gap.cause))


def _as_of(row: Mapping[str, Any], cause: Cause, late: LateCause | None) -> dict[str, Any]:
    """An hour as far as one cause is concerned: flagged now, or once and recovered, or neither."""
    findings = [finding for finding in row["findings"] or () if finding["cause"] == cause]
    if not findings and late is not None and late.cause is cause:
        findings = [{"severity": WARN, "cause": str(cause), "missing": 0}]
        row = {**row, "judged": True}
    return {**row, "flagged": bool(findings), "findings": findings}


def _history(gap: Gap, late: pa.Table, late_causes: Mapping[datetime, LateCause]) -> GapHistory:
    hours = {h for h in gap.missing if h in late_causes and late_causes[h].cause is gap.cause}
    rows = [row for row in late.to_pylist() if row["hour"] in hours]
    money = total_money({row["currency"]: row["value"]} for row in rows)
    reasons = Counter(gap.reasons)
    for hour in hours:
        reasons.update(late_causes[hour].reasons)
    seconds_left = [row["least_seconds_left"] for row in rows]
    return GapHistory(
        gap=gap,
        recovered=sum(row["orders"] for row in rows),
        recovered_money={currency: value for currency, value in money.items() if value},
        recovered_at=max((row["last_delivered_at"].astimezone(UTC) for row in rows), default=None),
        least_time_left=timedelta(seconds=min(seconds_left)) if rows else None,
        reasons=dict(reasons.most_common()),
    )


def _combined(one: Mapping[str, float], other: Mapping[str, float], sign: int) -> dict[str, float]:
    total = {c: round(one.get(c, 0) + sign * other.get(c, 0), 4) for c in {*one, *other}}
    return {currency: total[currency] for currency in sorted(total) if total[currency]}
