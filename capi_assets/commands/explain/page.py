"""The history of an order as one page in the terminal; every value is shown through masking.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from capi_assets.commands.explain import masking
from capi_assets.commands.explain.facts import Candidate, OrderHistory
from capi_assets.commands.explain.find_order import Row, hour_of
from capi_assets.commands.explain.text import (
    answer_words,
    columns,
    dropped,
    key_rows,
    refused_words,
)
from capi_assets.coverage import formatting
from capi_assets.coverage.formatting import count, format_utc, join_names
from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.hours import hour_key
from capi_assets.order_identity import IDENTITY_CONFLICT
from capi_assets.printable import printable


def show(history: OrderHistory, console: Console) -> None:
    """Prints the page; called by `capi-assets explain`."""
    console.print(_headline(history))
    sections = [("Order as stored", _as_stored(history))]
    if history.order:
        sections += [("Verdict", _verdict(history, history.order))]
        sections += [("Visit", _visit(history, history.order))]
    sections += [("Match keys", _match_keys(history)), ("Payload", _payload(history))]
    sections += [("Plan", _plan(history)), ("Attempts", _attempts(history))]
    for title, parts in sections:
        if content := list(parts):
            console.print(Text(f"\n{title}", style="bold"))
            console.print(Group(*content))
    console.print()
    console.print(Panel(Text(history.to_do), title="What to do now", border_style="bold"))


def _headline(history: OrderHistory) -> RenderableType:
    row = history.order or history.quarantined[0]
    amount = row["value"]
    value = "no value" if amount is None else formatting.money(row["currency"], amount)
    when = format_utc(row["occurred_at"]) if history.order else f"hour {hour_key(history.hour)}"
    facts = [row["event_name"] or "event name unusable", value, when]
    if row["dataset_id"]:
        facts.append(f"dataset {row['dataset_id']}")
    head = (f"Order {printable(history.order_id)}", "bold")
    lines = [Text.assemble(head, "  ", printable(", ".join(facts)))]
    if history.others:
        lines.append(Text("Other rows have this id too; this is the newest. The others:"))
        lines += [Text(f"  {printable(_other(row))}") for row in history.others]
        lines.append(Text("Select one with --hour and --event-name."))
    return Group(*lines)


def _other(row: Row) -> str:
    quarantined = "" if "status" in row else ", quarantined"
    dataset = f", dataset {row['dataset_id']}" if row["dataset_id"] else ""
    return f"{hour_key(hour_of(row))}, {row['event_name'] or 'no event name'}{dataset}{quarantined}"


def _as_stored(history: OrderHistory) -> Iterator[RenderableType]:
    for row in history.quarantined:
        line = f", line {row['line']}" if row["line"] else ""
        place = f"{row['source']}{line}, in quarantine of {hour_key(row['hour'])}"
        yield Text(f"Quarantined: {place}", style="red")
        shapes: dict[str, str] = orjson.loads(row["shapes"] or "{}")
        yield _grid(
            (
                entry.replace(":", ": "),
                refused_words(entry),
                shapes.get(entry.partition(":")[0], ""),
            )
            for entry in row["reasons"].split()
        )
    if history.order is not None:
        yield _grid(columns(history))
    for name, reason in dropped(history):
        yield Text.assemble((f"{name} was dropped. ", "yellow"), reason)


def _verdict(history: OrderHistory, order: Row) -> Iterator[RenderableType]:
    row = history.event or order
    consent = {True: "given", False: "refused", None: "not recorded"}[row["consent"]]
    if order["consent"] is None and row["consent"] is not None:
        consent += " (from the visit)"
    reason = f" ({history.reason})" if history.reason else ""
    meaning = WITHHELD_TEXTS.get(history.reason or "")
    text = f"Status {order['status']}, consent {consent}: {history.verdict}{reason}."
    yield Text(f"{text} {meaning}" if meaning else text)
    if history.event and history.event["without_browser"]:
        yield Text(
            "The event has no user agent or no page (without_browser): Meta may not use it for"
            " optimisation, targeting or measurement.",
            "yellow",
        )


def _visit(history: OrderHistory, order: Row) -> Iterator[RenderableType]:
    chosen: str | None = history.event["visit_id"] if history.event else None
    if not history.candidates:
        yield Text("No stored visit within the lookback before the order shares a key with it.")
        if chosen:
            yield Text(f"It was matched with {chosen}, which is no longer stored.", "yellow")
        return
    table = _table("", "visit", "by", "age", "at")
    for place, visit in enumerate(history.candidates, start=1):
        is_chosen = visit.visit_id == chosen
        table.add_row(
            f"{place}{' ←' if is_chosen else ''}",
            visit.visit_id,
            ", ".join(visit.keys),
            formatting.format_duration(order["occurred_at"] - visit.visited_at),
            format_utc(visit.visited_at),
            style="green" if is_chosen else None,
        )
    yield table
    if history.all_candidates > len(history.candidates):
        yield Text(f"and {count(history.all_candidates - len(history.candidates), 'more visit')}.")
    yield Text(_choice(history.candidates, history.all_candidates))
    if history.event is not None and chosen != history.candidates[0].visit_id:
        yield Text(
            f"The event was built with {chosen or 'no visit'}: visits changed since. Materialize"
            f" matched_events of {hour_key(history.hour)} to match it again.",
            "yellow",
        )
    if history.event is not None:
        supplied = (history.event["lent"] or "").split()
        yield Text(f"The visit supplied {join_names(supplied) or 'nothing'}.")


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
    table = _table("key", "from", "value", "rule")
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
    until = formatting.deadline(history.planned["deliver_until"], history.now)
    yield Text(f"Now: {history.planned['action']}{reason}. Meta accepts the event until {until}.")


def _attempts(history: OrderHistory) -> Iterator[RenderableType]:
    if history.event is None:
        return
    known, reason = history.known, (history.planned or {}).get("reason")
    if known and (known["order_id"] != history.order_id or reason == IDENTITY_CONFLICT):
        yield Text(
            f"These are of another order {known['order_id']}, which has the same event_id.",
            "yellow",
        )
    if history.attempts:
        yield _attempt_table(history.attempts)
    else:
        yield Text("None.")
    for row in history.decisions:
        yield Text(
            f"{format_utc(row['decided_at'])}: {row['who']} decided to"
            f" {row['kind'].replace('_', ' ')}."
        )


def _attempt_table(attempts: list[Row]) -> Table:
    table = _table("time", "HTTP", "outcome", "Meta's response", "trace id")
    for row in attempts:
        table.add_row(
            f"{row['started_at']:%Y-%m-%d %H:%M:%S}",
            str(row["http_status"] or ""),
            row["outcome"] or "open",
            answer_words(row),
            row["fbtrace_id"] or "",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for cells in rows:
        table.add_row(*(Text(text) for text in cells))
    return table
