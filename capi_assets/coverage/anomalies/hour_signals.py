"""The signals of consecutive hours on an hourly grid, per stream: the input of anomaly detection.

Read from `attribution_health`. The table of signals that people read is in coverage/signals.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.json import read_json

from capi_assets.coverage.anomalies.anomaly import Stream
from capi_assets.coverage.anomalies.count_models import Flags, Floats, Positions
from capi_assets.coverage.anomalies.distinct import distinct
from capi_assets.hours import HOUR

HISTORY = (
    *("hour", "dataset_id", "event_name", "currency", "visits", "visits_with_click_id", "orders"),
    *("quarantined", "withheld", "invalid", "matched", "rejected", "delivered", "eligible"),
    *(
        "matched_eligible",
        "match_keys",
        "action_sources",
        "withheld_reasons",
        "value_orders",
        "value_withheld",
    ),
)
"""Columns of `attribution_health` that detection reads."""


WITHOUT_BROWSER = "without_browser"
"""The reason of orders that are withheld because no visit lends them the browser's data."""

VISITS, CLICKS, ORDERS, SENDABLE, MATCHED, KEYED = range(6)
FIRST_KEY = 6
"""Rows of `HourSignals.counts`: visits, those with a click id, orders; orders that can carry match
keys (neither withheld nor quarantined), those of them that matched a visit, and those of hours in
which match keys were counted. One row per match key follows."""


@dataclass(frozen=True, slots=True)
class HourSignals:
    """Signals per hour from `start` (UTC) on, without holes; an hour never counted is NaN.

    Attributes:
        streams: the first is the whole shop.
        counts: axes stream, signal (VISITS and so on), hour. Visits are the shop's, in every
            stream. Of an action source only orders are known, those that are eligible.
        keys: per match key, its row in `counts`.
        eligible, delivered, refused: orders per stream and hour; refused are those that broke the
            contract or that Meta refuses.
        value: per currency, the money of eligible orders per stream and hour.
        unassigned: per stream and hour, orders that may be of it, since they are quarantined
            before that could be read; they are some of those of the stream in place `above`.
    """

    start: datetime
    streams: tuple[Stream, ...]
    counts: Floats
    keys: Mapping[str, int]
    eligible: Floats
    delivered: Floats
    refused: Floats
    value: Mapping[str, Floats]
    unassigned: Floats
    above: Positions

    def __len__(self) -> int:
        return int(self.counts.shape[2])

    @property
    def known(self) -> Flags:
        """Which hours were ever counted."""
        known: Flags = ~np.isnan(self.counts[0, ORDERS])
        return known

    def hour(self, position: int) -> datetime:
        """The start of the hour at a position."""
        return self.start + position * HOUR


def hour_signals(tables: Iterable[pa.Table], last: datetime) -> HourSignals | None:
    """The hours of `tables` (columns of HISTORY) that begin by `last`; None if there is none.

    An hour written before match keys were counted has NaN for each of them, and its match rate is
    over all orders. A dataset, an event name of it, and an action source of that are streams of
    their own.
    """
    health = pa.concat_tables([table.select(HISTORY) for table in tables])
    health = health.filter(pc.less_equal(health["hour"], pa.scalar(last, health["hour"].type)))
    if not health.num_rows:
        return None
    return _Grid(health).signals()


class _Grid:
    """Sums of rows of `attribution_health` per (dataset, event name) and hour."""

    def __init__(self, health: pa.Table) -> None:
        self.start: datetime = pc.min(health["hour"]).as_py().astimezone(UTC)
        hours = health["hour"].cast(pa.int64()).to_numpy()
        self.at = (hours - hours.min()) // 3_600_000_000
        self.size = int(self.at.max()) + 1
        self.names, self.place = distinct(health["dataset_id"], health["event_name"])
        self.health = health
        self.known = np.zeros(self.size, dtype=bool)
        self.known[self.at] = True

    def column(self, name: str) -> Floats:
        """A column's numbers; NaN where it is null."""
        values: Floats = self.health[name].cast(pa.float64()).to_numpy()
        return values

    def sums(self, values: Floats) -> Floats:
        """Per (dataset, event name) and hour."""
        shape = len(self.names), self.size
        at = self.place * self.size + self.at
        totals = np.bincount(at, weights=values, minlength=shape[0] * shape[1])
        return totals.reshape(shape).astype(np.float64, copy=False)

    def of_hours(self, name: str) -> Floats:
        """A number that all rows of an hour repeat; NaN where the hour is not known."""
        values = np.full(self.size, -np.inf)
        np.fmax.at(values, self.at, self.column(name))
        return np.where(np.isneginf(values), np.nan, values)

    def everywhere(self, name: str) -> Flags:
        """The hours all of whose rows have a value in a column."""
        missing = np.zeros(self.size, dtype=bool)
        missing[self.at[self.health[name].is_null().to_numpy()]] = True
        return ~missing

    def counted(self, name: str) -> dict[str, Floats]:
        """A column of `{"word": count}` as sums per word."""
        texts = self.health[name].combine_chunks().dictionary_encode()
        rows = texts.indices.to_numpy(zero_copy_only=False)
        # Texts repeat, so that each is read once.
        lines = "\n".join(text or "{}" for text in texts.dictionary.to_pylist())
        if not lines.strip("{}\n"):
            return {}
        counts = read_json(pa.BufferReader(lines.encode()))
        numbers = {
            word: counts[word].cast(pa.float64()).fill_null(0.0).to_numpy()
            for word in sorted(counts.column_names)
        }
        has_text = ~np.isnan(rows)
        at = np.where(has_text, rows, 0).astype(np.intp)
        return {word: self.sums(np.where(has_text, of[at], 0.0)) for word, of in numbers.items()}

    def signals(self) -> HourSignals:
        sent = self.column("eligible") - self.column("quarantined")
        complete = self.everywhere("matched_eligible")[self.at]
        keyed = self.sums(np.where(complete, sent, self.column("orders")))
        # Orders withheld for want of a visit would carry match keys if it were there.
        sendable = keyed + self.counted("withheld_reasons").get(WITHOUT_BROWSER, 0.0)
        matched = np.where(complete, self.column("matched_eligible"), self.column("matched"))
        orders = self.sums(self.column("orders"))
        refused = sum(self.column(name) for name in ("quarantined", "invalid", "rejected"))
        no_keys = ~self.everywhere("match_keys") & (keyed.sum(axis=0) > 0)
        with_keys = np.where(no_keys, np.nan, 0.0)
        keys = self.counted("match_keys")
        money = self.column("value_orders") - self.column("value_withheld")
        currencies = self.health["currency"].fill_null("").to_numpy(zero_copy_only=False)
        sources = self.counted("action_sources")
        streams = self._streams(sources)
        counts = [
            np.broadcast_to(self.of_hours("visits"), (len(streams), self.size)),
            np.broadcast_to(self.of_hours("visits_with_click_id"), (len(streams), self.size)),
            self._rows(streams, orders),
            self._rows(streams, sendable),
            self._rows(streams, self.sums(matched)),
            self._rows(streams, keyed + with_keys),
            *(self._rows(streams, of_key + with_keys) for of_key in keys.values()),
        ]
        nameless = [n for n, (dataset, event) in enumerate(self.names) if not (dataset and event)]
        unassigned = np.tile(orders[nameless].sum(axis=0), (len(streams), 1))
        unassigned[0] = 0.0
        above = np.zeros(len(streams), dtype=np.intp)
        quarantined = self.sums(self.column("quarantined"))
        places = {stream: place for place, stream in enumerate(streams)}
        pairs = {pair: place for place, pair in enumerate(self.names)}
        for place, stream in enumerate(streams):
            if stream.action_source:
                pair = pairs[stream.dataset_id, stream.event_name]
                of_source = sources[stream.action_source][pair]
                counts[ORDERS][place] = np.where(self.known, of_source, np.nan)
                unassigned[place] += quarantined[pair]
                above[place] = places[stream.parent]
        # All numbers of an hour are side by side in memory: hours are read one after the other.
        by_hour = np.empty((self.size, len(streams), len(counts)))
        for row, values in enumerate(counts):
            by_hour[:, :, row] = values.T
        return HourSignals(
            self.start,
            tuple(streams),
            np.moveaxis(by_hour, 0, -1),
            keys={key: FIRST_KEY + n for n, key in enumerate(keys)},
            eligible=self._rows(streams, self.sums(self.column("eligible"))),
            delivered=self._rows(streams, self.sums(self.column("delivered"))),
            refused=self._rows(streams, self.sums(np.asarray(refused))),
            value={
                currency: self._rows(streams, self.sums(np.where(currencies == currency, money, 0)))
                for currency in sorted(set(currencies))
            },
            unassigned=unassigned,
            above=above,
        )

    def _streams(self, sources: Mapping[str, Floats]) -> list[Stream]:
        named = [Stream(d, e) for d, e in self.names if d and e]
        streams = {Stream(), *named, *(stream.parent for stream in named)}
        of_pair: defaultdict[Stream, list[Stream]] = defaultdict(list)
        for source, orders in sources.items():
            for place in np.flatnonzero(orders.any(axis=1)):
                dataset, event = self.names[place]
                stream = Stream(dataset, event, source)
                of_pair[stream.parent].append(stream)
        # Of a single action source there is nothing to say that its event name does not say.
        parts = (of_pair[stream] for stream in named if len(of_pair[stream]) > 1)
        return sorted(streams.union(*parts))

    def _rows(self, streams: list[Stream], base: Floats) -> Floats:
        """Sums of the streams, from those per (dataset, event name); NaN for action sources."""
        rows = np.full((len(streams), self.size), np.nan)
        base = np.where(self.known, base, np.nan)
        places = {stream: place for place, stream in enumerate(streams)}
        rows[[place for place, stream in enumerate(streams) if not stream.action_source]] = 0.0
        rows[0] = base.sum(axis=0)
        for values, (dataset, event) in zip(base, self.names, strict=True):
            for stream in {Stream(dataset), Stream(dataset, event)} - {Stream()}:
                if stream in places:
                    rows[places[stream]] += values
        return rows
