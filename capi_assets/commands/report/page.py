"""The report as one self-contained HTML page: it loads nothing over the network, reads well on a
phone and on paper, and follows light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from capi_assets.commands.report import text
from capi_assets.commands.report.facts import Report
from capi_assets.commands.report.over_time import coverage_bars, freshness_bars, match_key_bars
from capi_assets.commands.report.reconciliation import agreement
from capi_assets.commands.report.waterfall import (
    BarRow,
    Bars,
    WaterfallTotals,
    waterfall_bars,
    waterfall_headline,
    waterfall_totals,
)
from capi_assets.coverage.buckets import buckets_of
from capi_assets.coverage.formatting import count, format_duration, format_utc
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.match_key_shares import match_key_shares
from capi_assets.hours import HOUR
from capi_assets.meta.limits import WINDOW

_MAX_BUCKETS = 36
"""Rows over time: a month by day, a week by six hours, and still one page on paper."""

_MAX_GAPS = 30
"""Gaps told in full; a page with more is not read."""

_MAX_DEADLINES = 6
_URGENT = timedelta(hours=24)


@dataclass(frozen=True)
class _Figure:
    """A titled figure: lines of text and bars in HTML."""

    name: str
    title: str
    hint: str
    bars: Bars | None
    headline: Sequence[str] = ()


def page(report: Report) -> str:
    """The page's HTML."""
    totals = waterfall_totals(report.health)
    header, rows = text.totals_table(report)
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
            gaps=[text.gap_card(history, n, report.now) for n, history in shown],
            gaps_left_out=len(report.histories) - len(shown),
            changed_since=text.changed_since(report),
            agreement=agreement(report.meta_stats),
            figures=_figures(report, totals),
            totals_header=header,
            totals=rows,
            text_columns=header.index("Currency") + 1,
            reasons=text.reasons_table(report),
        )
    )


def _largest(histories: Sequence[GapHistory]) -> list[tuple[int, GapHistory]]:
    """The largest gaps with their numbers, in time order."""
    numbered = list(enumerate(histories, 1))
    largest = sorted(numbered, key=lambda item: (-item[1].missing_at_first, item[0]))[:_MAX_GAPS]
    return sorted(largest, key=lambda item: item[0])


def _figures(report: Report, totals: WaterfallTotals) -> list[_Figure]:
    buckets = buckets_of(report.hours, _MAX_BUCKETS)
    delays = freshness(report.deliveries, buckets)
    shares = match_key_shares(report.match_keys, buckets)
    histories = report.histories
    over_time = coverage_bars(report.health, report.late, delays, histories, buckets)
    figures = [
        _Figure(
            "waterfall",
            "From order to Meta",
            "Read downwards: each row takes its orders off, until those that reached Meta are"
            " left.",
            waterfall_bars(totals),
            waterfall_headline(totals),
        ),
        _Figure(
            "coverage",
            "Coverage over time",
            f"The share of eligible orders at Meta, a row per {buckets.label} (UTC). Late orders"
            " were delivered after their hour was due.",
            *over_time,
        ),
        _Figure(
            "deadlines",
            "Time left",
            "How much of Meta’s seven days is left for the first order of each open gap.",
            _deadline_bars(histories, report.now),
        ),
        _Figure(
            "keys",
            "Match keys",
            f"Lowest: the {buckets.label} with the smallest share. A drop means the tracker"
            " stopped sending the key.",
            *match_key_bars(shares, buckets),
        ),
        _Figure(
            "freshness",
            "Freshness",
            "Time from the order to Meta’s acceptance, and the limits that Meta recommends.",
            *freshness_bars(delays),
        ),
    ]
    return [figure for figure in figures if figure.bars or figure.headline]


def _deadline_bars(histories: Sequence[GapHistory], now: datetime) -> Bars | None:
    """A row per gap that can be recovered, the most urgent first."""
    ahead = sorted(
        (until, number)
        for number, history in enumerate(histories, 1)
        if (until := history.gap.first_deadline) is not None and until > now
    )
    rows = [
        BarRow(
            f"Gap {number}: until {format_utc(until)}",
            "lost" if until - now <= _URGENT else "waiting",
            0,
            round(100 * min((until - now) / WINDOW, 1.0), 2),
            [format_duration(until - now)],
        )
        for until, number in ahead[:_MAX_DEADLINES]
    ]
    return Bars(rows, []) if rows else None


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["keep_units"] = lambda value: _BREAKS.sub("\N{NO-BREAK SPACE}", value)
    return environment


# No line breaks between a number and its currency or unit.
_BREAKS = re.compile(r" (?=%)|(?<=\b[A-Z]{3}) (?=-?\d)|(?<=\d) (?=(?:d|h|min)\b)")
