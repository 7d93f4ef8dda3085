"""An order's story as one page for people; as JSON it is in `explain_json.py`.

Says nothing that `explain.Story` does not hold, and shows no value that `masks` would hide.
"""

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
from capi_assets.commands.explain.find_order import sighted_hour
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


def show(story: OrderHistory, console: Console, inquiry: SpellingCheck | None = None) -> None:
    """Prints the page."""
    console.print(_headline(story))
    sections = [
        ("What came in", _came_in(story)),
        ("Verdict", _verdict(story)),
        ("Visit", _visit(story)),
        ("Match keys", _match_keys(story)),
        ("Payload", _payload(story)),
        ("Plan", _plan(story)),
        ("Attempts", _attempts(story)),
    ]
    for title, parts in sections:
        content = list(parts)
        if content:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(Group(*content))
    if inquiry is not None:
        console.print(Text("\nThe value typed", style="bold"))
        console.print(Group(*_inquiry(inquiry)))
    console.print()
    console.print(Panel(Text(story.to_do), title="What to do now", border_style="bold"))


def _headline(story: OrderHistory) -> RenderableType:
    row = story.order or story.refused[0]
    worth = money(row["currency"], row["value"]) if row["value"] is not None else "no value"
    when = format_utc(row["occurred_at"]) if story.order else f"hour {hour_key(story.hour)}"
    facts = [row["event_name"] or "event name unusable", worth, when]
    if row["dataset_id"]:
        facts.append(f"dataset {row['dataset_id']}")
    lines = [Text.assemble(("Order ", "bold"), (story.order_id, "bold"), "  ", ", ".join(facts))]
    if story.others:
        lines.append(Text("The id stands elsewhere too; this is the newest. The others:"))
        lines += [Text(f"  {_other(row)}") for row in story.others]
        lines.append(Text("Ask for one with --hour and --event-name."))
    return Group(*lines)


def _other(row: dict[str, Any]) -> str:
    refused = "" if "status" in row else ", refused"
    dataset = f", dataset {row['dataset_id']}" if row["dataset_id"] else ""
    return (
        f"{hour_key(sighted_hour(row))}, {row['event_name'] or 'no event name'}{dataset}{refused}"
    )


def _came_in(story: OrderHistory) -> Iterator[RenderableType]:
    for row in story.refused:
        yield Text(f"Refused: {_place(row)}", style="red")
        yield _grid(
            (entry.replace(":", ": "), refused_words(entry), shape)
            for entry, shape in _with_shapes(row)
        )
    if story.order is None:
        return
    yield _grid(columns(story))
    for field, words in dropped(story):
        yield Text.assemble((f"{field} was dropped. ", "yellow"), words)


def _place(row: dict[str, Any]) -> str:
    line = f", line {row['line']}" if row["line"] else ""
    return f"{row['source']}{line}, in quarantine of {hour_key(row['hour'])}"


def _with_shapes(row: dict[str, Any]) -> list[tuple[str, str]]:
    shapes: dict[str, str] = orjson.loads(row["shapes"] or "{}")
    return [(entry, shapes.get(entry.partition(":")[0], "")) for entry in row["reasons"].split()]


def _verdict(story: OrderHistory) -> Iterator[RenderableType]:
    if story.order is None:
        return
    row = story.event or story.order
    consent = {True: "given", False: "refused", None: "not recorded"}[row["consent"]]
    if story.event and story.order["consent"] is None and row["consent"] is not None:
        consent += " (with the visit)"
    yield Text(f"Status {story.order['status']}, consent {consent}: {_verdict_words(story)}")


def _verdict_words(story: OrderHistory) -> str:
    words = WITHHELD_TEXTS.get(story.reason or "")
    told = f"{story.verdict} ({story.reason})" if story.reason else story.verdict
    return f"{told}. {words}" if words else f"{told}."


def _visit(story: OrderHistory) -> Iterator[RenderableType]:
    if story.order is None:
        return
    chosen: str | None = story.event["visit_id"] if story.event else None
    if not story.candidates:
        yield Text("No stored visit at or before the order, within the lookback, shares a key.")
        if chosen:
            yield Text(f"It was matched with {chosen}, which is not stored any more.", "yellow")
        return
    yield _candidate_table(story, chosen)
    if story.all_candidates > len(story.candidates):
        yield Text(f"and {count(story.all_candidates - len(story.candidates), 'more visit')}.")
    best = story.candidates[0]
    yield Text(_why(story.candidates, story.all_candidates))
    if story.event is not None and chosen != best.visit_id:
        yield Text(
            f"The event was built with {chosen or 'no visit'}: visits changed since. Materialize"
            f" matched_events of {hour_key(story.hour)} to match it anew.",
            "yellow",
        )
    if story.event is not None:
        lent = (story.event["lent"] or "").split()
        yield Text(f"The visit lent {join_names(lent)}." if lent else "The visit lent nothing.")


def _candidate_table(story: OrderHistory, chosen: str | None) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "visit", "by", "age", "at"):
        table.add_column(name, overflow="fold")
    for place, each in enumerate(story.candidates, start=1):
        table.add_row(
            f"{place}{' ←' if each.visit_id == chosen else ''}",
            each.visit_id,
            ", ".join(each.keys),
            _age(story, each),
            format_utc(each.visited_at),
            style="green" if each.visit_id == chosen else None,
        )
    return table


def _age(story: OrderHistory, candidate: Candidate) -> str:
    occurred: datetime = (story.order or {})["occurred_at"]
    return format_duration(occurred - candidate.visited_at)


def _why(candidates: list[Candidate], total: int) -> str:
    """Why the first won over the second, by the rule that decided."""
    best = candidates[0]
    if total == 1:
        return f"{best.visit_id} is the only visit that shares a key with the order."
    second = candidates[1]
    if second.keys[0] != best.keys[0]:
        return (
            f"{best.visit_id} wins: {best.keys[0]} is a stronger key than {second.keys[0]}, however"
            " old the visit."
        )
    if second.visited_at != best.visited_at:
        return f"{best.visit_id} wins: it is the most recent of those that share {best.keys[0]}."
    return f"{best.visit_id} wins a tie: it has the smallest id of equal visits."


def _match_keys(story: OrderHistory) -> Iterator[RenderableType]:
    rows = list(key_rows(story))
    if not rows:
        return
    if story.payload is None:
        yield Text("Of the order, as stored; no event was built from them.")
    table = Table(box=None, pad_edge=False)
    for name in ("key", "from", "value", "how it is made"):
        table.add_column(name, overflow="fold")
    for key, origin, value, rule in rows:
        table.add_row(key, origin, "\n".join(value), rule)
    yield table


def _payload(story: OrderHistory) -> Iterator[RenderableType]:
    if story.payload is None or story.event is None:
        return
    shown = orjson.dumps(masking.payload(story.payload), option=orjson.OPT_INDENT_2).decode()
    yield Text(shown)
    yield Text(f"SHA-256 of the bytes that are sent: {story.event['payload_sha256']}", "dim")


def _plan(story: OrderHistory) -> Iterator[RenderableType]:
    if story.planned is None:
        return
    reason = f" ({story.planned['reason']})" if story.planned["reason"] else ""
    until = deadline(story.planned["deliver_until"], story.now)
    yield Text(f"Now: {story.planned['action']}{reason}. Meta takes the event until {until}.")


def _attempts(story: OrderHistory) -> Iterator[RenderableType]:
    if story.event is None:
        return
    if story.known and story.known["order_id"] != story.order_id:
        yield Text(
            f"They carried order {story.known['order_id']}, which has the same event_id.", "yellow"
        )
    if not story.attempts:
        yield Text("None.")
    else:
        yield _attempt_table(story)
    for row in story.decisions:
        yield Text(
            f"{format_utc(row['decided_at'])}: {row['who']} decided to"
            f" {row['kind'].replace('_', ' ')}."
        )


def _attempt_table(story: OrderHistory) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("time", "HTTP", "outcome", "what Meta said", "trace id"):
        table.add_column(name, overflow="fold")
    for row in story.attempts:
        table.add_row(
            f"{row['started_at']:%Y-%m-%d %H:%M:%S}",
            str(row["http_status"] or ""),
            row["outcome"] or "open",
            answer_words(row),
            row["fbtrace_id"] or "",
        )
    return table


def _inquiry(inquiry: SpellingCheck) -> Iterator[RenderableType]:
    yield Text(inquiry.sentence, "green" if inquiry.matching else "red")
    yield _grid(
        (each.name, masking.short(each.digest), _equals(each.sent_as)) for each in inquiry.tried
    )


def _equals(keys: tuple[str, ...]) -> str:
    return f"= {join_names(keys)}" if keys else ""


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for cells in rows:
        table.add_row(*(Text(text) for text in cells))
    return table
