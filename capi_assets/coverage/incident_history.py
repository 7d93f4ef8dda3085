"""The history of each incident, for the report: those of its gaps (gap_history.py) as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.gaps import total_money
from capi_assets.coverage.incidents import Incident, grouped, incident, is_related


@dataclass(frozen=True, slots=True)
class IncidentHistory(GapHistory):
    """The history of gaps that share an evidence; its `gap` is `incident.total`."""

    incident: Incident


def incident_histories(histories: Iterable[GapHistory]) -> list[IncidentHistory]:
    """One history per incident, in time order. What was recovered whole is told apart from what is
    still missing."""
    ordered = sorted(histories, key=lambda h: (h.gap.first_hour, h.gap.cause))
    return [_joined(group) for group in grouped(ordered, _is_same)]


def _is_same(one: GapHistory, other: GapHistory) -> bool:
    return one.is_over == other.is_over and is_related(one.gap, other.gap)


def _joined(group: Sequence[GapHistory]) -> IncidentHistory:
    joined = incident([history.gap for history in group])
    reasons: Counter[str] = Counter()
    for history in group:
        reasons.update(history.reasons)
    times = [history.recovered_at for history in group if history.recovered_at]
    left = [history.least_time_left for history in group if history.least_time_left is not None]
    return IncidentHistory(
        gap=joined.total,
        recovered=sum(history.recovered for history in group),
        recovered_money=total_money(history.recovered_money for history in group),
        recovered_at=max(times, default=None),
        least_time_left=min(left, default=None),
        reasons=dict(reasons.most_common()),
        incident=joined,
    )
