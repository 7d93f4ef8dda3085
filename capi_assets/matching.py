"""Joins each order to its best visit, which supplies the match keys that the order lacks.

Two statements of portable SQL (no QUALIFY, no ASOF): `candidate_visits_sql` selects the visits that
share any match key with the orders, in one scan; `best_sql` joins by each key and ranks. The event
is built from the result in `meta/events/build.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MATCHED_BY
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.engine import Engine
from capi_assets.meta.match_keys.click_ids import fbc_column
from capi_assets.meta.match_keys.page_urls import has_scheme, with_scheme
from capi_assets.shared_ids import shared_ids, without_shared_ids

# The visit's column that fills a missing value, by the order's column.
VISIT_SUPPLIED_COLUMNS = {
    "fbp": "fbp",
    "client_ip_address": "client_ip_address",
    "client_user_agent": "client_user_agent",
    "external_id": "external_id",
    "event_source_url": "page_url",
    "referrer_url": "referrer_url",
}

# E-mails and phones are joined by the first of several digests, without an appendix.
_DIGEST_CHARACTERS = 64

_JOINS = {
    "visit_id": "o.visit_id = v.visit_id",
    "external_id": "o.external_id = v.external_id",
    "em": "o.em_first = v.em_first",
    "ph": "o.ph_first = v.ph_first",
    "fbclid": "o.fbclid = v.fbclid",
    "fbp": "o.fbp = v.fbp",
    "ip_user_agent": (
        "o.client_ip_address = v.client_ip_address AND o.client_user_agent = v.client_user_agent"
    ),
}
# A purchase in a physical store did not take place in the visit's browser; the visit supplies only
# who the person is (page "Customer Information Parameters": the browser of the event itself).
_BROWSER_COLUMNS = frozenset(
    {"client_ip_address", "client_user_agent", "event_source_url", "referrer_url"}
)

MATCHED_ON = (
    *("occurred_at", "visit_id", "external_id", "em", "ph", "fbclid", "fbp"),
    *("client_ip_address", "client_user_agent"),
)
"""Columns of orders that find their visits."""

# The columns of `match`.
_ADDED = [
    pa.field("matched_by", pa.string()),
    pa.field("visit_age_seconds", pa.int64()),
    pa.field("lent", pa.string()),
    pa.field("shared_keys", pa.string()),
]
MATCHED = pa.schema([*arrow_schema(Orders), *_ADDED])

# The rank of a join is its position here: the strongest key first.
assert tuple(_JOINS) == MATCHED_BY

_NEAR_KEYS = {
    "visit_id": "visit_id",
    "external_id": "external_id",
    "em_first": f"substr(em, 1, {_DIGEST_CHARACTERS})",
    "ph_first": f"substr(ph, 1, {_DIGEST_CHARACTERS})",
    "fbclid": "fbclid",
    "fbp": "fbp",
}


def candidate_visits_sql() -> str:
    """The visits that share any match key with `wanted`, with the columns that they may supply."""
    shared = [
        f"{expression} IN (SELECT {key} FROM wanted WHERE {key} IS NOT NULL)"
        for key, expression in _NEAR_KEYS.items()
    ]
    # One lookup of both together: most user agents are those of some order.
    shared.append(
        "EXISTS (SELECT 1 FROM wanted o WHERE o.client_ip_address = visits.client_ip_address"
        " AND o.client_user_agent = visits.client_user_agent)"
    )
    return f"""
SELECT visit_id, occurred_at, page_url, referrer_url, fbclid, fbc, fbp, client_ip_address,
       client_user_agent, external_id, consent, {_NEAR_KEYS["em_first"]} AS em_first,
       {_NEAR_KEYS["ph_first"]} AS ph_first
FROM visits
WHERE {" OR ".join(shared)}
""".strip()


def candidates_sql() -> str:
    """Every order of `wanted` with every visit of `near` that shares a key and is in its lookback:
    one row per shared key, the strongest with the lowest `match_rank`."""
    return "\n  UNION ALL\n".join(
        f"""  SELECT o.row_number, {rank} AS match_rank, v.visit_id, v.occurred_at, v.fbc,
         o.fbclid AS named
  FROM wanted o JOIN near v ON {condition}
  WHERE v.occurred_at <= o.occurred_at AND v.occurred_at >= o.earliest"""
        for rank, condition in enumerate(_JOINS.values(), start=1)
    )


def best_sql() -> str:
    """For each order of `wanted` the best visit of `near`, and the click ids of its visits.

    Total order: strongest key, then most recent, then smallest visit_id. Visits after the order or
    before its lookback never match. `visit_fbc` is the most recent click of all visits that share a
    key with the order, `seen_fbc` the click that the order itself names; both with the time of
    their first sighting. IP address and user agent supply a click only if no stronger key matched.
    """
    weakest = len(_JOINS)
    # fb.1.<13 digits of milliseconds>.<click id>: the time's text sorts as the time does.
    return f"""
WITH candidates AS (
{candidates_sql()}
), ranked AS (
  SELECT row_number, match_rank, visit_id, occurred_at,
         ROW_NUMBER() OVER (PARTITION BY row_number
                            ORDER BY match_rank, occurred_at DESC, visit_id) AS place
  FROM candidates
), best AS (
  SELECT row_number, match_rank, visit_id, occurred_at FROM ranked WHERE place = 1
), sightings AS (
  SELECT c.row_number, c.fbc, c.named, split_part(c.fbc, '.', 4) AS click_id,
         ROW_NUMBER() OVER (PARTITION BY c.row_number, split_part(c.fbc, '.', 4)
                            ORDER BY split_part(c.fbc, '.', 3), c.fbc) AS sighting
  FROM candidates c JOIN best b ON b.row_number = c.row_number
  WHERE c.fbc IS NOT NULL AND (c.match_rank < {weakest} OR b.match_rank = {weakest})
), clicks AS (
  SELECT row_number, fbc, CASE WHEN click_id = named THEN fbc END AS seen_fbc,
         ROW_NUMBER() OVER (PARTITION BY row_number
                            ORDER BY split_part(fbc, '.', 3) DESC, click_id) AS place
  FROM sightings
  WHERE sighting = 1
), clicked AS (
  SELECT row_number, MAX(CASE WHEN place = 1 THEN fbc END) AS visit_fbc,
         MAX(seen_fbc) AS seen_fbc
  FROM clicks
  GROUP BY row_number
)
SELECT b.row_number, b.match_rank, b.visit_id, b.occurred_at AS visited_at, k.visit_fbc,
       k.seen_fbc, v.page_url AS visit_page_url, v.referrer_url AS visit_referrer_url,
       v.fbp AS visit_fbp, v.client_ip_address AS visit_client_ip_address,
       v.client_user_agent AS visit_client_user_agent, v.external_id AS visit_external_id,
       v.consent AS visit_consent
FROM best b
JOIN near v ON v.visit_id = b.visit_id AND v.occurred_at = b.occurred_at
LEFT JOIN clicked k ON k.row_number = b.row_number
""".strip()


def match(
    orders: pa.Table,
    visit_files: Sequence[UPath] | pa.Table,
    lookback: timedelta,
    engine: Engine,
) -> pa.Table:
    """`orders` in their order, each with the values that its best visit supplies.

    The asset `matched_events` calls it once for all hours of a run. `orders` conforms to the Orders
    contract; `visit_files` are Visits of at least `[first order - lookback, last order]`. The
    result has the columns of `orders`, missing values filled in, plus `matched_by` (a match key),
    `visit_age_seconds`, `lent` (the columns that the visit supplied, separated by spaces) and
    `shared_keys` (keys not used, see `shared_ids`); `visit_id` is the matched visit. All but
    `shared_keys` are null for an order without a visit.

        match(orders, lake.paths("visits", hours), timedelta(days=7), DuckDBEngine(connection))
    """
    return with_visits(orders, best_visits(orders, visit_files, lookback, engine))


def best_visits(
    orders: pa.Table,
    visit_files: Sequence[UPath] | pa.Table,
    lookback: timedelta,
    engine: Engine,
) -> pa.Table:
    """What `with_visits` needs of each order's best visit: one row per row of `orders`, in their
    order. Arguments as of `match`; of `orders` it reads `MATCHED_ON`. Of a busy hour it is far
    smaller than the result of `match`."""
    numbered = _register(orders.select(MATCHED_ON), visit_files, lookback, engine)
    del orders  # digests of a busy hour's orders, which the engine needs no more
    return in_order(numbered, engine.query(best_sql()))


def in_order(numbered: pa.Table, best: pa.Table) -> pa.Table:
    """`best_visits` of orders with `row_number` and `shared_keys`, of a result of `best_sql`."""
    place = pc.index_in(numbered["row_number"], value_set=best["row_number"].combine_chunks())
    found = best.drop_columns("row_number").take(place)
    return found.append_column("shared_keys", numbered["shared_keys"])


def with_visits(orders: pa.Table, best: pa.Table) -> pa.Table:
    """The result of `match` for some rows of the orders and the same rows of `best_visits`."""
    names = [f"{name}_matched" if name == "visit_id" else name for name in best.column_names]
    joined = pa.table([*orders.columns, *best.columns], [*orders.column_names, *names])
    return _with_visit_values(joined.combine_chunks())


def candidates(
    orders: pa.Table,
    visit_files: Sequence[UPath] | pa.Table,
    lookback: timedelta,
    engine: Engine,
) -> pa.Table:
    """All visits that share a key with an order; `explain` shows them. Arguments as of `match`.

    One row per order, visit and shared key: `row_number` (position in `orders`), `matched_by`,
    `visit_id`, `visited_at`. Sorted as in `best_sql`: an order's first row is the visit of `match`.
    """
    _register(orders, visit_files, lookback, engine)
    ranked = engine.query(candidates_sql()).sort_by(
        [
            ("row_number", "ascending"),
            ("match_rank", "ascending"),
            ("occurred_at", "descending"),
            ("visit_id", "ascending"),
        ]
    )
    place = pc.subtract(ranked.column("match_rank"), 1).cast(pa.int64())
    return pa.table(
        {
            "row_number": ranked.column("row_number"),
            "matched_by": pc.take(pa.array(MATCHED_BY), place),
            "visit_id": ranked.column("visit_id"),
            "visited_at": ranked.column("occurred_at"),
        }
    )


def _register(
    orders: pa.Table,
    visit_files: Sequence[UPath] | pa.Table,
    lookback: timedelta,
    engine: Engine,
) -> pa.Table:
    """Registers `wanted` and `near` on the engine; returns `row_number` and `shared_keys` of each
    order."""
    numbers = pa.array(np.arange(orders.num_rows))
    wanted = wanted_of(orders.append_column("row_number", numbers), lookback)
    del orders
    engine.register("wanted", wanted, wanted_schema())
    engine.register("visits", visit_files, arrow_schema(Visits))
    engine.materialize("near", candidate_visits_sql())
    wanted, shared_keys = without_shared_ids(wanted, shared_ids(engine))
    if shared_keys.null_count < len(shared_keys):
        engine.register("wanted", wanted, wanted_schema())
    return pa.table({"row_number": numbers, "shared_keys": shared_keys})


def wanted_of(numbered: pa.Table, lookback: timedelta) -> pa.Table:
    """The keys of orders that have `row_number`, as `wanted_schema`: what the SQL reads."""
    occurred = numbered.column("occurred_at")
    earliest = pc.subtract(occurred, pa.scalar(lookback, pa.duration("us")))
    columns = {
        name: numbered.column(name)
        for name in wanted_schema().names
        if name in numbered.column_names
    }
    columns |= {
        "earliest": earliest,
        "em_first": pc.utf8_slice_codeunits(numbered.column("em"), 0, _DIGEST_CHARACTERS),
        "ph_first": pc.utf8_slice_codeunits(numbered.column("ph"), 0, _DIGEST_CHARACTERS),
    }
    return pa.table({name: columns[name] for name in wanted_schema().names})


def wanted_schema() -> pa.Schema:
    """The columns of `wanted`; `earliest` is the start of the order's lookback."""
    orders = arrow_schema(Orders)
    names = ("visit_id", "external_id", "fbclid", "fbp", "client_ip_address", "client_user_agent")
    return pa.schema(
        [
            pa.field("row_number", pa.int64()),
            orders.field("occurred_at"),
            pa.field("earliest", orders.field("occurred_at").type),
            *(orders.field(name) for name in names),
            pa.field("em_first", pa.string()),
            pa.field("ph_first", pa.string()),
        ]
    )


def _with_visit_values(joined: pa.Table) -> pa.Table:
    """Missing values of the order filled in from its visit, and which these are."""
    supplied: dict[str, pa.Array] = {}
    in_a_store = pc.equal(joined.column("action_source"), "physical_store")
    for column, visit_column in VISIT_SUPPLIED_COLUMNS.items():
        own = joined.column(column).combine_chunks()
        of_visit = joined.column(f"visit_{visit_column}")
        if column in _BROWSER_COLUMNS:
            of_visit = pc.if_else(in_a_store, pa.scalar(None, pa.string()), of_visit)
        fallback = own
        if column == "event_source_url":  # a host without scheme yields to a visit's whole address
            own, fallback = pc.if_else(has_scheme(own), own, None), with_scheme(own)
        supplied[column] = pc.and_(pc.is_null(own), pc.is_valid(of_visit))
        joined = _with(joined, column, pc.coalesce(own, of_visit, fallback))

    # The visitor's consent or refusal applies to the order, unless the order has its own.
    own, of_visit = (joined.column(name).combine_chunks() for name in ("consent", "visit_consent"))
    supplied["consent"] = pc.and_(pc.is_null(own), pc.is_valid(of_visit))
    joined = _with(joined, "consent", pc.coalesce(own, of_visit))
    fbc, supplied["fbc"] = _latest_click(joined)
    joined = _with(joined, "fbc", fbc)
    age = pc.seconds_between(joined.column("visited_at"), joined.column("occurred_at"))
    names = pa.array(MATCHED_BY)
    place = pc.subtract(joined.column("match_rank"), 1).cast(pa.int64())
    joined = _with(joined, "matched_by", pc.take(names, place))
    joined = _with(joined, "visit_age_seconds", age)
    joined = _with(joined, "lent", _joined_names(supplied))
    joined = _with(joined, "visit_id", joined.column("visit_id_matched"))
    return joined.select(MATCHED.names)


def _latest_click(joined: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The most recent click of the order and its visits, and where a visit supplied it.

    Meta (page "fbp and fbc"): store the latest value, with the time when it was first seen. For a
    click id that the order names without its cookie, that time is a visit's, else the order's. Of
    two equally recent clicks, the order's own is taken.
    """
    cookie, named, seen, newest = (
        joined.column(name).combine_chunks() for name in ("fbc", "fbclid", "seen_fbc", "visit_fbc")
    )
    occurred = joined.column("occurred_at").combine_chunks()
    first_seen = fbc_column(pa.nulls(len(named), pa.string()), named, occurred).fbc
    uses_named = pc.and_(pc.is_valid(named), _later(pc.coalesce(seen, first_seen), cookie))
    own = pc.if_else(uses_named, pc.coalesce(seen, first_seen), cookie)
    uses_newest = _later(newest, own)
    supplied = pc.or_(uses_newest, pc.and_(uses_named, pc.is_valid(seen)))
    return pc.if_else(uses_newest, newest, own), supplied


def _later(fbc: pa.Array, known: pa.Array) -> pa.Array:
    """Where `fbc` is a different and later click than `known`, or `known` is null."""
    clicked_at, click = _parts(fbc)
    known_at, known_click = _parts(known)
    later = pc.and_(pc.greater(clicked_at, known_at), pc.not_equal(click, known_click))
    return pc.and_(pc.is_valid(fbc), pc.fill_null(later, True))


def _parts(fbc: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Milliseconds and click id of `fb.1.ms.click`, as text."""
    parts = pc.extract_regex(fbc, r"^fb\.\d\.(?P<ms>\d{13})\.(?P<click>[^.]+)")
    return pc.struct_field(parts, [0]), pc.struct_field(parts, [1])


def _joined_names(flags: dict[str, pa.Array]) -> pa.Array:
    """The names whose flag is set, by row, separated by spaces; null where none is."""
    joined = pa.scalar(None, pa.string())
    for name in sorted(flags):
        entry = pc.if_else(flags[name], name, pa.scalar(None, pa.string()))
        joined = pc.coalesce(pc.binary_join_element_wise(joined, entry, " "), joined, entry)
    return joined


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.schema.get_field_index(name), name, values)
    return table.append_column(name, values)
