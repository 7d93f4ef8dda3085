"""The sample shop: days of visits and orders of fictional people, of any size, reproducible.

A row depends only on the seed, its hour and its place in the hour, so hours can be generated in
any order and again. What was planted (no consent, broken rows, repeats, outages) is in the columns
PLANTED of `Shop.landings`. files.py writes the landing files. Called by the demo, by tests and
benchmarks.

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
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.sandbox.shop.customers import where, with_column
from capi_assets.sandbox.shop.keyed_random import Flags, Ints, KeyedRandom
from capi_assets.sandbox.shop.orders import Orders
from capi_assets.sandbox.shop.outages import Outage, OutageKind, arrival, hit, order_factor
from capi_assets.sandbox.shop.seasonality import HOUR_MS, Stream, to_ms
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
        return 0 if self.opened is None else to_ms(self.opened) // HOUR_MS

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
        return landing_columns(pa.concat_tables(self.landings("visits", start, end, until)))

    def orders(self, start: datetime, end: datetime, until: datetime | None = None) -> Any:
        """Landing rows of `orders`, likewise; `value` is text (a few are no numbers), `num_items`
        int64. A repeated order_id is the same order again, later rows holding the later status.
        """
        return landing_columns(pa.concat_tables(self.landings("orders", start, end, until)))

    def landings(
        self, table: str, start: datetime, end: datetime, until: datetime | None = None
    ) -> Iterator[Any]:
        """The rows in blocks of whole hours: landing columns and PLANTED."""
        make = {"visits": self._visits, "orders": self._orders}[table]
        first, last = to_ms(start), to_ms(end)
        stream = self._traffic.stream if table == "visits" else self._order_stream
        hours = np.arange(first // HOUR_MS, -(-last // HOUR_MS), dtype=np.int64)
        factor = 1.0 if table == "visits" else order_factor(self.outages, hours)
        counts = stream.counts(hours, factor)
        for block in _blocks(counts):
            rows = make(hours[block], counts[block])
            at, lands = (rows[name].to_numpy() for name in ("_at", LANDS))
            kept = (at >= first) & (at < last) & ~hit(self.outages, _MISSING[table], at)
            if until is not None:
                kept &= lands <= to_ms(until)
            occurred = pc.cast(rows["_at"], pa.timestamp("ms", tz="UTC")).cast(_TIME)
            rows = with_column(rows, "_at", occurred, "occurred_at").filter(kept)
            yield rows.take(np.lexsort((lands[kept], rows["_hour"].to_numpy())))

    def _visits(self, hours: Ints, counts: Ints) -> Any:
        hour, index = _places(hours, counts)
        visits = self._traffic.visits(hour, index)
        columns = visits.columns()
        lost = self._lose_keys(columns, visits.at)
        if lost.any():  # a regular expression over every address is slow
            bare = pc.replace_substring_regex(columns["page_url"], r"\?.*", "")
            columns["page_url"] = where(lost, bare, columns["page_url"])
        lands = arrival(self.outages, visits.at)
        first = {"visit_id": columns.pop("visit_id"), "_at": visits.at}
        return pa.table({**first, **columns, "_hour": hour, LANDS: lands})

    def _orders(self, hours: Ints, counts: Ints) -> Any:
        hour, index = _places(hours, counts)
        at = self._order_stream.at(hour, index, np.repeat(counts, counts))
        shares = (self.broken, self.mistaken)
        orders = Orders(self._traffic, hour, index, at, *shares, self.currency)
        columns = orders.columns()
        self._lose_keys(columns, at)
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
        later = with_column(rows.take(again), LANDS, pa.array(lands))
        later = with_column(later, "status", pc.coalesce(statuses, later["status"]))
        return pa.concat_tables([rows, later])

    def _lose_keys(self, columns: dict[str, Any], at: Ints) -> Flags:
        lost = hit(self.outages, "match_keys_lost", at)
        for key in _LOST_KEYS:
            columns[key] = where(~lost, columns[key])
        return lost


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
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(hours, counts), np.arange(len(first), dtype=np.int64) - first


def landing_columns(rows: Any) -> Any:
    """The columns of generated rows that are written to landing files."""
    return rows.select([name for name in rows.column_names if name not in PLANTED])
