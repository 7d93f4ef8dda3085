"""`capi-assets reconcile`: Meta's own counts of a range of hours beside our ledger's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from capi_assets.coverage.reconciliation.compare import Reconciliation
from capi_assets.coverage.reconciliation.stored import compare_counts
from capi_assets.coverage.reconciliation.text import (
    OFF,
    advice,
    fit_sentence,
    hour_off,
    hour_sentence,
    totals,
    unknown_events_text,
    verdict_words,
)
from capi_assets.hours import hour_key
from capi_assets.lake import Lake
from capi_assets.policies import datasets_of, tolerance
from capi_assets.settings import Settings

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ComparisonResult:
    """What was found; `rows` have the columns of `meta_stats`."""

    hours: Sequence[datetime]
    rows: Sequence[Row]
    found: Reconciliation

    def of(self, hour: datetime) -> list[Row]:
        """The rows of an hour."""
        return [row for row in self.rows if row["hour"] == hour]

    @property
    def off(self) -> list[datetime]:
        """The hours whose difference lasts and is not explained."""
        return [hour for hour in self.hours if hour_off(self.of(hour))]


def compare(settings: Settings, hours: Sequence[datetime], now: datetime) -> ComparisonResult:
    """Asks Meta and the lake about `hours`; writes nothing."""
    found = compare_counts(
        Lake(settings.lake),
        datasets_of(settings),
        hours,
        now,
        tolerance(settings),
        pixel_redundant=settings.pixel == "redundant",
    )
    return ComparisonResult(hours, found.rows.to_pylist(), found)


def show(told: ComparisonResult, console: Console) -> None:
    """A line per hour, what both sides sum up to, and what to know."""
    table = Table(title="Meta's counts beside our ledger's", title_justify="left")
    several = len({row["dataset_id"] for row in told.rows}) > 1
    table.add_column("hour", no_wrap=True)
    if several:
        table.add_column("dataset", no_wrap=True)
    for name in _SUMS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    groups: dict[tuple[datetime, str], list[Row]] = {}
    for row in told.rows:
        groups.setdefault((row["hour"], row["dataset_id"]), []).append(row)
    for (hour, dataset), rows in groups.items():
        worst = min(rows, key=lambda row: (not row["sustained"], _WORST.index(row["verdict"])))
        table.add_row(
            hour_key(hour), *([dataset] if several else []), *_sums(rows), verdict_words(worst)
        )
    table.add_section()
    table.add_row("total", *([""] if several else []), *_sums(told.rows), "")
    console.print(table)
    for sentence in _sentences(told):
        console.print(sentence, highlight=False, soft_wrap=True)


_WORST = (*OFF, "too_early", "not_materialized", "cannot_read", "agree")


_SUMS = {
    "Meta": "meta_events",
    "by event": "our_delivered_by_event_time",
    "by receipt": "our_delivered_by_receipt_time",
    "differ": "difference",
}


def _sums(rows: Sequence[Row]) -> list[str]:
    sums = totals(rows)
    return ["–" if sums[name] is None else f"{sums[name]:,}" for name in _SUMS.values()]


def as_json(told: ComparisonResult) -> dict[str, Any]:
    """The same for programs; times as ISO 8601."""
    return {
        "agrees": not told.off,
        "hours_off": [hour_key(hour) for hour in told.off],
        "total": totals(told.rows),
        "basis": {
            dataset: {
                "basis": fit.basis,
                "unexplained_by_event_time": fit.by_event_time,
                "unexplained_by_receipt_time": fit.by_receipt_time,
                "settled_hours": fit.hours,
            }
            for dataset, fit in told.found.fits.items()
        },
        "not_ours": {dataset: list(names) for dataset, names in told.found.foreign.items()},
        "hours": [
            {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
            for row in told.rows
        ],
        "said": _sentences(told),
    }


def _sentences(told: ComparisonResult) -> list[str]:
    fits, foreign = told.found.fits.items(), told.found.foreign.items()
    said = [f"Dataset {dataset}: {fit_sentence(fit)}" for dataset, fit in fits]
    said += [f"Dataset {dataset}: {unknown_events_text(names)}" for dataset, names in foreign]
    unread = [row["why"] for row in told.rows if row["verdict"] == "cannot_read"]
    said += [f"{why}; no comparison possible." for why in dict.fromkeys(unread)]
    off = told.off
    said += [hour_sentence(hour, told.of(hour)) for hour in off[:10]]
    if len(off) > 10:
        said.append(f"And {len(off) - 10} more hours that differ.")
    if off:
        said.append(advice(told.rows))
    if not told.rows:
        said.append("No dataset has a token, so no comparison is possible.")
    elif not off and not unread:
        said.append("No lasting unexplained difference.")
    return said
