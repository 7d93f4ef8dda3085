"""Which stored rows are one person's: found by their digests and ids, and by what those rows share.

A row that has one of the named ids is the person's. So is a row that shares an e-mail, a phone, an
external id, a browser (`fbp`) or a visit with these rows, unless that id also occurs together with
somebody else's contact: then it is shared, and only counted. Events tell whose visit and browser an
order came from, and keep the marks of people whose orders have no contacts left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.engine import DuckDBEngine
from capi_assets.ingest.hashing import HashPolicy, hash_contacts
from capi_assets.ingest.pii_scan import stored_id
from capi_assets.lake import Lake
from capi_assets.order_identity import marks_of

Order = tuple[str, str, str]
"""Dataset, event name and order id."""

_CONTACTS = ("em", "ph", "external_id")
_MARKED = pa.schema([(n, pa.string()) for n in (*_CONTACTS, "fbp", "order_id", "visit_id")])
_CONTRACTS = {"orders": Orders, "visits": Visits, "matched_events": MatchedEvents}

# A digest counts without the appendix of Meta's parameter builder.
_OWN_CONTACTS = """
    'em:' || replace(regexp_replace(em, '(\\S{64})\\S*', '\\1', 'g'), ' ', ' em:'),
    'ph:' || replace(regexp_replace(ph, '(\\S{64})\\S*', '\\1', 'g'), ' ', ' ph:'),
    'external_id:' || replace(external_id, ' ', ' external_id:')
"""
_PEOPLE = f"""
SELECT 'orders' AS place, order_id AS id, dataset_id, event_name, event_id, visit_id,
    string_split(concat_ws(' ', {_OWN_CONTACTS}, 'fbp:' || fbp), ' ') AS ids
FROM orders
UNION ALL
SELECT 'visits', visit_id, NULL, NULL, NULL, visit_id,
    string_split(concat_ws(' ', {_OWN_CONTACTS}, 'fbp:' || fbp), ' ')
FROM visits
"""
_EVENTS = """
SELECT 'orders' AS place, order_id AS id, dataset_id, event_name, event_id, visit_id, person
FROM matched_events
UNION ALL
SELECT 'orders', order_id, dataset_id, event_name, event_id, visit_id, person FROM orders
"""


class NobodyNamedError(ValueError):
    """A given value is no e-mail address, phone number or external id; the message says which."""


@dataclass(frozen=True)
class Named:
    """What a person is named by: `ids` such as `em:62a14e44…`, and order ids.

    `texts` are the values as given, in lower case: the search looks for them, too.
    """

    ids: frozenset[str]
    orders: frozenset[str] = frozenset()
    texts: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def marks(self) -> list[str]:
        """The marks of `ids`, which orders without match data keep."""
        return Person(set(self.ids)).marks


@dataclass
class Person:
    """Everything by which the person's rows are found.

    Attributes:
        ids: contacts and browsers that are the person's alone, and the named ones.
        orders, event_ids, visits: of all their rows.
        shared: number of rows that share an id with these and also name somebody else.
    """

    ids: set[str]
    orders: set[Order] = field(default_factory=set)
    event_ids: set[str] = field(default_factory=set)
    visits: set[str] = field(default_factory=set)
    shared: int = 0

    @property
    def order_ids(self) -> set[str]:
        return {order_id for _, _, order_id in self.orders}

    @property
    def own_ids(self) -> set[str]:
        """The ids of their orders, events and visits."""
        return self.order_ids | self.event_ids | self.visits

    def add(self, other: Person) -> None:
        """Adds what was found of the same person at another time."""
        self.ids |= other.ids
        self.orders |= other.orders
        self.event_ids |= other.event_ids
        self.visits |= other.visits

    @property
    def tombstone_ids(self) -> set[str]:
        """The ids of the person's rows as `ingest.tombstones` reads them."""
        orders = {"order:" + "\x1f".join(order) for order in self.orders}
        return self.ids | orders | {f"id:{each}" for each in self.order_ids | self.visits}

    @property
    def marks(self) -> list[str]:
        """The person's marks (`order_identity.marks_of`), of contacts, browsers, orders, visits."""
        rows = [dict([each.split(":", 1)]) for each in self.ids]
        rows += [{"order_id": each} for each in self.order_ids]
        rows += [{"visit_id": each} for each in self.visits]
        table = pa.Table.from_pylist(rows, schema=_MARKED)
        return sorted({*marks_of(table)["mark"].to_pylist()})


def named_by(values: Mapping[str, Sequence[str]], policy: HashPolicy, now: datetime) -> Named:
    """A person by raw or hashed values, normalised and hashed as ingest does.

    `values` has lists named email, phone, external_id and order_id; `now` is aware UTC.

    Raises:
        NobodyNamedError: a value names nobody.
    """
    ids: set[str] = set()
    for column, kind in (("email", "em"), ("phone", "ph"), ("external_id", "external_id")):
        rows = pa.table({column: pa.array(values.get(column, ()), pa.string())})
        digests, problems = hash_contacts(rows, policy, now.date())
        for number, found in enumerate(digests[kind].to_pylist()):
            if not found:
                problem = problems[column][number].as_py() or "absent"
                raise NobodyNamedError(f"{column} {number + 1} cannot be used: {problem}")
            length = None if kind == "external_id" else 64
            ids |= {f"{kind}:{digest[:length]}" for digest in found.split()}
    texts = {text.strip().lower() for listed in values.values() for text in listed}
    stored = {each for text in values.get("order_id", ()) for each in (text, stored_id(text))}
    return Named(frozenset(ids), frozenset(stored), frozenset(texts))


def find_person(lake: Lake, named: Named) -> Person:
    """The person's rows in all stored hours of orders, visits and events.

    Raises:
        LakeError, duckdb.Error: a table cannot be read.
    """
    with duckdb.connect(":memory:") as connection:
        engine = DuckDBEngine(connection)
        for table, contract in _CONTRACTS.items():
            paths = lake.paths(table, lake.hours(table))
            engine.register(table, paths, arrow_schema(contract))
        search = _Search(connection)
        own = search.people(named.ids, {"orders": named.orders})
        while True:
            near = _Near(search, own, named)
            if not near.own:
                break
            own += near.own
        person = Person(near.ids, shared=near.shared)
        person.orders = {_order(row) for row in (*own, *near.events) if row["place"] != "visits"}
        person.visits = {row["id"] for row in own if row["place"] == "visits"}
        person.event_ids = {row["event_id"] for row in (*own, *near.events) if row["event_id"]}
    return person


class _Near:
    """What shares an id with the rows `own`: further rows of the person, and somebody else's.

    Attributes:
        own: orders and visits that are the person's, too; each round may find more.
        events: the person's events, also of orders that have no contacts left.
        ids: those of the rows' ids that are the person's alone, and the named ones.
        shared: number of rows that also name somebody else.
    """

    def __init__(self, search: _Search, own: list[dict[str, Any]], named: Named) -> None:
        contacts, links = _contacts(own) | named.ids, _ids(own) | named.ids
        known = {_key(row) for row in own}
        marks, own_marks = Person(contacts).marks, named.marks
        events = search.events(Person(links).marks, own, named.orders)
        self.events = [
            e for e in events if _key(e) in known or is_theirs(e["marks"], marks, own_marks)
        ]
        foreign_events = [event for event in events if event not in self.events]
        visits = {row["visit_id"] for row in (*own, *self.events)}
        visits -= {None, *(event["visit_id"] for event in foreign_events)}
        near = search.people(links, {"visits": visits})
        foreign = [row for row in near if not _contacts([row]) <= contacts]
        foreign_marks = {mark.lower() for event in foreign_events for mark in event["marks"]}
        alone = links - _ids(foreign)
        self.ids = {i for i in alone if not foreign_marks.intersection(Person({i}).marks)}
        self.ids |= named.ids
        strange = {_key(row) for row in (*foreign, *foreign_events)}
        strange |= {("visits", None, None, event["visit_id"]) for event in foreign_events}
        self.own = [
            row
            for row in near
            if _key(row) not in known | strange
            and (
                self.ids.intersection(row["ids"])
                or (row["place"] == "visits" and row["id"] in visits)
            )
        ]
        self.shared = len({_key(row) for row in (*foreign, *foreign_events)} - known)


def is_theirs(marks: Iterable[str], contacts: Iterable[str], named: Iterable[str]) -> bool:
    """Whether an event with these marks (`order_identity.person_of`) is a person's: it has one that
    the person is named by, or shares one of `contacts` and has no contact of anybody else."""
    theirs, own = {*contacts}, {mark for mark in marks if mark[:1].islower()}
    if own.intersection(named):
        return True
    return own <= theirs and any(mark.lower() in theirs for mark in marks)


class _Search:
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def people(self, ids: Iterable[str], names: dict[str, Iterable[str]]) -> list[dict[str, Any]]:
        """Rows of orders and visits with one of `ids`, or of a place with one of its `names`."""
        ((place, wanted),) = names.items()
        return self._rows(
            f"SELECT * FROM ({_PEOPLE}) WHERE list_has_any(ids, $1) OR (place = $2 AND id IN $3)",
            [[*ids], place, tuple(wanted)],
        )

    def events(
        self, marks: Sequence[str], own: Iterable[dict[str, Any]], orders: Iterable[str]
    ) -> list[dict[str, Any]]:
        """Events of people with one of `marks`, of the rows `own`, and of `orders` by id."""
        keys = {_order(row) for row in own if row["place"] == "orders"}
        ids = tuple({order_id for _, _, order_id in keys} | {*orders})
        where = "list_has_any(string_split(lower(person), ' '), $1) OR id IN $2"
        rows = self._rows(f"SELECT * FROM ({_EVENTS}) WHERE {where}", [[*marks], ids])
        has_mark = {*marks}.intersection
        return [
            row | {"marks": (row["person"] or "").split()}
            for row in rows
            if _order(row) in keys
            or row["id"] in {*orders}
            or has_mark((row["person"] or "").lower().split())
        ]

    def _rows(self, sql: str, values: list[Any]) -> list[dict[str, Any]]:
        found: pa.Table = self._connection.sql(sql, params=values).to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows


def _order(row: dict[str, Any]) -> Order:
    return row["dataset_id"], row["event_name"], row["id"]


def _contacts(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {each for each in _ids(rows) if each.split(":", 1)[0] in _CONTACTS}


def _ids(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {each for row in rows for each in row["ids"] if each}


def _key(row: dict[str, Any]) -> tuple[str | None, ...]:
    return row["place"], *_order(row)
