"""The story of each gap of a time: start, cause, what was lost, recovered, and gone for good.

A gap of today (gaps.py) knows what is missing now; joined with the orders that were delivered late
(late.py) it is told from its start, also when nothing of it is missing any more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.flags import FLAGS, WARN
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.late_orders import LateCause
from capi_assets.delivery.causes import Cause


@dataclass(frozen=True, slots=True)
class GapHistory:
    """A gap from its start until now. Money is per currency, `""` where there is none.

    Attributes:
        gap: what is still missing; zero orders in hours that were recovered.
        recovered: orders that were missing when their hour was due, and are at Meta now.
        recovered_at: when the last of them was delivered; None if none was.
        spare: the least time that one of them had left when it was delivered.
        reasons: what failed attempts met, or why orders are missing, the most frequent first.
    """

    gap: Gap
    recovered: int
    recovered_money: Mapping[str, float]
    recovered_at: datetime | None
    spare: timedelta | None
    reasons: Mapping[str, int]

    @property
    def lost(self) -> int:
        """Orders that were missing, those that were recovered since included."""
        return self.gap.orders + self.recovered

    @property
    def lost_money(self) -> dict[str, float]:
        return _combined(self.gap.money, self.recovered_money, 1)

    @property
    def gone(self) -> int:
        """Orders that can no longer be saved, by whatever means."""
        return max(self.gap.orders - self.gap.recoverable - self.gap.correctable, 0)

    @property
    def gone_money(self) -> dict[str, float]:
        left = _combined(self.gap.money, self.gap.recoverable_money, -1)
        found = _combined(left, self.gap.correctable_money, -1)
        return found if self.gone else {}

    @property
    def over(self) -> bool:
        """Whether nothing of it is missing, and nothing poorer than usual, any more."""
        gap = self.gap
        still = (
            gap.orders,
            gap.unknown_hours,
            gap.unmatched,
            gap.orders_expected_missing,
            gap.orders_with_fewer_keys,
        )
        return not any(still)


def gap_histories(
    flags: pa.Table, late: pa.Table, why: Mapping[datetime, LateCause]
) -> list[GapHistory]:
    """The gap_histories among flagged and late hours, in time order; one cause each.

    Args:
        flags: the table of `flags.flag_hours`.
        late: the table of `late.late_orders`.
        why: the answer of `late.why_late`.
    """
    rows = flags.to_pylist()
    causes = {Cause(row["cause"]) for row in rows if row["flagged"]}
    causes |= {lateness.cause for lateness in why.values()}
    found = []
    for cause in causes:
        own = [_as_of(row, cause, why.get(row["hour"].astimezone(UTC))) for row in rows]
        found += [_told(gap, late, why) for gap in gaps(pa.Table.from_pylist(own, schema=FLAGS))]
    return sorted(found, key=lambda story: (story.gap.first_hour, story.gap.cause))


def _as_of(row: Mapping[str, Any], cause: Cause, lateness: LateCause | None) -> dict[str, Any]:
    """An hour as far as one cause is concerned: flagged now, or once and recovered, or neither."""
    if row["flagged"] and row["cause"] == cause:
        return dict(row)
    if lateness is None or lateness.cause is not cause:
        return {**row, "flagged": False}
    flagged = {"flagged": True, "severity": WARN, "cause": str(cause), "missing": 0}
    return dict.fromkeys(FLAGS.names) | {"hour": row["hour"], "judged": True} | flagged


def _told(gap: Gap, late: pa.Table, why: Mapping[datetime, LateCause]) -> GapHistory:
    rows = [
        row
        for row in late.to_pylist()
        if (hour := row["hour"].astimezone(UTC)) in gap.missing and why[hour].cause is gap.cause
    ]
    money: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        money[row["currency"]] += row["value"]
    reasons = Counter(gap.reasons)
    for hour in {row["hour"].astimezone(UTC) for row in rows}:
        reasons.update(why[hour].reasons)
    return GapHistory(
        gap=gap,
        recovered=sum(row["orders"] for row in rows),
        recovered_money={c: round(v, 4) for c, v in sorted(money.items()) if round(v, 4)},
        recovered_at=max((row["last_delivered_at"].astimezone(UTC) for row in rows), default=None),
        spare=min((timedelta(seconds=row["least_spare"]) for row in rows), default=None),
        reasons=dict(reasons.most_common()),
    )


def _combined(one: Mapping[str, float], other: Mapping[str, float], sign: int) -> dict[str, float]:
    total = {c: round(one.get(c, 0) + sign * other.get(c, 0), 4) for c in {*one, *other}}
    return {currency: total[currency] for currency in sorted(total) if total[currency]}
