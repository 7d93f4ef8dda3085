"""Which share of the sendable events carried each match key before, during and after an outage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.formatting import percent
from capi_assets.lake import Lake
from capi_assets.meta.events.user_data import USER_DATA_FIELDS


def key_shares_table(
    lake: Lake, hours: Sequence[datetime], start: datetime, end: datetime
) -> Table:
    """As the events are stored; keys that no event carries are left out."""
    columns = ["occurred_at", "verdict", "match_keys"]
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), columns)
    ready = events.filter(pc.equal(events["verdict"], "ready"))
    occurred = ready["occurred_at"]
    bounds = [pa.scalar(each, UTC_MICROSECONDS) for each in (start, end)]
    parts: dict[str, Callable[[], pa.ChunkedArray]] = {
        "before": lambda: pc.less(occurred, bounds[0]),
        "during": lambda: pc.and_(
            pc.greater_equal(occurred, bounds[0]), pc.less(occurred, bounds[1])
        ),
        "after": lambda: pc.greater_equal(occurred, bounds[1]),
    }
    table = Table(title="Match keys of the events, as first built", title_justify="left")
    table.add_column("")
    counts: dict[str, tuple[Counter[str], int]] = {}
    for name, inside in parts.items():
        table.add_column(name, justify="right")
        texts = ready.filter(inside())["match_keys"].to_pylist()
        keys = Counter(key for text in texts for key in (text or "").split())
        counts[name] = (keys, len(texts))
    for key in USER_DATA_FIELDS:
        if any(found[key] for found, _ in counts.values()):
            shares = [
                percent(found[key] / total if total else None) for found, total in counts.values()
            ]
            table.add_row(key, *shares)
    return table
