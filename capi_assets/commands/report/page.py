"""The report as one self-contained HTML page: it asks for nothing over the network, reads well on
a telephone and on paper, and follows light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from capi_assets.commands.report import text as words
from capi_assets.commands.report.facts import Report
from capi_assets.commands.report.glossary import GLOSSARY
from capi_assets.commands.report.reconciliation import agreement
from capi_assets.coverage.buckets import buckets_of
from capi_assets.coverage.charts import (
    GapBand,
    coverage_picture,
    freshness_picture,
    match_keys_picture,
    waterfall_picture,
)
from capi_assets.coverage.charts.svg import NARROW, WIDE
from capi_assets.coverage.charts.waterfall import totals
from capi_assets.coverage.formatting import count, format_utc
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.match_key_shares import match_key_shares
from capi_assets.hours import HOUR

_BARS = {WIDE: 192, NARROW: 96}
_STORIES = 30


@dataclass(frozen=True)
class _Figure:
    name: str
    title: str
    hint: str
    wide: str
    narrow: str


def page(report: Report) -> str:
    """The page's HTML."""
    found = totals(report.health)
    header, rows = words.totals_table(report)
    first, end = report.hours[0], report.hours[-1] + HOUR
    shown = _most_telling(report.gap_histories)
    return (
        _templates()
        .get_template("report.html")
        .render(
            period=f"{format_utc(first).removesuffix(' UTC')} to {format_utc(end)}",
            hours=count(len(report.hours), "hour"),
            now=format_utc(report.now),
            headline=words.headline(report, found),
            tiles=words.tiles(report, found),
            gap_histories=[words.told(story, n, report.now) for n, story in shown],
            stories_left_out=len(report.gap_histories) - len(shown),
            changed_since=words.changed_since(report),
            agreement=agreement(report.meta_stats),
            pictures=_figures(report),
            totals_header=header,
            totals=rows,
            texts=header.index("Currency") + 1,
            reasons=words.reasons_table(report),
            glossary=GLOSSARY,
        )
    )


def _most_telling(gap_histories: Sequence[GapHistory]) -> list[tuple[int, GapHistory]]:
    """The largest gaps with their numbers, in time order."""
    numbered = list(enumerate(gap_histories, 1))
    largest = sorted(numbered, key=lambda item: (-item[1].lost, item[0]))[:_STORIES]
    return sorted(largest, key=lambda item: item[0])


def _figures(report: Report) -> list[_Figure]:
    shades = [
        GapBand(
            str(number),
            story.gap.first_hour,
            story.gap.last_hour,
            story.over,
            story.gap.first_deadline,
        )
        for number, story in enumerate(report.gap_histories, 1)
    ]
    drawn: dict[str, list[str]] = {name: [] for name in _CAPTIONS}
    for width, most in _BARS.items():
        buckets = buckets_of(report.hours, most)
        shares = match_key_shares(report.match_keys, buckets)
        ages = freshness(report.deliveries, buckets)
        drawn["waterfall"].append(
            waterfall_picture(report.health, width=width, name=f"waterfall-{width}")
        )
        drawn["coverage"].append(
            coverage_picture(
                report.health, report.late, shades, buckets, report.now,
                width=width, name=f"coverage-{width}",
            )
        )  # fmt: skip
        drawn["keys"].append(match_keys_picture(shares, buckets, width=width))
        drawn["freshness"].append(freshness_picture(ages, buckets, width=width))
    return [_Figure(name, title, hint, *drawn[name]) for name, (title, hint) in _CAPTIONS.items()]


_CAPTIONS = {
    "waterfall": (
        "From order to Meta",
        "Read downwards: what is taken off on the way, until what reached Meta is left.",
    ),
    "coverage": (
        "Coverage over time",
        "Above, the share of eligible orders at Meta; below, all orders. Gaps carry their number.",
    ),
    "keys": (
        "Match keys over time",
        "The higher a row stands, the more events carry the key. A step down is a tracker that"
        " lost it.",
    ),
    "freshness": (
        "Freshness",
        "Time from the order to Meta’s acceptance, by the time of the order. The scale grows"
        " tenfold from step to step, so that minutes and days both fit.",
    ),
}


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["held"] = lambda words: _BREAKS.sub("\N{NO-BREAK SPACE}", words)
    return environment


# Between a figure and its currency or unit no line ends.
_BREAKS = re.compile(r" (?=%)|(?<=\b[A-Z]{3}) (?=-?\d)|(?<=\d) (?=(?:d|h|min)\b)")
