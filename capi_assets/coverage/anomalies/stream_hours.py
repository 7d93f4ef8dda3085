"""The orders of each stream on an hourly grid: the input of unusual_orders.py.

A stream is a dataset and event name. `attribution_health` has a row for each of its currencies;
hours that a former version wrote, without the columns read here, are not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, WEEKS, Flags, Floats
from capi_assets.coverage.anomalies.demand import MIN_EXPECTED_VISITS
from capi_assets.coverage.anomalies.distinct import distinct
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.hours import HOUR

_CONSENT = ("no_consent", "consent_withdrawn", "consent_not_recorded")
_STATUS = ("not_confirmed", "test_order", "cancelled", "refunded")

_COUNTS = ("orders", "pending", "withheld", "eligible", "delivered", "zero_value", "lookalikes")
_PLAIN = (*_COUNTS, "shared_event_id", "value_withheld", "value_p50", "freshness_p50_minutes")
STREAM_HISTORY = (
    *("hour", "dataset_id", "event_name", "currency", "visits", "quarantined", "withheld_reasons"),
    *("value_orders", "value_quarantined", *_PLAIN),
)
"""Columns of `attribution_health` that are read here."""


def _sum_of(reasons: Sequence[str]) -> str:
    counts = (f"coalesce(CAST(withheld_reasons->>'{r}' AS BIGINT), 0)" for r in reasons)
    return " + ".join(counts)


_ROWS = f"""
SELECT date_diff('hour', $start, hour) AS at, dataset_id, event_name,
    coalesce(currency, '') AS currency, visits,
    withheld_reasons IS NOT NULL AND zero_value IS NOT NULL AND lookalikes IS NOT NULL
        AND shared_event_id IS NOT NULL AS known,
    {_sum_of(_CONSENT)} AS no_consent, {_sum_of(_STATUS)} AS not_confirmed,
    orders - quarantined AS readable, eligible - quarantined AS sendable,
    value_orders - value_withheld - value_quarantined AS value_sendable,
    {", ".join(_PLAIN)}
FROM health
"""

_MEMORY = WEEKS * WEEK // DAY  # days
_MIN_WEEKS = 4  # as in count_models: enough for an average that ignores one bad week
_MIN_DAYS = 5  # else the same hour of the last two weeks; below five one weekend would decide


@dataclass(frozen=True, slots=True)
class StreamHours:
    """Orders per series and hour, from midnight UTC on.

    Attributes:
        series: dataset, event name and currency (`""` without one) of each row of a column.
        known: which hours were counted with all columns.
        columns: by name; a median where there is no order is NaN, a count 0.
    """

    start: datetime
    series: tuple[tuple[str, str, str], ...]
    known: Flags
    visits: Floats
    columns: dict[str, Floats]

    @property
    def streams(self) -> tuple[tuple[str, str], ...]:
        """Dataset and event name, in order."""
        return tuple(dict.fromkeys(key[:2] for key in self.series))

    def per_stream(self, name: str) -> Floats:
        """A count per stream, over its currencies; of several streams the last row is their sum."""
        place = {stream: n for n, stream in enumerate(self.streams)}
        totals = np.zeros((len(place), len(self.known)))
        np.add.at(totals, [place[key[:2]] for key in self.series], self.columns[name])
        return np.vstack([totals, totals.sum(axis=0)]) if len(place) > 1 else totals

    def of_row(self, row: int) -> list[int]:
        """The series of a row of `per_stream`."""
        streams = self.streams
        is_whole = row == len(streams)
        return [n for n, key in enumerate(self.series) if is_whole or key[:2] == streams[row]]

    def hour(self, at: int) -> datetime:
        """The start of the hour at a position."""
        return self.start + at * HOUR


def stream_hours(tables: Iterable[pa.Table], last: datetime) -> StreamHours | None:
    """The hours of `tables` (columns of STREAM_HISTORY) that begin by `last`; None if there is
    none."""
    health = pa.concat_tables([table.select(STREAM_HISTORY) for table in tables])
    health = health.filter(pc.less_equal(health["hour"], pa.scalar(last, health["hour"].type)))
    if not health.num_rows:
        return None
    first, final = (f(health["hour"]).as_py().astimezone(UTC) for f in (pc.min, pc.max))
    start = first.replace(hour=0)
    with duckdb_with(health=health) as connection:
        rows = query(connection, _ROWS, {"start": start})
    size = (int((final - start) / HOUR) // DAY + 1) * DAY
    at = rows["at"].to_numpy()
    known, visits = np.zeros(size, dtype=bool), np.zeros(size)
    known[at] = True
    known[at[~rows["known"].to_numpy()]] = False
    np.maximum.at(visits, at, rows["visits"].to_numpy().astype(np.float64))
    keys, place = distinct(*(rows[name] for name in ("dataset_id", "event_name", "currency")))
    named = np.array([bool(event) for _, event, _ in keys])
    series = tuple((dataset, event, currency) for dataset, event, currency in keys if event)
    used = named[place]
    where = (np.cumsum(named) - 1)[place[used]], at[used]
    columns = {}
    for name in rows.column_names[6:]:
        grid = np.full((len(series), size), np.nan if name.endswith(("p50", "minutes")) else 0.0)
        grid[where] = rows[name].to_numpy().astype(np.float64)[used]
        columns[name] = grid
    return StreamHours(start, series, known, visits, columns)


def usual_counts(counts: Floats, known: Flags) -> Floats:
    """What each hour usually holds, per row of `counts`, from the known hours of the days before;
    NaN while there are too few. `counts` begins at midnight."""
    rows, size = counts.shape
    usual = np.full_like(counts, np.nan)
    learnable = known & ~np.isnan(counts).any(axis=0)
    for day in range(size // DAY):
        past = slice(max(day - _MEMORY, 0) * DAY, day * DAY)
        days, good = counts[:, past].reshape(rows, -1, DAY), learnable[past].reshape(-1, DAY)
        by_weekday = good[-7::-7].sum(axis=0) >= _MIN_WEEKS
        by_day = (good[-14:].sum(axis=0) >= _MIN_DAYS) & ~by_weekday
        for same, hours in ((slice(-7, None, -7), by_weekday), (slice(-14, None), by_day)):
            # Hours that are learned from on the same days, at once.
            patterns, pattern = np.unique(good[same].T, axis=0, return_inverse=True)
            for place, learned in enumerate(patterns):
                of_day = np.flatnonzero(hours & (pattern.ravel() == place))
                if len(of_day):
                    samples = days[:, same][:, learned][:, :, of_day]
                    usual[:, day * DAY + of_day] = count_models.location(samples.swapaxes(1, 2))
    return usual


@dataclass(frozen=True, slots=True)
class Demand:
    """How many orders a window usually has, and what its visits promise."""

    orders: Floats
    usual_orders: Floats
    visits: Floats
    usual_visits: Floats

    @classmethod
    def learn(cls, hours: StreamHours) -> Demand:
        """From all known hours before each day; its rows are those of `per_stream`."""
        orders = hours.per_stream("readable")
        usual = usual_counts(np.vstack([orders, hours.visits]), hours.known)
        return cls(orders, usual[:-1], hours.visits, usual[-1])

    def promised(self, row: int, window: slice) -> tuple[float, float, bool]:
        """Orders of the window, orders that its visits promise (NaN: not known), and whether the
        visits say something about them."""
        seen, usual = self.orders[row, window].sum(), self.usual_orders[row, window].sum()
        visits, usual_visits = self.visits[window].sum(), self.usual_visits[window].sum()
        informative = bool(usual_visits >= max(MIN_EXPECTED_VISITS, 0.5 * usual))
        return seen, usual * visits / usual_visits if informative else usual, informative
