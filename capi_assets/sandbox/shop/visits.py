"""Visits of the sample shop, any of them by its hour and place in it: the landing columns.

A visit is fresh (from an ad, a search, a newsletter or directly) or a return to an earlier fresh
one, whose person, cookies and click id it carries on. Outages are applied in shop.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from capi_assets.sandbox.shop.countries import ADS, CAMPAIGNS, PRODUCTS, SHOP, SOURCES
from capi_assets.sandbox.shop.customers import DAY_MS, SYSTEM_STYLE, People, join, text, where
from capi_assets.sandbox.shop.keyed_random import HEX, URL_SAFE, Flags, Ints, KeyedRandom
from capi_assets.sandbox.shop.seasonality import Stream

_RETURNING = 0.35
_SHORTEST_RETURN_MS = 300_000
_LONGEST_RETURN_MS = 5 * DAY_MS
_CLICK_ID_LETTERS = 57

_REFERRERS = pa.array([source["referrer"] for source in SOURCES], pa.string())
_QUERIES = pa.array([source["query"] for source in SOURCES])
_PATHS = pa.array(
    [f"{SHOP}/", f"{SHOP}/collections/sale", f"{SHOP}/collections/new"]
    + [f"{SHOP}/products/{slug}" for slug, _ in PRODUCTS]
)
_PATH_WEIGHTS = [40.0, 12.0, 12.0] + [1.0] * len(PRODUCTS)
_FRESH: list[float] = [source["share"] for source in SOURCES]
_AGAIN: list[float] = [source["again"] for source in SOURCES]


@dataclass(frozen=True)
class Traffic:
    """The visits' stream and who is in it."""

    random: KeyedRandom
    stream: Stream
    people: int
    unconsented: float

    def visits(self, hours: Ints, index: Ints) -> Visits:
        return Visits(self, hours, index)

    def people_of(self, hours: Ints, index: Ints) -> People:
        """Who a fresh visit is: some people come far more often than others."""
        skewed = self.random.unit("person", hours, index) ** 1.3
        return People(self.random, (skewed * self.people).astype(np.int64))


@dataclass(frozen=True)
class Visits:
    """Columns of the visits at these hours and places, one row each, in the given order."""

    traffic: Traffic
    hours: Ints
    index: Ints

    @cached_property
    def _dice(self) -> KeyedRandom:
        return self.traffic.random.of(self.hours, self.index)

    @cached_property
    def at(self) -> Ints:
        """When, in milliseconds of the epoch."""
        stream = self.traffic.stream
        return stream.at(self.hours, self.index, stream.counts(self.hours))

    @cached_property
    def _origin(self) -> tuple[Ints, Ints, Flags]:
        """Hour and place of the fresh visit each one goes back to (itself when fresh)."""
        spread = np.log(_LONGEST_RETURN_MS / _SHORTEST_RETURN_MS)
        away = _SHORTEST_RETURN_MS * np.exp(spread * self._dice.unit("returns/away"))
        hours, index, found = self.traffic.stream.before(
            self.at - away.astype(np.int64), self.at - _SHORTEST_RETURN_MS // 2
        )
        earlier = self.traffic.random.of(hours, index)
        back = found & self._dice.chance(_RETURNING, "returns")
        back &= ~earlier.chance(_RETURNING, "returns")
        return np.where(back, hours, self.hours), np.where(back, index, self.index), back

    @cached_property
    def people(self) -> People:
        hours, index, _ = self._origin
        return self.traffic.people_of(hours, index)

    @cached_property
    def visit_id(self) -> Any:
        return self._dice.letters(HEX, 24, "visit")

    @cached_property
    def consent(self) -> Flags:
        return ~self.people.has(self.traffic.unconsented, "unconsented")

    @cached_property
    def _cookies(self) -> Flags:
        return self.consent & self.people.has(0.94, "cookies")

    @cached_property
    def _source(self) -> Ints:
        """Position in SOURCES; the first ADS of them are Meta's ads."""
        fresh = self._dice.choose(_FRESH, "source")
        again = self._dice.choose(_AGAIN, "source/again")
        return np.where(self._origin[2], again, fresh)

    @cached_property
    def _clicks(self) -> tuple[Flags, Any, Ints]:
        """The latest ad click each visitor carries: whether there is one, its id and its time."""
        hours, index, back = self._origin
        own = self._source < ADS
        first = back & (self.traffic.random.choose(_FRESH, "source", hours, index) < ADS)
        clicked = own | first
        hours, index = np.where(own, self.hours, hours), np.where(own, self.index, index)
        letters = self.traffic.random.of(hours[clicked], index[clicked]).letters
        ids = join("IwAR", letters(URL_SAFE, _CLICK_ID_LETTERS, "click"))
        # One id per click, spread over all rows; null elsewhere.
        ids = ids.take(pa.array(np.cumsum(clicked) - 1, mask=~clicked))
        # The browser stores the cookie just before its visit is written.
        before = self.traffic.random.below(900, "click/at", hours, index)
        return clicked, ids, self.traffic.visits(hours, index).at - before

    @cached_property
    def fbclid(self) -> Any:
        """The click id in the address of an ad's landing."""
        return where(self._source < ADS, self._clicks[1])

    @cached_property
    def fbc(self) -> Any:
        """The _fbc cookie of visitors who accept cookies and once came from an ad."""
        clicked, ids, stored = self._clicks
        kept = clicked & self._cookies & self._dice.chance(0.96, "fbc")
        return where(kept, join("fb.1.", text(stored), ".", ids))

    @cached_property
    def fbp(self) -> Any:
        return where(self._cookies, self.people.fbp(self.at))

    @cached_property
    def client_ip_address(self) -> Any:
        """One address, or for a few what a proxy wrote: `address, 10.0.0.7`."""
        address = self.people.ip(self.at)
        forwarded = self._dice.chance(0.01, "ip/forwarded")
        listed = where(forwarded, join(address, ", 10.0.0.7"), address)
        return where(self._dice.chance(0.98, "ip/known"), listed)

    def _page_url(self) -> Any:
        path = _PATHS.take(self._dice.choose(_PATH_WEIGHTS, "path"))
        campaign = self._dice.pick(CAMPAIGNS, "campaign")
        tail = where(self._source < ADS, join(campaign, "&fbclid=", self.fbclid), "")
        return join(path, _QUERIES.take(self._source), tail)

    def columns(self) -> dict[str, Any]:
        """The landing columns of `visits`, bar `occurred_at`."""
        logged_in = self.people.has(0.35, "account") & self._dice.chance(0.6, "logged in")
        mailed = logged_in & self._dice.chance(0.4, "email")
        called = logged_in & self._dice.chance(0.05, "phone")
        kept = self._dice.chance(0.9, "referrer")
        # A visit knows no country, so its phone is as the account's system stores it.
        stored = np.full(len(self.hours), SYSTEM_STYLE)
        return {
            "visit_id": self.visit_id,
            "page_url": self._page_url(),
            "referrer_url": where(kept, _REFERRERS.take(self._source)),
            "fbclid": self.fbclid,
            "fbc": self.fbc,
            "fbp": self.fbp,
            "client_ip_address": self.client_ip_address,
            "client_user_agent": self.people.user_agent(),
            "external_id": where(logged_in, self.people.external_id()),
            "email": where(mailed, self.people.email()),
            "phone": where(called, self.people.phone(stored)),
            "consent": pa.array(self.consent),
        }
