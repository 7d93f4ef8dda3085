"""An order finds its visit, and the visit lends it the match keys it lacks.

Portable SQL in two statements, the same text on every engine: `near` keeps the visits that share
any key with the orders (one scan), `best` joins each key and ranks. No dialect's own words: no
QUALIFY, no ASOF. Building the event from what was found is `meta.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

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
from capi_assets.shared_ids import without_shared_ids

# What a visit lends, by order column; the visit's column where it has another name.
VISIT_SUPPLIED_COLUMNS = {
    "fbp": "fbp",
    "client_ip_address": "client_ip_address",
    "client_user_agent": "client_user_agent",
    "external_id": "external_id",
    "event_source_url": "page_url",
    "referrer_url": "referrer_url",
}

# The first of several digests, without an appendix, is what e-mails and phones are joined by.
_DIGEST = 64

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
# Where and with what the visitor browsed is not where a purchase in a shop took place; who it was
# is lent all the same (page "Customer Information Parameters": the event's own browser).
_OF_THE_BROWSER = frozenset(
    {"client_ip_address", "client_user_agent", "event_source_url", "referrer_url"}
)

# The rank of a join is its place here: the strongest key first.
assert tuple(_JOINS) == MATCHED_BY

_NEAR_KEYS = {
    "visit_id": "visit_id",
    "external_id": "external_id",
    "em_first": f"substr(em, 1, {_DIGEST})",
    "ph_first": f"substr(ph, 1, {_DIGEST})",
    "fbclid": "fbclid",
    "fbp": "fbp",
}


def candidate_visits_sql() -> str:
    """The visits that share any match key with `wanted`, with the columns that they may lend."""
    alike = [
        f"{expression} IN (SELECT {key} FROM wanted WHERE {key} IS NOT NULL)"
        for key, expression in _NEAR_KEYS.items()
    ]
    alike.append(
        "(client_ip_address IN (SELECT client_ip_address FROM wanted"
        " WHERE client_ip_address IS NOT NULL)"
        " AND client_user_agent IN (SELECT client_user_agent FROM wanted"
        " WHERE client_user_agent IS NOT NULL))"
    )
    return f"""
SELECT visit_id, occurred_at, page_url, referrer_url, fbclid, fbc, fbp, client_ip_address,
       client_user_agent, external_id, consent, {_NEAR_KEYS["em_first"]} AS em_first,
       {_NEAR_KEYS["ph_first"]} AS ph_first
FROM visits
WHERE {" OR ".join(alike)}
""".strip()


def candidates_sql() -> str:
    """Every order of `wanted` with every visit of `near` that shares a key and lies in time: one
    row per key they share, the strongest with the lowest `match_rank`."""
    return "\n  UNION ALL\n".join(
        f"""  SELECT o.row_number, {rank} AS match_rank, v.visit_id, v.occurred_at, v.fbc,
         o.fbclid AS named
  FROM wanted o JOIN near v ON {condition}
  WHERE v.occurred_at <= o.occurred_at AND v.occurred_at >= o.earliest"""
        for rank, condition in enumerate(_JOINS.values(), start=1)
    )


def best_sql() -> str:
    """For each order of `wanted` the best visit of `near`, and the click ids that visits know.

    Total order: strongest key, then most recent, then smallest visit_id. A visit after the order,
    or before its lookback, never counts. `visit_fbc` is the most recent click of all visits that
    the order shares a key with, `seen_fbc` the click that the order itself names; both as they
    were seen first. Address and browser alone lend one only where nothing better matched.
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
    orders: pa.Table, visit_files: Sequence[UPath] | pa.Table, lookback: timedelta, engine: Engine
) -> pa.Table:
    """Orders with what their visits lend, in the order of `orders`.

    `orders` conforms to the Orders contract and `visit_files` hold Visits of at least
    `[first order - lookback, last order]`. The result has the columns of `orders`, with lent
    values filled in, plus `matched_by`, `visit_age_seconds` and `lent` (text: what the visit gave,
    separated by spaces) and `shared_keys` (keys not used, see `shared_ids`); `visit_id` is the
    visit that was found.
    """
    numbered = _gather(orders, visit_files, lookback, engine)
    found = engine.query(best_sql())
    joined = numbered.join(found, "row_number", right_suffix="_found").sort_by("row_number")
    return _lend(joined.combine_chunks())


def candidates(
    orders: pa.Table, visit_files: Sequence[UPath] | pa.Table, lookback: timedelta, engine: Engine
) -> pa.Table:
    """All visits that orders could have taken; arguments as of `match`.

    One row per order, visit and key they share: `row_number` (place in `orders`), `matched_by`,
    `visit_id`, `visited_at`. In the order of `best_sql`: an order's first row is what `match` took.
    """
    _gather(orders, visit_files, lookback, engine)
    found = engine.query(candidates_sql())
    ranked = found.sort_by(
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


def _gather(
    orders: pa.Table, visit_files: Sequence[UPath] | pa.Table, lookback: timedelta, engine: Engine
) -> pa.Table:
    """Makes `wanted` and `near` on the engine; returns the orders with their `row_number`."""
    numbered = orders.append_column("row_number", pa.array(range(orders.num_rows), pa.int64()))
    wanted = _wanted(numbered, lookback)
    engine.register("wanted", wanted, _wanted_schema())
    engine.register("visits", visit_files, arrow_schema(Visits))
    engine.materialize("near", candidate_visits_sql())
    wanted, shared_keys = without_shared_ids(wanted, engine)
    if shared_keys.null_count < len(shared_keys):
        engine.register("wanted", wanted, _wanted_schema())
    return numbered.append_column("shared_keys", shared_keys)


def _wanted(numbered: pa.Table, lookback: timedelta) -> pa.Table:
    occurred = numbered.column("occurred_at")
    earliest = pc.subtract(occurred, pa.scalar(lookback, pa.duration("us")))
    columns = {
        name: numbered.column(name)
        for name in _wanted_schema().names
        if name in numbered.column_names
    }
    columns |= {
        "earliest": earliest,
        "em_first": pc.utf8_slice_codeunits(numbered.column("em"), 0, _DIGEST),
        "ph_first": pc.utf8_slice_codeunits(numbered.column("ph"), 0, _DIGEST),
    }
    return pa.table({name: columns[name] for name in _wanted_schema().names})


def _wanted_schema() -> pa.Schema:
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


def _lend(joined: pa.Table) -> pa.Table:
    """Fills what the order lacks from its visit, and notes what was lent."""
    lent: dict[str, pa.Array] = {}
    in_a_store = pc.equal(joined.column("action_source"), "physical_store")
    for column, visit_column in VISIT_SUPPLIED_COLUMNS.items():
        own = joined.column(column).combine_chunks()
        given = joined.column(f"visit_{visit_column}")
        if column in _OF_THE_BROWSER:
            given = pc.if_else(in_a_store, pa.scalar(None, pa.string()), given)
        if column == "event_source_url":  # a host without scheme yields to a visit's whole address
            own, guessed = pc.if_else(has_scheme(own), own, None), with_scheme(own)
        else:
            guessed = own
        lent[column] = pc.and_(pc.is_null(own), pc.is_valid(given))
        joined = _with(joined, column, pc.coalesce(own, given, guessed))

    # What the visitor agreed to or refused holds for the order, unless the order says otherwise.
    consent = pc.coalesce(joined.column("consent"), joined.column("visit_consent"))
    joined = _with(joined, "consent", consent)
    fbc, fbc_lent = _click(joined)
    joined = _with(joined, "fbc", fbc)
    lent["fbc"] = fbc_lent
    age = pc.seconds_between(joined.column("visited_at"), joined.column("occurred_at"))
    names = pa.array(MATCHED_BY)
    place = pc.subtract(joined.column("match_rank"), 1).cast(pa.int64())
    joined = _with(joined, "matched_by", pc.take(names, place))
    joined = _with(joined, "visit_age_seconds", age)
    joined = _with(joined, "lent", _words(lent))
    joined = _with(joined, "visit_id", joined.column("visit_id_found"))
    kept = [*arrow_schema(Orders).names, "matched_by", "visit_age_seconds", "lent", "shared_keys"]
    return joined.select(kept)


def _click(joined: pa.Table) -> tuple[pa.Array, pa.Array]:
    """The most recent click of the order and its visits, and where it is lent; a tie is its own.

    Meta (page "fbp and fbc"): keep the latest value, with the time when it was first seen. When
    that was of a click id that the order names without its cookie, a visit knows; else the order
    was the first to see it.
    """
    cookie, named, seen, newest = (
        joined.column(name).combine_chunks() for name in ("fbc", "fbclid", "seen_fbc", "visit_fbc")
    )
    occurred = joined.column("occurred_at").combine_chunks()
    first_seen = fbc_column(pa.nulls(len(named), pa.string()), named, occurred).fbc
    uses_named = pc.and_(pc.is_valid(named), _later(pc.coalesce(seen, first_seen), cookie))
    own = pc.if_else(uses_named, pc.coalesce(seen, first_seen), cookie)
    uses_newest = _later(newest, own)
    lent = pc.or_(uses_newest, pc.and_(uses_named, pc.is_valid(seen)))
    return pc.if_else(uses_newest, newest, own), lent


def _later(fbc: pa.Array, known: pa.Array) -> pa.Array:
    """Where `fbc` is of another and later click than `known`, or there is none known."""
    made, click = _parts(fbc)
    known_made, known_click = _parts(known)
    later = pc.and_(pc.greater(made, known_made), pc.not_equal(click, known_click))
    return pc.and_(pc.is_valid(fbc), pc.fill_null(later, True))


def _parts(fbc: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Milliseconds and click id of `fb.1.ms.click`, as text."""
    found = pc.extract_regex(fbc, r"^fb\.\d\.(?P<ms>\d{13})\.(?P<click>[^.]+)")
    return pc.struct_field(found, [0]), pc.struct_field(found, [1])


def _words(lent: dict[str, pa.Array]) -> pa.Array:
    words = None
    for name, flags in sorted(lent.items()):
        word = pc.if_else(flags, name, pa.scalar(None, pa.string()))
        both = word if words is None else pc.binary_join_element_wise(words, word, " ")
        words = word if words is None else pc.coalesce(both, words, word)
    return words


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.schema.get_field_index(name), name, values)
    return table.append_column(name, values)
