"""The history of an order as one page in the terminal; every value is shown through masking.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.facts import Candidate, OrderHistory
from capi_assets.commands.explain.find_order import hour_of
from capi_assets.commands.explain.spellings import SpellingCheck
from capi_assets.commands.explain.text import (
    answer_words,
    columns,
    dropped,
    key_rows,
    refused_words,
)
from capi_assets.coverage.formatting import (
    count,
    deadline,
    format_duration,
    format_utc,
    join_names,
    money,
)
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.hours import hour_key


def show(history: OrderHistory, console: Console, check: SpellingCheck | None = None) -> None:
    """Prints the page; called by `capi-assets explain`."""
    console.print(_headline(history))
    sections = [
        ("Order as stored", _as_stored(history)),
        ("Verdict", _verdict(history)),
        ("Visit", _visit(history)),
        ("Match keys", _match_keys(history)),
        ("Payload", _payload(history)),
        ("Plan", _plan(history)),
        ("Attempts", _attempts(history)),
    ]
    for title, parts in sections:
        content = list(parts)
        if content:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(Group(*content))
    if check is not None:
        console.print(Text("\nSpelling check", style="bold"))
        console.print(Group(*_check(check)))
    console.print()
    console.print(Panel(Text(history.to_do), title="What to do now", border_style="bold"))


def _headline(history: OrderHistory) -> RenderableType:
    row = history.order or history.quarantined[0]
    value = money(row["currency"], row["value"]) if row["value"] is not None else "no value"
    when = format_utc(row["occurred_at"]) if history.order else f"hour {hour_key(history.hour)}"
    facts = [row["event_name"] or "event name unusable", value, when]
    if row["dataset_id"]:
        facts.append(f"dataset {row['dataset_id']}")
    lines = [Text.assemble(("Order ", "bold"), (history.order_id, "bold"), "  ", ", ".join(facts))]
    if history.others:
        lines.append(Text("Other rows have this id too; this is the newest. The others:"))
        lines += [Text(f"  {_other(row)}") for row in history.others]
        lines.append(Text("Select one with --hour and --event-name."))
    return Group(*lines)


def _other(row: dict[str, Any]) -> str:
    quarantined = "" if "status" in row else ", quarantined"
    dataset = f", dataset {row['dataset_id']}" if row["dataset_id"] else ""
    return f"{hour_key(hour_of(row))}, {row['event_name'] or 'no event name'}{dataset}{quarantined}"


def _as_stored(history: OrderHistory) -> Iterator[RenderableType]:
    for row in history.quarantined:
        yield Text(f"Quarantined: {_place(row)}", style="red")
        yield _grid(
            (entry.replace(":", ": "), refused_words(entry), shape)
            for entry, shape in _with_shapes(row)
        )
    if history.order is None:
        return
    yield _grid(columns(history))
    for name, reason in dropped(history):
        yield Text.assemble((f"{name} was dropped. ", "yellow"), reason)


def _place(row: dict[str, Any]) -> str:
    line = f", line {row['line']}" if row["line"] else ""
    return f"{row['source']}{line}, in quarantine of {hour_key(row['hour'])}"


def _with_shapes(row: dict[str, Any]) -> list[tuple[str, str]]:
    shapes: dict[str, str] = orjson.loads(row["shapes"] or "{}")
    return [(entry, shapes.get(entry.partition(":")[0], "")) for entry in row["reasons"].split()]


def _verdict(history: OrderHistory) -> Iterator[RenderableType]:
    if history.order is None:
        return
    row = history.event or history.order
    consent = {True: "given", False: "refused", None: "not recorded"}[row["consent"]]
    if history.event and history.order["consent"] is None and row["consent"] is not None:
        consent += " (from the visit)"
    yield Text(f"Status {history.order['status']}, consent {consent}: {_verdict_text(history)}")
    if history.event and history.event["without_browser"]:
        yield Text(
            "The event has no user agent or no page (without_browser): Meta may not use it for"
            " optimisation, targeting or measurement.",
            "yellow",
        )


def _verdict_text(history: OrderHistory) -> str:
    meaning = WITHHELD_TEXTS.get(history.reason or "")
    verdict = f"{history.verdict} ({history.reason})" if history.reason else history.verdict
    return f"{verdict}. {meaning}" if meaning else f"{verdict}."


def _visit(history: OrderHistory) -> Iterator[RenderableType]:
    if history.order is None:
        return
    chosen: str | None = history.event["visit_id"] if history.event else None
    if not history.candidates:
        yield Text("No stored visit within the lookback before the order shares a key with it.")
        if chosen:
            yield Text(f"It was matched with {chosen}, which is no longer stored.", "yellow")
        return
    yield _candidate_table(history, chosen)
    if history.all_candidates > len(history.candidates):
        yield Text(f"and {count(history.all_candidates - len(history.candidates), 'more visit')}.")
    best = history.candidates[0]
    yield Text(_choice(history.candidates, history.all_candidates))
    if history.event is not None and chosen != best.visit_id:
        yield Text(
            f"The event was built with {chosen or 'no visit'}: visits changed since. Materialize"
            f" matched_events of {hour_key(history.hour)} to match it again.",
            "yellow",
        )
    if history.event is not None:
        supplied = (history.event["lent"] or "").split()
        yield Text(f"The visit supplied {join_names(supplied) or 'nothing'}.")


def _candidate_table(history: OrderHistory, chosen: str | None) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "visit", "by", "age", "at"):
        table.add_column(name, overflow="fold")
    for place, visit in enumerate(history.candidates, start=1):
        table.add_row(
            f"{place}{' ←' if visit.visit_id == chosen else ''}",
            visit.visit_id,
            ", ".join(visit.keys),
            _age(history, visit),
            format_utc(visit.visited_at),
            style="green" if visit.visit_id == chosen else None,
        )
    return table


def _age(history: OrderHistory, candidate: Candidate) -> str:
    occurred: datetime = (history.order or {})["occurred_at"]
    return format_duration(occurred - candidate.visited_at)


def _choice(candidates: list[Candidate], total: int) -> str:
    """Why the first candidate was chosen over the second."""
    best = candidates[0]
    if total == 1:
        return f"{best.visit_id} is the only visit that shares a key with the order."
    second = candidates[1]
    if second.keys[0] != best.keys[0]:
        return (
            f"{best.visit_id} is chosen: {best.keys[0]} is a stronger key than {second.keys[0]},"
            " whatever the age of the visit."
        )
    if second.visited_at != best.visited_at:
        return (
            f"{best.visit_id} is chosen: it is the most recent of those that share {best.keys[0]}."
        )
    return f"{best.visit_id} is chosen: it has the smallest id of equal visits."


def _match_keys(history: OrderHistory) -> Iterator[RenderableType]:
    rows = list(key_rows(history))
    if not rows:
        return
    if history.payload is None:
        yield Text("Match keys of the stored order; no event was built.")
    table = Table(box=None, pad_edge=False)
    for name in ("key", "from", "value", "rule"):
        table.add_column(name, overflow="fold")
    for key, origin, value, rule in rows:
        table.add_row(key, origin, "\n".join(value), rule)
    yield table


def _payload(history: OrderHistory) -> Iterator[RenderableType]:
    if history.payload is None or history.event is None:
        return
    shown = orjson.dumps(masking.payload(history.payload), option=orjson.OPT_INDENT_2).decode()
    yield Text(shown)
    yield Text(f"SHA-256 of the payload: {history.event['payload_sha256']}", "dim")


def _plan(history: OrderHistory) -> Iterator[RenderableType]:
    if history.planned is None:
        return
    reason = f" ({history.planned['reason']})" if history.planned["reason"] else ""
    until = deadline(history.planned["deliver_until"], history.now)
    yield Text(f"Now: {history.planned['action']}{reason}. Meta accepts the event until {until}.")


def _attempts(history: OrderHistory) -> Iterator[RenderableType]:
    if history.event is None:
        return
    if history.known and history.known["order_id"] != history.order_id:
        yield Text(
            f"These are of order {history.known['order_id']}, which has the same event_id.",
            "yellow",
        )
    if not history.attempts:
        yield Text("None.")
    else:
        yield _attempt_table(history)
    for row in history.decisions:
        yield Text(
            f"{format_utc(row['decided_at'])}: {row['who']} decided to"
            f" {row['kind'].replace('_', ' ')}."
        )


def _attempt_table(history: OrderHistory) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("time", "HTTP", "outcome", "Meta's response", "trace id"):
        table.add_column(name, overflow="fold")
    for row in history.attempts:
        table.add_row(
            f"{row['started_at']:%Y-%m-%d %H:%M:%S}",
            str(row["http_status"] or ""),
            row["outcome"] or "open",
            answer_words(row),
            row["fbtrace_id"] or "",
        )
    return table


def _check(check: SpellingCheck) -> Iterator[RenderableType]:
    yield Text(check.sentence, "green" if check.matching else "red")
    yield _grid(
        (each.name, masking.short(each.digest), _equals(each.sent_as)) for each in check.tried
    )


def _equals(keys: tuple[str, ...]) -> str:
    return f"= {join_names(keys)}" if keys else ""


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for cells in rows:
        table.add_row(*(Text(text) for text in cells))
    return table
