"""How numbers, times, gaps and alerts are said to people: short phrases and one-paragraph texts.

Plain text only, readable in a log line, a check's description and a chat alike; tables in
Markdown are in tables.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR

_NO_DECIMALS = {
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"),
    *("VUV", "XAF", "XOF", "XPF"),
}
_THREE_DECIMALS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def money(currency: str | None, value: float) -> str:
    """`EUR 12,345.60`, with the decimals that the currency has (ISO 4217)."""
    return f"{currency or 'no currency'} {amount(currency, value)}"


def amount(currency: str | None, value: float) -> str:
    """`12,345.60`: money where the currency is said elsewhere."""
    decimals = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return f"{value:,.{decimals}f}"


def format_amounts(amounts: Mapping[str, float]) -> str:
    """`EUR 12,345.60 and USD 3.00`; empty without any amount."""
    return join_names(money(currency, amounts[currency]) for currency in sorted(amounts))


def count(number: int, noun: str) -> str:
    """`1 order`, `1,204 orders`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join_names(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *head, last = list(words) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def percent(share: float | None) -> str:
    """`93.4 %`, never rounded up to 100 %; `–` for None."""
    if share is None:
        return "–"
    rounded = f"{share * 100:.1f}"
    return f"{'99.9' if share < 1 and rounded == '100.0' else rounded} %"


def format_utc(time: datetime) -> str:
    """`2026-11-20 13:00 UTC`, whatever zone the time came in."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_duration(length: timedelta) -> str:
    """`3 d 4 h`, `4 h 5 min`, `12 min`: two units at most, rounded down."""
    minutes = int(length.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else "less than a minute"


def deadline(time: datetime, now: datetime) -> str:
    """`2026-11-20 13:00 UTC (in 3 d 4 h)`, or `(4 h ago)`."""
    away = (
        f"in {format_duration(time - now)}" if time > now else f"{format_duration(now - time)} ago"
    )
    return f"{format_utc(time)} ({away})"


def during(gap: Gap) -> str:
    """`2026-11-20 13:00 to 18:00 UTC`: the moment the gap began and the one it ended."""
    first, end = gap.first_hour, gap.last_hour + HOUR
    same_day = first.date() == end.date()
    return f"{first:%Y-%m-%d %H:%M} to {end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC"


def missing(gap: Gap) -> str:
    """`412 orders (EUR 38,120.40) are missing`, with what is not known or not lost but poorer.

    What never arrived, or lacks match keys, is known by comparison only: `about`.
    """
    parts = []
    if gap.orders:
        verb = "is" if gap.orders == 1 else "are"
        worth = f" ({format_amounts(gap.money)})" if gap.money else ""
        parts.append(f"{count(gap.orders, 'order')}{worth} {verb} missing")
    if gap.unknown_hours:
        parts.append(f"the orders of {count(gap.unknown_hours, 'hour')} are not counted yet")
    if gap.orders_expected_missing:
        parts.append(f"about {count(gap.orders_expected_missing, 'order')} did not arrive")
    if gap.unmatched:
        parts.append(f"{count(gap.unmatched, 'order')} found no visit")
    if gap.orders_with_fewer_keys:
        parts.append(
            f"about {count(gap.orders_with_fewer_keys, 'order')} have fewer match keys than usual"
        )
    return join_names(parts) or "no order is missing"


def seen(gap: Gap) -> str:
    """`Seen: token_expired, throttled.`: the evidence for the cause; empty if there is none."""
    evidence = [*list(gap.reasons)[:3], *([gap.evidence] if gap.evidence else [])]
    return f"Seen: {', '.join(evidence)}." if evidence else ""


def savable(gap: Gap, now: datetime) -> str:
    """What can still be done for a gap and until when, as one or two sentences."""
    said = []
    if gap.first_deadline:
        if gap.recoverable:
            worth = f" ({format_amounts(gap.recoverable_money)})" if gap.recoverable_money else ""
            said.append(
                f"{count(gap.recoverable, 'order')}{worth} can still be saved,"
                f" the first until {deadline(gap.first_deadline, now)}."
            )
        else:
            said.append(f"They can be saved until {deadline(gap.first_deadline, now)}.")
    if gap.correctable:
        worth = f" ({format_amounts(gap.correctable_money)})" if gap.correctable_money else ""
        said.append(f"{count(gap.correctable, 'order')}{worth} could be saved by corrected input.")
    if not said and (gap.orders or gap.unknown_hours):
        said.append("Nothing of it can be saved any more.")
    return " ".join(said)


def visits(gap: Gap, now: datetime) -> str:
    """What is lost because visits are deleted before a gap is saved; empty where nothing is."""
    if gap.as_stored:
        return (
            "Their events are stored with all their match keys, but visits of these hours are"
            " deleted (CAPI_RETENTION_DAYS): materialize delivery_results and attribution_health"
            " alone, without matching again."
        )
    if not gap.matched_again:
        return ""
    said = []
    short = gap.fewer_visits + gap.no_visits
    if short:
        of_all = "" if short == gap.hours else f" of {count(short, 'hour')}"
        which = f"{'Visits' if gap.no_visits == short else 'The oldest visits'}{of_all}"
        if gap.no_visits and gap.fewer_visits:
            which += f", and all of {count(gap.no_visits, 'hour')},"
        said.append(
            f"{which} are deleted already (CAPI_RETENTION_DAYS): orders that came from them go with"
            " only the match keys that they carry themselves."
        )
    if gap.visits_until:
        which = "more visits" if short else "the oldest visits"
        said.append(
            f"From {deadline(gap.visits_until, now)} on, {which} are deleted that could lend these"
            f" orders match keys{'' if short else ' (CAPI_RETENTION_DAYS)'}."
        )
    return " ".join(said)


def gap_sentence(gap: Gap, now: datetime) -> str:
    """One paragraph: what is missing since when, why, until when, what to do."""
    return _paragraph(
        f"{during(gap)}: {missing(gap)}, because {gap.headline}.",
        seen(gap),
        savable(gap, now),
        visits(gap, now),
        _to_do(gap, (gap.partition_range,)),
    )


_NEWS = {
    "opened": "New gap",
    "worse": "Gap has grown worse",
    "about_to_expire": "Gap is about to expire",
    "expired": "Gap can no longer be saved",
    "recovered": "Gap recovered",
    "changed": "Gap has another cause now",
    "recovery_launched": "Recovery launched",
    "recovery_stopped": "Automatic recovery has given up",
}

# The headlines of causes, once they are over.
_WAS = {
    Cause.TOKEN: "the access token was not accepted",
    Cause.PERMISSION: "the token was not allowed to write to the dataset",
    Cause.THROTTLED: "Meta limited our calls",
    Cause.META_DOWN: "Meta did not answer as it should",
    Cause.PAYLOAD: "events were refused for what they carried",
    Cause.VISITS_MISSING: "visits were missing",
    Cause.ORDERS_MISSING: "fewer orders had arrived than their visits promised",
    Cause.NOT_MATERIALIZED: "the hours had not been materialized",
    Cause.MATCH_KEYS_LOST: "orders carried too few match keys",
    Cause.QUARANTINE: "orders broke their contract",
    Cause.TIME_BUDGET: "the run had ended before every event had its turn",
    Cause.UNKNOWN_OUTCOME: "the fate of events was unknown and they were held",
    Cause.TOO_LATE: "orders were too old when their turn came",
    Cause.UNEXPLAINED: "events were undelivered for a reason this version does not know",
}


def alert_text(alert: Alert, now: datetime, ui_url: str | None = None) -> str:
    """An alert as one readable paragraph, with a link to the backfill where the UI is known."""
    gap, news = alert.gap, _news(alert)
    if alert.kind == "recovery_launched":
        return _paragraph(
            f"{news}, {during(gap)}: {_was(gap)}.",
            savable(gap, now),
            f"Now materialized again, the most urgent first: {_shown(alert.ranges)}",
        )
    if alert.kind == "recovery_stopped":
        return _paragraph(
            f"{news} ({gap.severity}), {during(gap)}: its runs over"
            f" {_shown(alert.ranges)} delivered nothing more.",
            seen(gap),
            savable(gap, now),
            visits(gap, now),
            _to_do(gap, alert.ranges, ui_url),
        )
    if not alert.ranges:  # over
        return _paragraph(f"{news}, {during(gap)}: {_was(gap)}.", _closing_text(alert))
    return _paragraph(
        f"{news} ({gap.severity}), {during(gap)}: {missing(gap)}, because {gap.headline}.",
        seen(gap),
        savable(gap, now),
        visits(gap, now),
        _to_do(gap, alert.ranges, ui_url),
    )


def alert_subject(alert: Alert) -> str:
    """`New gap: 412 orders (EUR 38,120.40) are missing, 2026-11-20 13:00 to 18:00 UTC`."""
    what = missing(alert.gap) if alert.ranges else _was(alert.gap)
    return f"{_news(alert)}: {what}, {during(alert.gap)}"


def _news(alert: Alert) -> str:
    visits_first = alert.gap.visits_until is not None and alert.gap.clock == alert.gap.visits_until
    if alert.kind == "about_to_expire" and visits_first:
        return "Visits of a gap are about to be deleted"
    return _NEWS[alert.kind]


def _was(gap: Gap) -> str:
    return _WAS.get(gap.cause, gap.cause.headline)


_POORER = {
    Cause.VISITS_MISSING: "went without the match keys of their visits",
    Cause.MATCH_KEYS_LOST: "went with fewer match keys than usual",
}


def _closing_text(alert: Alert) -> str:
    gap = alert.gap
    lost = f"{count(gap.orders, 'order')}{f' ({format_amounts(gap.money)})' if gap.money else ''}"
    if alert.kind == "expired":
        return f"{lost} were missing when last seen, and Meta takes events this old no more."
    were = (
        f"At its worst {lost} {'was' if gap.orders == 1 else 'were'} missing." if gap.orders else ""
    )
    how = "Its hours were materialized again automatically." if alert.automatic else ""
    poorer = _match_key_caveat(gap)
    if not alert.other_causes:
        good = "Coverage of these hours is good again"
        return _paragraph(were, how, f"{good}, but {poorer}." if poorer else f"{good}.")
    why = join_names(cause.headline for cause in alert.other_causes)
    still = count(alert.still, "order") if alert.still else "Orders"
    return _paragraph(
        were,
        how,
        f"{still} of these hours {'is' if alert.still == 1 else 'are'}"
        f" still missing, because {why}: see the gap of that cause.",
        f"{poorer}." if poorer else "",
    )


def _match_key_caveat(gap: Gap) -> str:
    """What Meta got with fewer match keys than usual, and keeps so."""
    meanwhile = _POORER.get(gap.cause)
    if meanwhile:
        return f"what was sent meanwhile {meanwhile} and stays so"
    if gap.fewer_visits or gap.no_visits:
        return (
            "some of its visits were deleted before (CAPI_RETENTION_DAYS), so orders that came from"
            " them went with the match keys that they carry themselves"
        )
    return ""


def _to_do(gap: Gap, ranges: Sequence[str], ui_url: str | None = None) -> str:
    if gap.cause is Cause.TOO_LATE:
        return gap.remedy
    noun = "Range" if len(ranges) == 1 else "Ranges"
    link = None if gap.as_stored else backfill_link(ui_url, ranges)  # it matches again
    return f"{gap.remedy} {noun}: {_shown(ranges)}{f' {link}' if link else ''}"


def _shown(ranges: Sequence[str]) -> str:
    more = f" and {len(ranges) - 5} more" if len(ranges) > 5 else ""
    return f"{partition_ranges_text(ranges[:5])}{more}"


def _paragraph(*sentences: str) -> str:
    return " ".join(s[0].upper() + s[1:] for s in sentences if s)
