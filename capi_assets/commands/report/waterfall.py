"""The report's waterfall: from all orders down to those at Meta, each loss where it happened.

Stages without orders are left out, except for orders, withheld and delivered. Values are shown for
the currencies of most orders.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.commands.report.table import characters_of
from capi_assets.coverage.formatting import amount, count, join_names, percent
from capi_assets.coverage.labels import LOST_FOR_GOOD, STAGE_LABELS, WAITING
from capi_assets.coverage.outcomes import STAGES

ALWAYS_SHOWN = ("orders", "withheld", "delivered")
_MAX_CURRENCIES = 3
_TRACK = 12
"""Characters that a bar of the full length takes at least."""

_MARKS = {
    "delivered": "main",
    **dict.fromkeys(LOST_FOR_GOOD, "lost"),
    **dict.fromkeys(WAITING, "waiting"),
}


@dataclass(frozen=True, slots=True)
class WaterfallTotals:
    """Orders and values per stage (`orders` included) over rows of `attribution_health`.

    `currencies` begins with that of most orders; `""` is among them where orders without a
    currency have a value. `without_browser` orders are in the stages too.
    """

    orders: dict[str, int]
    values: dict[tuple[str, str], float]
    currencies: list[str]
    without_browser: int = 0

    @property
    def eligible(self) -> int:
        return self.orders["orders"] - self.orders["withheld"]

    @property
    def missing(self) -> int:
        return max(self.eligible - self.orders["delivered"], 0)

    @property
    def coverage(self) -> float | None:
        return self.orders["delivered"] / self.eligible if self.eligible > 0 else None


@dataclass(frozen=True, slots=True)
class BarRow:
    """A row of `bars.html`: a label, a bar from `start` over `length` per cent, and cells."""

    label: str
    mark: str
    start: float
    length: float
    cells: list[str]
    is_strong: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """What `bars.html` draws; `header` names the cells, and is empty where they need no name."""

    rows: list[BarRow]
    header: list[str]

    @property
    def characters(self) -> int:
        """How many characters wide it is, at least, with its bars."""
        header = ["", *(self.header or [""] * len(self.rows[0].cells))]
        return _TRACK + characters_of(header, [[row.label, *row.cells] for row in self.rows])


def waterfall_totals(health: pa.Table) -> WaterfallTotals:
    """The sums of `attribution_health`, over all its rows."""
    names = ["orders", *STAGES]
    sums = (
        health.select(["currency", *names, *(f"value_{name}" for name in names)])
        .group_by("currency")
        .aggregate([(f"{prefix}{name}", "sum") for prefix in ("", "value_") for name in names])
        .to_pylist()
    )
    orders: Counter[str] = Counter(dict.fromkeys(names, 0))
    values: defaultdict[tuple[str, str], float] = defaultdict(float)
    weight: Counter[str] = Counter()
    for row in sums:
        currency = row["currency"] or ""
        weight[currency] += row["orders_sum"] or 0
        for name in names:
            orders[name] += row[f"{name}_sum"] or 0
            values[name, currency] += row[f"value_{name}_sum"] or 0.0
    priced = {currency for (_, currency), value in values.items() if value}
    used = [c for c, number in weight.items() if number and (c or "" in priced)]
    currencies = sorted(used, key=lambda c: (-weight[c], c))
    without_browser = pc.sum(health["without_browser"]).as_py() or 0
    return WaterfallTotals(orders, values, currencies, without_browser)


def waterfall_headline(totals: WaterfallTotals) -> list[str]:
    """`97.3 % reached Meta: 4,120 of 4,233 eligible orders`, and which currencies are not shown."""
    if not totals.orders["orders"]:
        return ["No orders"]
    if totals.eligible <= 0:
        return [f"{count(totals.orders['orders'], 'order')}, all withheld on purpose"]
    lines = [
        f"{percent(totals.coverage)} reached Meta: {totals.orders['delivered']:,} of"
        f" {count(totals.eligible, 'eligible order')}"
    ]
    if others := totals.currencies[_MAX_CURRENCIES:]:
        more = " and more" if len(others) > 4 else ""
        names = join_names(currency or "no currency" for currency in others[:4])
        lines.append(f"Values in {names}{more} are not shown here.")
    if totals.without_browser:
        share = percent(totals.without_browser / totals.orders["orders"])
        lines.append(
            f"{count(totals.without_browser, 'website order')} ({share} of all orders) without"
            " browser data: Meta may not use them for optimisation, targeting or measurement."
        )
    return lines


def waterfall_bars(totals: WaterfallTotals) -> Bars:
    """A row per stage: each loss is drawn where the one above it begins."""
    currencies = totals.currencies[:_MAX_CURRENCIES]
    rows, left = [], totals.orders["orders"]
    for stage, label in STAGE_LABELS.items():
        orders = totals.orders[stage]
        if not orders and stage not in ALWAYS_SHOWN:
            continue
        is_total = stage in ("orders", "delivered")
        if not is_total:
            left -= orders
        start = 0 if is_total else left
        cells = [f"{orders:,}", *(amount(c, totals.values[stage, c]) for c in currencies)]
        mark = _MARKS.get(stage, "other")
        rows.append(
            BarRow(label, mark, _part(start, totals), _part(orders, totals), cells, is_total)
        )
    return Bars(rows, ["orders", *(currency or "no currency" for currency in currencies)])


def _part(orders: int, totals: WaterfallTotals) -> float:
    """Per cent of all orders; a row that does not close stays inside its track."""
    share = orders / totals.orders["orders"] if totals.orders["orders"] > 0 else 0.0
    return round(100 * min(max(share, 0.0), 1.0), 2)
