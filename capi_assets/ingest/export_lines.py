"""Lines of an export that are no orders of their own: sum lines, and further lines of an order.

`validate` removes them from each landed table before its rows are checked, and counts them. A line
that might be an order of its own is not removed: it goes on, to quarantine if it is broken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.ingest.casting import NUMBER
from capi_assets.ingest.readers import RawRows
from capi_assets.ingest.sources import LandedTable
from capi_assets.meta.match_keys.columns import as_text

SUM_WORDS = (
    *("total", "totals", "sum", "sums", "summary", "summe", "summen", "gesamt", "gesamtsumme"),
    *("endsumme", "insgesamt", "somme", "totaux", "totale", "totali", "somma", "suma", "totales"),
    *("soma", "totais", "totaal", "som", "totalt", "summa", "i alt", "sammenlagt", "yhteensä"),
    *("celkem", "celkom", "spolu", "razem", "suma końcowa", "ogółem", "összesen", "összeg"),
    *("ukupno", "skupaj", "total general", "toplam", "genel toplam", "σύνολο", "итого", "всего"),
    *("сумма", "разом", "усього", "общо", "合計", "総計", "小計", "总计", "合计", "小计", "總計"),
    *(
        "合計金額",
        "합계",
        "총계",
        "tổng",
        "tổng cộng",
        "jumlah",
        "รวม",
        "المجموع",
        "الإجمالي",
        'סה"כ',
    ),
)
"""How spreadsheets and shops begin a sum line, in lower case; `Sub-`, `Grand` or `général` may be
added, and a currency or a count in brackets may follow."""

_ADDED = (
    "grand|sub|sous|zwischen|overall|net|gross|general|général|generale|geral|orders?|sales"
    "|revenue|amount|montant|importe|valor|value|betrag|umsatz"
)
_LABEL = re.compile(
    rf"\W*(?:(?:{_ADDED})[\s-]*)?(?:{'|'.join(map(re.escape, SUM_WORDS))})"
    rf"(?:[\s-]+(?:{_ADDED}))?(?:\s*\([^)]*\)|[\s:=]+[a-z]{{3}})?\W*",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"(?:[A-Z]{3}|[^\w\s])?\s*[-(]?(?:\d{1,3}(?:[.,'’ \xa0\u202f]\d{3})+|\d+)(?:[.,]\d+)?"
    r"\)?\s*(?:[A-Z]{3}|[^\w\s])?"
)
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_AMOUNTS = ("value", "num_items")
_ITEMS = ("contents", "content_ids", "num_items")
_OF_THE_ORDER = ("occurred_at", "value", "currency")


@dataclass(frozen=True)
class LeftOut:
    """The lines of one source that are no orders of their own; `hour` is None for a SQL model."""

    hour: datetime | None
    source: str
    sum_lines: list[int]
    further_lines: int


def without_extra_lines(
    landed: LandedTable, columns: Collection[str], id_column: str
) -> tuple[LandedTable, LeftOut | None]:
    """`landed` without sum lines and further lines, and what was left out, None if nothing.

    `columns` are the names of the contract. A *sum line* stands at the end of a file, has neither
    time nor key, and only amounts, with a word such as `Total` or, without one, an amount that is
    at least that of every line above. A *further line* has the id of an earlier line, no value,
    lacks something that the earlier line has, and contradicts it in no column: Shopify writes one
    for each further item of an order. Items in JSON lists are added to the earlier line.
    """
    rows = landed.rows
    sum_lines: list[int] = []
    if not rows.lines.null_count:  # lines of a file have numbers, rows of a SQL model none
        rows, sum_lines = _without_sum_lines(rows, columns, id_column)
    rows, further = _without_further_lines(rows, columns, id_column)
    if not sum_lines and not further:
        return landed, None
    left_out = LeftOut(landed.hour, landed.source, sum_lines, further)
    return replace(landed, rows=rows), left_out


def _without_sum_lines(
    rows: RawRows, columns: Collection[str], id_column: str
) -> tuple[RawRows, list[int]]:
    bad_lines, end = list(rows.bad_lines), rows.table.num_rows
    sum_lines: list[int] = []
    currencies: set[str] = set()
    while True:
        line = rows.lines[end - 1].as_py() if end else 0
        if bad_lines and bad_lines[-1].line > line:
            cells = [cell for cell in bad_lines[-1].cells if cell.strip()]
            if not cells or not _LABEL.fullmatch(cells[0]) or not all(map(_is_amount, cells[1:])):
                break
            line = bad_lines.pop().line
        elif end:
            cells_of_row = _cells(rows, end - 1)
            if cells_of_row is None or not _has_only_amounts(cells_of_row, columns):
                break
            if not any(map(_LABEL.fullmatch, cells_of_row.values())):
                # One sum without a word per currency: more are orders that lost their ids.
                currency = cells_of_row.get("currency", "")
                if currency in currencies or not _may_be_sum(rows.table.slice(0, end), id_column):
                    break
                currencies.add(currency)
            end -= 1
        else:
            break
        sum_lines.insert(0, line)
    if not sum_lines:
        return rows, []
    keep = np.arange(rows.table.num_rows) < end
    return replace(rows.only(keep), bad_lines=bad_lines), sum_lines


def _cells(rows: RawRows, index: int) -> dict[str, str] | None:
    """The filled cells of a row as text; None if one is neither text nor a number."""
    if any(index in broken for broken in rows.not_utf8.values()):
        return None
    cells = {}
    for name, column in zip(rows.table.column_names, rows.table.columns, strict=True):
        try:
            value = column[index].as_py()
        except (UnicodeDecodeError, ValueError, OverflowError):
            return None
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return None
        if text := str(value).strip():
            cells[name] = text
    return cells


def _has_only_amounts(cells: dict[str, str], columns: Collection[str]) -> bool:
    """Whether there is nothing of an order but amounts and their currency, and a label."""
    labels = [name for name, text in cells.items() if _LABEL.fullmatch(text)]
    others = {name: text for name, text in cells.items() if name not in labels[:1]}
    return bool(cells) and all(
        _CURRENCY.fullmatch(text) is not None
        if name == "currency"
        else (name in _AMOUNTS or name not in columns) and _is_amount(text)
        for name, text in others.items()
    )


def _is_amount(text: str) -> bool:
    return not text.strip() or _AMOUNT.fullmatch(text.strip()) is not None


def _may_be_sum(table: pa.Table, id_column: str) -> bool:
    """Whether the last row's value is at least that of every order above: a smaller one may be an
    order's. A sum over no orders is 0."""
    if "value" not in table.column_names:
        return False
    values = as_text(table.column("value"))
    is_number = pc.fill_null(pc.match_substring_regex(values, NUMBER), False)
    numbers = pc.if_else(is_number, values, pa.scalar(None, pa.string())).cast(pa.float64())
    highest = pc.max(numbers.filter(table.column(id_column).is_valid())).as_py()
    value = numbers[-1].as_py()
    if value is None:
        return False
    return bool(value == 0 if highest is None else value >= highest)


def _without_further_lines(
    rows: RawRows, columns: Collection[str], id_column: str
) -> tuple[RawRows, int]:
    table = rows.table
    if not {id_column, "value"} <= {*table.column_names}:
        return rows, 0
    ids = as_text(table.column(id_column).combine_chunks())
    first = pc.index_in(ids, value_set=ids)
    is_later = pc.and_(pc.is_valid(ids), pc.less(first, np.arange(len(ids), dtype=np.int32)))
    is_further = pc.and_(is_later, _is_absent(table.column("value")))
    if not pc.any(is_further).as_py():
        return rows, 0
    lacks = pa.array(np.zeros(len(ids), bool))
    for name in columns:
        if name == id_column or name in _ITEMS or name not in table.column_names:
            continue
        column = table.column(name).combine_chunks()
        absent, of_first = _is_absent(column), column.take(first)
        if name in _OF_THE_ORDER:
            lacks = pc.or_(lacks, pc.and_(absent, pc.invert(_is_absent(of_first))))
        try:
            same = pc.fill_null(pc.equal(column, of_first), False)
        except pa.ArrowException:  # lists and structs cannot be compared
            same = pc.invert(pc.is_valid(ids))
        is_further = pc.and_(is_further, pc.or_(absent, same))
    further = pc.and_(is_further, lacks).to_numpy(zero_copy_only=False)
    for broken in rows.not_utf8.values():
        further[broken] = False
    table = _with_items(table, further, first.to_numpy(zero_copy_only=False))
    return replace(rows, table=table).only(~further), int(further.sum())


def _is_absent(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    absent = pc.is_null(column, nan_is_null=True)
    return absent.combine_chunks() if isinstance(absent, pa.ChunkedArray) else absent


def _with_items(
    table: pa.Table, further: npt.NDArray[np.bool_], first: npt.NDArray[Any]
) -> pa.Table:
    """The items of further lines added to the first line of their order."""
    for place, name in enumerate(table.column_names):
        if name not in _ITEMS or not pa.types.is_string(table.schema.field(place).type):
            continue
        values = table.column(place).to_pylist()
        for row in np.flatnonzero(further):
            if values[row] is not None:
                values[first[row]] = _joined(values[first[row]], values[row])
        table = table.set_column(place, name, pa.array(values, pa.string()))
    return table


def _joined(items: str | None, more: str) -> str:
    """Two JSON lists as one, two numbers as their sum; else text that the contract refuses."""
    try:
        left, right = orjson.loads(items or "null"), orjson.loads(more)
        if left is None:
            return more
        return orjson.dumps(left + right).decode()
    except (orjson.JSONDecodeError, TypeError):
        return f"{items} {more}"
