"""The sample shop: days of visits and orders of fictional people, of any size, reproducible.

A row depends only on the seed, its hour and its place in the hour, so hours can be generated in
any order and again. What was planted (no consent, broken rows, repeats, outages) is counted by
`Shop.truth`. files.py writes the landing files. Called by the demo, by tests and benchmarks.

    shop = Shop(seed=7, visits_per_day=12_000, opened=start)
    shop.orders(start, start + timedelta(hours=1))  # a pa.Table of landing rows
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.sandbox.shop import ground_truth
from capi_assets.sandbox.shop.customers import where
from capi_assets.sandbox.shop.keyed_random import Flags, Ints, KeyedRandom
from capi_assets.sandbox.shop.orders import Orders
from capi_assets.sandbox.shop.outages import Outage, OutageKind, arrival, hit, order_factor
from capi_assets.sandbox.shop.seasonality import HOUR_MS, Stream
from capi_assets.sandbox.shop.visits import Traffic

_TIME = pa.timestamp("us", tz="UTC")
_MISSING: dict[str, OutageKind] = {"visits": "visits_missing", "orders": "orders_missing"}
_LOST_KEYS = ("fbclid", "fbc", "fbp", "client_ip_address", "email")

# Columns of generated rows that are never written to landing files.
LANDS = "_lands_at"
PLANTED = ("_hour", LANDS, "_order", "_broken", "_mistake", "_weak", "_origin")

# Rows generated at once: bounds memory to some 300 MB at any size of shop.
_BLOCK = 200_000


@dataclass(frozen=True)
class Shop:
    """A shop: its traffic, its share of errors, and its outages.

    `opened` is an aware datetime before which the shop did not exist; without it, early orders may
    come from visits that are not generated. `conversion_rate` is orders per visit; `unconsented`
    is a share of people, `mistaken` and `broken` are shares of orders. A shop sells in one
    `currency`, or, without it, in that of each customer's country.
    """

    seed: int
    visits_per_day: int = 20_000
    conversion_rate: float = 0.03
    opened: datetime | None = None
    outages: tuple[Outage, ...] = ()
    unconsented: float = 0.12
    mistaken: float = 0.04
    broken: float = 0.005
    currency: str | None = None

    @cached_property
    def _random(self) -> KeyedRandom:
        return KeyedRandom(self.seed)

    @cached_property
    def _first_hour(self) -> int:
        return 0 if self.opened is None else _ms(self.opened) // HOUR_MS

    @cached_property
    def _traffic(self) -> Traffic:
        stream = Stream(self._random, "visits", self.visits_per_day, self._first_hour)
        people = max(300, 6 * self.visits_per_day)
        return Traffic(self._random, stream, people, self.unconsented)

    @cached_property
    def _order_stream(self) -> Stream:
        per_day = self.visits_per_day * self.conversion_rate
        return Stream(self._random, "orders", per_day, self._first_hour)

    def visits(self, start: datetime, end: datetime, until: datetime | None = None) -> Any:
        """Landing rows of `visits` in `[start, end)` that have landed by `until`, in that order.

        Columns are those that may land (docs/data-dictionary.md);
        `occurred_at` is timestamp[us, UTC], `consent` bool,
        all else text. Contact data is raw.
        """
        return _landing_columns(self.landings("visits", start, end, until))

    def orders(self, start: datetime, end: datetime, until: datetime | None = None) -> Any:
        """Landing rows of `orders`, likewise; `value` is text (a few are no numbers), `num_items`
        int64. A repeated order_id is the same order again, later rows holding the later status.
        """
        return _landing_columns(self.landings("orders", start, end, until))

    def landings(
        self, table: str, start: datetime, end: datetime, until: datetime | None = None
    ) -> Iterator[Any]:
        """The rows in blocks of whole hours: landing columns and PLANTED."""
        make = {"visits": self._visits, "orders": self._orders}[table]
        first, last = _ms(start), _ms(end)
        stream = self._traffic.stream if table == "visits" else self._order_stream
        hours = np.arange(first // HOUR_MS, -(-last // HOUR_MS), dtype=np.int64)
        factor = 1.0 if table == "visits" else order_factor(self.outages, hours)
        counts = stream.counts(hours, factor)
        for block in _blocks(counts):
            rows = make(hours[block], counts[block])
            at = _column(rows, "_at")
            kept = (at >= first) & (at < last)
            kept &= ~hit(self.outages, _MISSING[table], at)
            if until is not None:
                kept &= _column(rows, LANDS) <= _ms(until)
            rows = rows.filter(pa.array(kept))
            order = np.lexsort((_column(rows, LANDS), _column(rows, "_hour")))
            occurred = (pc.cast(rows["_at"], pa.timestamp("ms", tz="UTC"))).cast(_TIME)
            rows = rows.set_column(rows.column_names.index("_at"), "occurred_at", occurred)
            yield rows.take(pa.array(order))

    def _visits(self, hours: Ints, counts: Ints) -> Any:
        hour, index = _places(hours, counts)
        visits = self._traffic.visits(hour, index)
        lost = hit(self.outages, "match_keys_lost", visits.at)
        columns = visits.columns()
        _lose(columns, lost)
        if lost.any():
            bare = pc.replace_substring_regex(columns["page_url"], r"\?.*", "")
            columns["page_url"] = where(lost, bare, columns["page_url"])
        lands = arrival(self.outages, visits.at)
        visit_id = columns.pop("visit_id")
        return pa.table(
            {"visit_id": visit_id, "_at": visits.at, **columns, "_hour": hour, LANDS: lands}
        )

    def _orders(self, hours: Ints, counts: Ints) -> Any:
        hour, index = _places(hours, counts)
        at = self._order_stream.at(hour, index, np.repeat(counts, counts))
        orders = Orders(
            self._random,
            self._traffic,
            hour,
            index,
            at,
            self.broken,
            self.mistaken,
            self.currency,
        )
        columns = orders.columns()
        _lose(columns, hit(self.outages, "match_keys_lost", at))
        unreadable = hit(self.outages, "broken_phones", at)
        columns["phone"] = where(unreadable, "undefined", columns["phone"])
        rows = pa.table(
            {
                "order_id": columns.pop("order_id"), "_at": at, **columns, "_hour": hour, LANDS: at,
                "_order": orders.order_id, "_broken": orders.broken, "_mistake": orders.mistake,
                "_weak": orders.weak, "_origin": orders.origin,
            }
        )  # fmt: skip
        again, statuses, lands = orders.repeats()
        later = rows.take(pa.array(again))
        changed = pc.coalesce(statuses, later["status"])
        later = later.set_column(later.column_names.index("status"), "status", changed)
        later = later.set_column(later.column_names.index(LANDS), LANDS, pa.array(lands))
        return pa.concat_tables([rows, later])

    def origins(self, start: datetime, end: datetime) -> Any:
        """order_id and visit_id of the visit that each order came from (null: from none)."""
        return ground_truth.origins(self.landings("orders", start, end))

    def truth(self, start: datetime, end: datetime, until: datetime | None = None) -> pd.DataFrame:
        """What was planted, counted per hour; see `truth.count`."""
        orders = self.landings("orders", start, end, until)
        return ground_truth.count(self.landings("visits", start, end, until), orders, start, end)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


def _blocks(counts: Ints) -> Iterator[slice]:
    """Runs of whole hours of about _BLOCK rows; always at least one run, maybe of no rows."""
    start, rows = 0, 0
    for position, count in enumerate(counts):
        if rows and rows + count > _BLOCK:
            yield slice(start, position)
            start, rows = position, 0
        rows += int(count)
    yield slice(start, len(counts))


def _places(hours: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Hour and place in the hour of every row."""
    hour = np.repeat(hours, counts)
    return hour, np.arange(len(hour), dtype=np.int64) - np.repeat(
        np.cumsum(counts) - counts, counts
    )


def _lose(columns: dict[str, Any], lost: Flags) -> None:
    if lost.any():
        for key in _LOST_KEYS:
            columns[key] = where(~lost, columns[key])


def _column(rows: Any, name: str) -> Ints:
    column: Ints = rows[name].to_numpy()
    return column


def _landing_columns(blocks: Iterator[Any]) -> Any:
    rows = pa.concat_tables(blocks)
    return rows.select([name for name in rows.column_names if name not in PLANTED])
