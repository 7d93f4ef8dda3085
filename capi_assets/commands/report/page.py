"""The report as one self-contained HTML page: it loads nothing over the network, reads well on a
phone and on paper, and follows light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from capi_assets.commands.report import text
from capi_assets.commands.report.facts import Report
from capi_assets.commands.report.reconciliation import agreement
from capi_assets.commands.report.table import Table
from capi_assets.commands.report.waterfall import (
    BarRow,
    Bars,
    WaterfallTotals,
    waterfall_bars,
    waterfall_headline,
    waterfall_totals,
)
from capi_assets.coverage import charts
from capi_assets.coverage.buckets import Buckets, buckets_of
from capi_assets.coverage.charts import NARROW, WIDE, Chart, GapBand
from capi_assets.coverage.formatting import count, format_duration, format_utc
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.incident_history import IncidentHistory
from capi_assets.coverage.match_key_shares import match_key_shares
from capi_assets.hours import HOUR
from capi_assets.meta.limits import WINDOW

_MAX_BUCKETS = {WIDE: 192, NARROW: 96}
"""Bars per chart: below four pixels each they can no longer be told apart."""

_MAX_GAPS = 30
"""Gaps told in full; a page with more is not read."""

_MAX_DEADLINES = 6
_URGENT = timedelta(hours=24)


@dataclass(frozen=True)
class _Figure:
    """A titled figure: bars in HTML, or a chart over time drawn for a page and for a phone."""

    name: str
    title: str
    hint: str
    headline: Sequence[str] = ()
    bars: Bars | None = None
    legend: Sequence[tuple[str, str]] = ()
    svgs: dict[str, str] = field(default_factory=dict)


def page(report: Report) -> str:
    """The page's HTML."""
    totals = waterfall_totals(report.health)
    header, rows = text.totals_table(report)
    meta = agreement(report.meta_stats)
    first, end = report.hours[0], report.hours[-1] + HOUR
    shown = _largest(report.histories)
    return (
        _templates()
        .get_template("report.html")
        .render(
            period=f"{format_utc(first).removesuffix(' UTC')} to {format_utc(end)}",
            hours=count(len(report.hours), "hour"),
            now=format_utc(report.now),
            headline=text.headline(report, totals),
            tiles=text.tiles(report, totals),
            gaps=[text.gap_card(h, n, report.now, report.backfill_url) for n, h in shown],
            gaps_left_out=len(report.histories) - len(shown),
            changed_since=text.changed_since(report),
            agreement=meta,
            compared=meta and Table("compared", meta.header, meta.table, len(meta.header) - 5),
            figures=_figures(report, totals),
            totals=Table("totals", header, rows, header.index("Currency") + 1),
            reasons=Table("reasons", text.REASONS_HEADER, text.reasons_table(report), 2),
        )
    )


def _largest(histories: Sequence[IncidentHistory]) -> list[tuple[int, IncidentHistory]]:
    """The largest incidents with their numbers, in time order."""
    numbered = list(enumerate(histories, 1))
    largest = sorted(numbered, key=lambda item: (-item[1].missing_at_first, item[0]))[:_MAX_GAPS]
    return sorted(largest, key=lambda item: item[0])


def _figures(report: Report, totals: WaterfallTotals) -> list[_Figure]:
    bands = [
        GapBand(str(number), h.gap.first_hour, h.gap.last_hour, h.is_over, h.gap.first_deadline)
        for number, h in enumerate(report.histories, 1)
    ]
    figures = [
        _Figure(
            "waterfall",
            "From order to Meta",
            "Read downwards: each row takes its orders off, until those that reached Meta are"
            " left.",
            waterfall_headline(totals),
            waterfall_bars(totals),
        ),
        _over_time(
            "coverage",
            "Coverage over time",
            "Above, the share of eligible orders at Meta; below, all orders. Incidents carry"
            " their number.",
            report.hours,
            lambda buckets, width: charts.coverage_chart(
                report.health, report.late, bands, buckets, width=width
            ),
        ),
    ]
    if deadlines := _deadline_bars(bands, report.now):
        figures.append(
            _Figure(
                "deadlines",
                "Time left",
                "How much of Meta’s seven days is left for the first order of each open incident.",
                bars=deadlines,
            )
        )
    return [
        *figures,
        _over_time(
            "keys",
            "Match keys over time",
            "The higher a row, the more events carry the key. A drop means the tracker stopped"
            " sending it.",
            report.hours,
            lambda buckets, width: charts.match_keys_chart(
                match_key_shares(report.match_keys, buckets), buckets, width=width
            ),
        ),
        _over_time(
            "freshness",
            "Freshness",
            "Time from the order to Meta’s acceptance, by the time of the order, on a logarithmic"
            " scale.",
            report.hours,
            lambda buckets, width: charts.freshness_chart(
                freshness(report.deliveries, buckets), buckets, width=width
            ),
        ),
    ]


def _over_time(
    name: str,
    title: str,
    hint: str,
    hours: Sequence[datetime],
    draw: Callable[[Buckets, int], Chart],
) -> _Figure:
    wide, narrow = (draw(buckets_of(hours, most), w) for w, most in _MAX_BUCKETS.items())
    svgs = {"wide": wide.svg, "narrow": narrow.svg}
    return _Figure(name, title, hint, wide.headline, legend=wide.legend, svgs=svgs)


def _deadline_bars(bands: Sequence[GapBand], now: datetime) -> Bars | None:
    """A row per incident that can be recovered, the most urgent first."""
    ahead = sorted(
        ((b.deadline, b.name) for b in bands if b.deadline is not None and b.deadline > now),
        key=lambda item: item[0],
    )
    rows = [
        BarRow(
            f"Incident {name}: until {format_utc(until)}",
            "lost" if until - now <= _URGENT else "waiting",
            0,
            round(100 * min((until - now) / WINDOW, 1.0), 2),
            [format_duration(until - now)],
        )
        for until, name in ahead[:_MAX_DEADLINES]
    ]
    return Bars(rows, []) if rows else None


@cache
def _templates() -> Environment:
    folders = [Path(__file__).parent / "templates", Path(charts.__file__).parent]
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["keep_units"] = lambda value: _BREAKS.sub("\N{NO-BREAK SPACE}", value)
    return environment


# No line breaks between a number and its currency or unit.
_BREAKS = re.compile(r" (?=%)|(?<=\b[A-Z]{3}) (?=-?\d)|(?<=\d) (?=(?:d|h|min)\b)")
