"""The waterfall as a picture: from all orders down to those at Meta, each loss where it happened.

Zero stages are left out, save for orders, withheld and delivered. Money is shown for the currency
of most orders and, where there is room, for the next ones.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.svg import box, hatch, line, text, text_width
from capi_assets.coverage.formatting import amount, count, join_names, percent
from capi_assets.coverage.labels import LOST_FOR_GOOD, STAGE_LABELS, WAITING
from capi_assets.coverage.outcomes import STAGES

_ALWAYS = ("orders", "withheld", "delivered")
_CURRENCIES = 3
_CLASS = {
    "orders": "o",
    "withheld": "o",
    "delivered": "m",
    **dict.fromkeys(LOST_FOR_GOOD, "b"),
    **dict.fromkeys(WAITING, "w"),
}


@dataclass(frozen=True, slots=True)
class WaterfallTotals:
    """Counts and money per stage (`orders` included) over rows of `attribution_health`.

    `currencies`: that of most orders first; `""` is among them where orders without currency
    have a value all the same.
    """

    orders: dict[str, int]
    money: dict[tuple[str, str], float]
    currencies: list[str]

    @property
    def eligible(self) -> int:
        return self.orders["orders"] - self.orders["withheld"]

    @property
    def coverage(self) -> float | None:
        return self.orders["delivered"] / self.eligible if self.eligible > 0 else None


def totals(health: pa.Table) -> WaterfallTotals:
    """The sums that the picture shows."""
    names = ["orders", *STAGES]
    sums = (
        health.select(["currency", *names, *(f"value_{name}" for name in names)])
        .group_by("currency")
        .aggregate([(f"{prefix}{name}", "sum") for prefix in ("", "value_") for name in names])
        .to_pylist()
    )
    orders: Counter[str] = Counter(dict.fromkeys(names, 0))
    money: dict[tuple[str, str], float] = {}
    weight: Counter[str] = Counter()
    for row in sums:
        currency = row["currency"] or ""
        weight[currency] += row["orders_sum"] or 0
        for name in names:
            orders[name] += row[f"{name}_sum"] or 0
            at = (name, currency)
            money[at] = money.get(at, 0.0) + (row[f"value_{name}_sum"] or 0.0)
    priced = {currency for (_, currency), value in money.items() if value}
    used = [currency for currency, sold in weight.items() if sold and (currency or "" in priced)]
    return WaterfallTotals(orders, money, sorted(used, key=lambda c: (-weight[c], c)))


def coverage_words(found: WaterfallTotals) -> str:
    """`97.3 % reached Meta: 4,120 of 4,233 eligible orders`."""
    if not found.orders["orders"]:
        return "No orders"
    if found.eligible <= 0:
        return f"{count(found.orders['orders'], 'order')}, all withheld on purpose"
    delivered = found.orders["delivered"]
    return (
        f"{percent(found.coverage)} reached Meta: {delivered:,} of"
        f" {count(found.eligible, 'eligible order')}"
    )


def waterfall_picture(health: pa.Table, *, width: int = svg.WIDE, name: str = "waterfall") -> str:
    """The waterfall of rows of `attribution_health`, added up; `name` is unique on its page."""
    found = totals(health)
    label = "Waterfall of orders. " + ", ".join(
        f"{words}: {found.orders[stage]:,}"
        for stage, words in STAGE_LABELS.items()
        if stage in _ALWAYS or found.orders[stage]
    )
    stacked = width < svg.STACKED_BELOW
    return _drawn(found, width, name, 1 if stacked else _CURRENCIES, label)


def hour_picture(health: pa.Table) -> str:
    """A small waterfall as Markdown with the image inline, below 6 kB: for an hour's page in the
    UI, which shows no SVG other than as an image. Empty for an hour without orders."""
    found = totals(health)
    if not found.orders["orders"]:
        return ""
    drawn = _drawn(found, 620, "h", 1, "").encode()
    return (
        f"![{coverage_words(found)}](data:image/svg+xml;base64,{b64encode(drawn).decode('ascii')})"
    )


def _drawn(found: WaterfallTotals, width: int, name: str, most_currencies: int, label: str) -> str:
    shown = found.currencies[:most_currencies]
    left_out = found.currencies[most_currencies:]
    stages = [s for s in STAGE_LABELS if s in _ALWAYS or found.orders[s]]
    layout = _layout(found, stages, shown, width)
    parts, higher = svg.headline(coverage_words(found), width)
    top = 58.0 + higher
    parts += [text(x, top - 8, title, "s e") for x, title in layout.titles]
    running = found.orders["orders"]
    for i, stage in enumerate(stages):
        y = top + i * layout.step
        orders = found.orders[stage]
        standing = stage in ("orders", "delivered")
        start = 0 if standing else running - orders
        parts += _row(found, stage, y, layout, shown, start, name)
        if not standing:
            running = start
        if i + 1 < len(stages):
            x = layout.x(orders if standing and stage == "orders" else running)
            parts.append(line(x, y + layout.bar_bottom, x, y + layout.step + layout.bar_top))
    bottom = top + len(stages) * layout.step
    if left_out:
        others = join_names(svg.truncate(c, 80) or "no currency" for c in left_out[:4])
        more = " and more" if len(left_out) > 4 else ""
        parts.append(text(16, bottom + 14, f"Money in {others}{more} is not shown here.", "s"))
        bottom += 22
    used = [s for s in stages if found.orders[s]]
    patterns = hatch(f"{name}-b", "b") if any(_CLASS[s] == "b" for s in used) else ""
    return svg.picture(width, bottom + 12, label, parts, patterns)


@dataclass(frozen=True, slots=True)
class _Layout:
    left: float
    right: float
    step: float
    bar_top: float
    bar_bottom: float
    words_at: float
    words_room: float
    whole: int
    titles: list[tuple[float, str]]

    def x(self, orders: float) -> float:
        share = orders / self.whole if self.whole > 0 else 0.0
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)


def _layout(found: WaterfallTotals, stages: list[str], shown: list[str], width: int) -> _Layout:
    columns = [("orders", max(text_width(f"{found.orders[s]:,}") for s in stages))]
    columns += [
        (
            svg.truncate(currency, 80) or "no currency",
            max(text_width(amount(currency, found.money.get((s, currency), 0))) for s in stages),
        )
        for currency in shown
    ]
    titles: list[tuple[float, str]] = []
    x = width - 16.0
    for title, broad in reversed(columns):
        titles.append((x, title))
        x -= max(broad, text_width(title, 12)) + 18
    titles.reverse()
    whole = found.orders["orders"]
    if width < svg.STACKED_BELOW:
        return _Layout(16, width - 16, 46, 22, 36, 15, x - 16, whole, titles)
    names = max(text_width(STAGE_LABELS[s]) for s in stages) + 30
    return _Layout(names, max(x - 4, names + 40), 30, 5, 23, 18, names - 24, whole, titles)


def _row(
    found: WaterfallTotals,
    stage: str,
    y: float,
    layout: _Layout,
    shown: list[str],
    start: float,
    name: str,
) -> list[str]:
    orders = found.orders[stage]
    heavy = stage in ("orders", "delivered")
    words = STAGE_LABELS[stage]
    if text_width(words) > layout.words_room:
        words = svg.truncate(words.split(":")[0], layout.words_room)
    parts = [text(16, y + layout.words_at, words, "h" if heavy else "")]
    if orders:
        left, right = layout.x(start), layout.x(start + orders)
        broad = max(right - left, 1.5)
        high = layout.bar_bottom - layout.bar_top
        pattern = f"{name}-b" if _CLASS[stage] == "b" else ""
        at = (min(left, layout.right - broad), y + layout.bar_top, broad, high)
        parts.append(box(*at, _CLASS[stage], fill=pattern))
    cells = [f"{orders:,}", *(amount(c, found.money.get((stage, c), 0)) for c in shown)]
    for (x, _), cell in zip(layout.titles, cells, strict=True):
        parts.append(text(x, y + layout.words_at, cell, "e h" if heavy else "e"))
    return parts
