"""What is said of Meta's counts beside ours: sentences and tables for checks and the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from capi_assets.coverage.formatting import count, join_names
from capi_assets.coverage.reconciliation.compare import Fit
from capi_assets.coverage.tables import Cell, Table
from capi_assets.delivery.causes import DIAGNOSES, Cause
from capi_assets.hours import hour_key
from capi_assets.meta.graph.error_reasons import SETUP_REFUSED
from capi_assets.meta.graph.errors import error_suffix
from capi_assets.meta.graph.reads import FailedRead, ReadError

Row = Mapping[str, Any]

OFF = ("meta_has_less", "meta_has_more")
_BASIS = {"event_time": "by event time", "receipt_time": "by time of receipt"}
_ADVICE = {
    "meta_has_less": "Check in Events Manager under Diagnostics what Meta drops (consent, data"
    " restrictions, blocked parameters), and whether it is the same dataset",
    "meta_has_more": "Check whether another integration or the shop's own plug-in sends the same"
    " events to this dataset: Meta would count orders twice",
}
_PREFIXES = {
    ReadError.MAY_NOT: "cannot be read with this token",
    ReadError.NOT_NOW: "cannot be read now",
    ReadError.UNCLEAR: "cannot be read",
}

_READING_RIGHTS = (
    "Reading wants ads_read with ads_management or business_management, and at least “Use events"
    " dataset” on the dataset; sending events does not"
)


def unread_words(unread: FailedRead, what: str = "Meta's own counts") -> str:
    """`Meta's own counts cannot be read with this token: …`, without a full stop."""
    said = error_suffix(unread.code, unread.subcode, unread.http_status)
    prefix = f"{what} {_PREFIXES[unread.obstacle]}"
    if unread.obstacle is ReadError.UNCLEAR:
        return f"{prefix}: Meta answers in a way that is not known here{said}"
    found = DIAGNOSES[unread.problem.reason]
    if found.cause is Cause.PERMISSION:
        unsure = ", or Meta refuses the question" if found.reason == SETUP_REFUSED else ""
        return f"{prefix}: it may not read them{unsure}{said}. {_READING_RIGHTS}"
    return f"{prefix}: {found.headline}{said}. {found.action.removesuffix('.')}"


def no_access_words(why: str, what: str = "Meta's own counts") -> str:
    """The same for a dataset without a token."""
    return f"{what} cannot be read: {why.rstrip('.')}"


def is_lasting(row: Row) -> bool:
    """Whether a row has an unexplained difference that lasts."""
    return row["verdict"] in OFF and bool(row["sustained"])


def hour_off(rows: Sequence[Row]) -> bool:
    """Whether any row of an hour has a difference that lasts."""
    return any(map(is_lasting, rows))


def advice(rows: Iterable[Row]) -> str:
    """What to check where a difference lasts; empty if none does."""
    lasting = (row["verdict"] for row in rows if is_lasting(row))
    return " ".join(f"{_ADVICE[verdict]}." for verdict in dict.fromkeys(lasting))


def hour_sentence(hour: datetime, rows: Sequence[Row]) -> str:
    """How Meta's counts of an hour compare with our ledger, without advice."""
    key = hour_key(hour)
    if not rows:
        return f"{key}: no dataset has a token, so no comparison is possible."
    off = [row for row in rows if row["verdict"] in OFF]
    if lasting := [row for row in off if row["sustained"]]:
        return f"{key}: {'; '.join(map(_difference_text, lasting[:3]))}."
    if off:
        differences = "; ".join(map(_difference_text, off[:3]))
        return f"{key}: {differences}. A single hour is not reported as a loss."
    unread = list(dict.fromkeys(row["why"] for row in rows if row["verdict"] == "cannot_read"))
    if unread:
        return f"{key}: {'; '.join(unread)}; no comparison possible."
    if any(row["verdict"] == "not_materialized" for row in rows):
        return f"{key}: delivery_results is not materialized; no comparison possible."
    if any(row["verdict"] == "too_early" for row in rows):
        return f"{key}: too early to compare: Meta's counts are not final yet. {_totals_text(rows)}"
    return f"{key}: counts agree. {_totals_text(rows)}"


def totals(rows: Sequence[Row]) -> dict[str, int | None]:
    """Sums of rows; Meta's side and the differences are None where nothing could be read."""
    read = [row for row in rows if row["meta_events"] is not None]
    sums: dict[str, int | None] = {
        name: sum(row[name] for row in rows)
        for name in ("our_delivered_by_event_time", "our_delivered_by_receipt_time")
    }
    sums["our_delivered"] = sum(map(ours, rows))
    for name in ("meta_events", "difference", "unexplained"):
        sums[name] = sum(row[name] or 0 for row in read) if read else None
    return sums


def _totals_text(rows: Sequence[Row]) -> str:
    sums = totals(rows)
    meta_total, our_total = sums["meta_events"] or 0, sums["our_delivered"] or 0
    if not meta_total and not our_total:
        return "No events on either side."
    basis = {row["basis"] for row in rows if row["basis"]}
    by = f", {_BASIS[basis.pop()]}" if len(basis) == 1 else ""
    return f"Meta counts {count(meta_total, 'event')}, our ledger {our_total:,} delivered{by}."


def ours(row: Row) -> int:
    """Our count in a row, by its basis."""
    side = "receipt" if row["basis"] == "receipt_time" else "event"
    return int(row[f"our_delivered_by_{side}_time"])


def _difference_text(row: Row) -> str:
    name, side = row["event_name"], "fewer" if row["verdict"] == "meta_has_less" else "more"
    unexplained = abs(row["unexplained"])
    lasts = ""
    if row["sustained"]:
        hour_differs = unexplained > row["tolerance"]
        lasts = ", also in neighbouring hours" if hour_differs else "; the day's total differs too"
    return (
        f"Meta counts {count(row['meta_events'], f'{name} event')}"
        f" {_BASIS[row['basis']]} where our ledger has {ours(row):,} delivered:"
        f" {unexplained:,} {side} than known reasons explain (up to {row['tolerance']:,} is"
        f" accepted){lasts}"
    )


_SHOWN = {
    "agree": "agree",
    "meta_has_less": "Meta has less",
    "meta_has_more": "Meta has more",
    "too_early": "too early",
    "cannot_read": "cannot read",
    "not_materialized": "not materialized",
    "not_compared": "not compared",
}


def verdict_words(row: Row) -> str:
    """A row's verdict as it is shown."""
    lasting = " (lasting)" if row.get("sustained") else ""
    return _SHOWN[row["verdict"]] + lasting


_COLUMNS = {
    "dataset": "dataset_id",
    "event": "event_name",
    "Meta": "meta_events",
    "ours by event time": "our_delivered_by_event_time",
    "ours by receipt": "our_delivered_by_receipt_time",
    "difference": "difference",
    "unexplained": "unexplained",
    "tolerance": "tolerance",
}


def hour_table(rows: Sequence[Row]) -> Table:
    """An hour's counts, ours and Meta's, a row per dataset and event name."""
    body = [
        [*(row[name] for name in _COLUMNS.values()), verdict_words(row)]
        for row in rows
        if row["event_name"]
    ]
    return Table([*_COLUMNS, "verdict"], body)


def fit_sentence(fit: Fit) -> str:
    """How the basis was chosen."""
    over = f"over {count(fit.hours, 'settled hour')}"
    if fit.by_event_time == fit.by_receipt_time:
        return (
            f"Meta's counts fit ours equally by event time and by time of receipt {over}"
            f" ({fit.by_event_time:,} unexplained); event time is used."
        )
    return (
        f"Meta's counts fit ours {_BASIS[fit.basis]}: {fit.by_event_time:,} events unexplained by"
        f" event time, {fit.by_receipt_time:,} by time of receipt, {over}."
    )


def unknown_events_text(names: Sequence[str]) -> str:
    """That Meta counts event names that we did not send."""
    shown = join_names(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Meta also counts server events that we did not send (not compared): {shown}."


def quality_off(rows: Sequence[Row]) -> bool:
    """Whether a share differs by more than the tolerance in a day's rows."""
    return any(row["verdict"] in OFF for row in rows)


def quality_sentence(day: datetime, rows: Sequence[Row]) -> str:
    """How Dataset Quality compares with our events on a day, for a check's description."""
    at = f"{day:%Y-%m-%d}"
    if not rows:
        return f"{at}: Meta reports no quality yet; no comparison possible."
    unread = list(dict.fromkeys(row["why"] for row in rows if row["verdict"] == "cannot_read"))
    off = sorted(
        (row for row in rows if row["verdict"] in OFF), key=lambda row: -abs(row["difference"])
    )
    if off:
        differences = [
            f"{row['key']} of {row['event_name']}: {row['meta_value']:.1f} % at Meta,"
            f" {row['our_value']:.1f} % in our events"
            for row in off[:5]
        ]
        more = f" and {len(off) - 5} more" if len(off) > 5 else ""
        less = any(row["verdict"] == "meta_has_less" for row in off)
        advice = (
            "Meta does not accept the form in which the key is sent: check its normalisation and"
            " hash with `capi-assets explain` on an order"
            if less
            else "Meta has keys that we did not send: another integration sends to this dataset too"
        )
        return f"{at}: {'; '.join(differences)}{more}. {advice}."
    if unread:
        return f"{at}: {'; '.join(unread)}; no comparison possible."
    scores = [
        f"{row['event_name']} {row['meta_value']:.1f}" for row in rows if row["measure"] == "score"
    ]
    quality = f" Meta's match quality (of 10): {join_names(scores[:5])}." if scores else ""
    compared = sum(row["verdict"] == "agree" for row in rows)
    if not compared:
        return f"{at}: no comparison possible.{quality}"
    return f"{at}: {count(compared, 'share')} of keys agree with Meta's.{quality}"


_MEASURES = {
    "score": "match quality (of 10)",
    "match_key": "match key {}",
    "dedup_key_server": "deduplication key {}, server events",
    "dedup_key_browser": "deduplication key {}, browser events",
    "dedup_key_overall": "deduplication key {}, browser events covered",
    "event_coverage": "Pixel events covered",
    "upload_frequency": "upload frequency",
}


def quality_table(rows: Sequence[Row]) -> Table:
    """A day's Dataset Quality beside our events, in percent, a row per event and measure."""
    return Table(
        ["event", "measure", "Meta", "Meta's goal", "ours", "difference", "tolerance", "verdict"],
        [
            [
                row["event_name"],
                _MEASURES[row["measure"]].format(row["key"]),
                row["words"] or _points(row["meta_value"]),
                _points(row["goal"]),
                _points(row["our_value"]),
                _points(row["difference"]),
                _points(row["tolerance"]),
                verdict_words(row) if row["verdict"] != "not_compared" else "",
            ]
            for row in rows
            if row["measure"]
        ],
    )


def _points(value: float | None) -> Cell:
    return None if value is None else round(value, 1)
