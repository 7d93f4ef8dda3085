"""Orders of the sample shop, any of them by its hour and place in it: landing columns and truth.

An order comes from a visitor, minutes to days after the visit, with contact data as people type
it. Mistakes are planted on purpose and each is named, so that tests can count them.
Outages are applied in shop.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.sandbox.shop.countries import COUNTRIES, PRODUCTS, SHOP
from capi_assets.sandbox.shop.customers import People, join, text, where
from capi_assets.sandbox.shop.keyed_random import Flags, Ints, KeyedRandom
from capi_assets.sandbox.shop.seasonality import HOUR_MS
from capi_assets.sandbox.shop.visits import Traffic, Visits

# Rows that break the contract: quarantine must hold exactly these.
BROKEN = ("missing_currency", "value_not_a_number", "missing_order_id", "unknown_action_source")
# Fields that nobody can use: the order is delivered without them.
MISTAKES = ("broken_email", "impossible_phone", "ambiguous_birth_date")

_EVENTS = pa.array(["Purchase", "Lead", "Subscribe"])
_SOURCES = pa.array(["website", "physical_store", "phone_call"])
_STATUSES = pa.array(["confirmed", "pending", "cancelled", "test"])
_LATER = pa.array(["confirmed", "cancelled", "refunded"])
_STATUS_WEIGHTS = [0.93, 0.03, 0.03, 0.01]
_CURRENCIES = pa.array([country.currency for country in COUNTRIES])
_RATES = np.array([country.rate for country in COUNTRIES])
_MINOR = np.array([10**country.decimals for country in COUNTRIES], dtype=np.int64)
_CENTS = np.array([cents for _, cents in PRODUCTS], dtype=np.int64)

_NO_NUMBERS = ["n/a", "twelve", "1O5.00", "12.50.00"]
_NO_ADDRESSES = ["n/a", "none@", "mail.example.com", "me@@example.com", "a b@example"]
_NO_PHONES = ["123", "see e-mail", "+0", "000000", "999999999999999999"]
_UNCLEAR_DATES = ["03/04/1988", "05-06-1979", "7.8.92"]


@dataclass(frozen=True)
class Orders:
    """Columns of the orders at these hours and places, one row each; `at` is when they happened."""

    traffic: Traffic
    hours: Ints
    index: Ints
    at: Ints
    broken_share: float
    mistaken_share: float
    currency: str | None = None

    @cached_property
    def _dice(self) -> KeyedRandom:
        return self.traffic.random.of(self.hours, self.index, prefix="order/")

    @cached_property
    def _visit(self) -> tuple[Visits, Flags]:
        """The visit each order comes from, and whether there is one.

        Two thirds buy within the hour, most others within a day, some up to six days later.
        """
        reach = self._dice.choose([0.66, 0.22, 0.12], "reach")
        shortest, longest = np.array([[1 / 30, 0.5, 20.0], [2 / 3, 20.0, 144.0]])[:, reach]
        wait = (shortest + (longest - shortest) * self._dice.unit("wait")) * HOUR_MS
        opened = self.traffic.stream.first_hour * HOUR_MS
        target = self.at - wait.astype(np.int64)
        # Before the shop opened there was nothing to visit: such a wait falls inside its life.
        inside = opened + ((self.at - opened) * self._dice.unit("wait/inside")).astype(np.int64)
        target = np.where(target < opened, inside, target)
        hours, index, found = self.traffic.stream.before(target, self.at - 30_000)
        return self.traffic.visits(hours, np.where(found, index, 0)), found

    @cached_property
    def people(self) -> People:
        visits, found = self._visit
        strangers = self.traffic.people_of(self.hours, self.index)
        return People(self.traffic.random, np.where(found, visits.people.number, strangers.number))

    @cached_property
    def broken(self) -> Any:
        """Which of BROKEN each order is, or null."""
        return self._one_of(BROKEN, self._dice.chance(self.broken_share, "broken"), "broken/kind")

    @cached_property
    def mistake(self) -> Any:
        """Which of MISTAKES each order has, or null."""
        has = self._dice.chance(self.mistaken_share, "mistake") & ~self.weak
        return self._one_of(MISTAKES, has, "mistake/kind")

    def _one_of(self, names: tuple[str, ...], chosen: Flags, name: str) -> Any:
        return where(chosen, self._dice.pick(names, name))

    @cached_property
    def weak(self) -> Flags:
        """Orders that say nothing but a first name and a gender: Meta's 2804050."""
        return self._dice.chance(0.003, "weak") & ~self._is_broken

    @cached_property
    def _is_broken(self) -> Flags:
        return ~_flags(self.broken.is_null())

    @cached_property
    def origin(self) -> Any:
        """The id of the visit each order truly comes from, or null."""
        visits, found = self._visit
        return where(found, visits.visit_id)

    @cached_property
    def consent(self) -> Flags:
        return ~self.people.has(self.traffic.unconsented, "unconsented")

    @cached_property
    def _status(self) -> Ints:
        return self._dice.choose(_STATUS_WEIGHTS, "status")

    @cached_property
    def _event(self) -> Ints:
        drawn = self._dice.choose([0.90, 0.06, 0.04], "event")
        return np.where(self._is_broken | self.weak, 0, drawn)

    @cached_property
    def _source(self) -> Ints:
        drawn = self._dice.choose([0.92, 0.045, 0.035], "source")
        return np.where(self.weak, 2, drawn)

    @cached_property
    def order_id(self) -> Any:
        """Unique in a shop: seed, hour and place, as `S7-498213-00042`."""
        return join(f"S{self._dice.seed}-", text(self.hours), "-", text(self.index, 5))

    def _money(self) -> dict[str, Any]:
        """value (text: some are no numbers), currency, contents (JSON) and num_items."""
        country = self.people.country
        if self.currency is not None:
            country = np.full_like(country, _CURRENCIES.index(self.currency).as_py())
        minor = _MINOR[country]
        lines = 1 + self._dice.choose([0.62, 0.27, 0.11], "lines")
        total = np.zeros(len(country), dtype=np.int64)
        items = np.zeros(len(country), dtype=np.int64)
        contents: Any = pa.array([""] * len(country), pa.string())
        for line in range(3):
            there = lines > line
            product = self._dice.below(len(PRODUCTS), f"product/{line}")
            quantity = 1 + self._dice.choose([0.8, 0.15, 0.05], f"quantity/{line}")
            price = np.rint(_CENTS[product] / 100 * _RATES[country] * minor).astype(np.int64)
            total += np.where(there, price * quantity, 0)
            items += np.where(there, quantity, 0)
            item = join(
                ', {"id": "SKU-', text(product, 4), '", "quantity": ',
                text(quantity), ', "item_price": ', _amount(price, minor), "}",
            )  # fmt: skip
            contents = join(contents, where(there, item, ""))
        sold = self._event != 1
        currency = _CURRENCIES.take(country)
        currency = where(
            self._dice.chance(0.08, "currency/small"), pc.utf8_lower(currency), currency
        )
        no_number = self._dice.pick(_NO_NUMBERS, "any")
        value = where(self._kind("value_not_a_number"), no_number, _amount(total, minor))
        return {
            "value": where(sold, value),
            "currency": where(sold & ~self._kind("missing_currency"), currency),
            "contents": where(sold, join("[", pc.utf8_slice_codeunits(contents, 2), "]")),
            "content_type": where(sold, "product"),
            "num_items": pa.array(items, mask=~sold),
        }

    def _kind(self, name: str) -> Flags:
        planted = self.broken if name in BROKEN else self.mistake
        return _flags(pc.fill_null(pc.equal(planted, name), False))

    def _typed(self, values: Any, name: str) -> Any:
        """As hands type: now and then all small, all capitals, or with a space around."""
        forms = (pc.utf8_lower(values), pc.utf8_upper(values), join(values, " "), join(" ", values))
        style = np.searchsorted([0.08, 0.15, 0.19, 0.22], self._dice.unit("typed/" + name), "right")
        return pc.choose(style, *forms, values)

    def _person(self) -> dict[str, Any]:
        people, known = self.people, ~self.weak
        bad_email, bad_phone, bad_birth = (self._kind(name) for name in MISTAKES)
        email = where(
            bad_email, self._dice.pick(_NO_ADDRESSES, "any"), self._typed(people.email(), "email")
        )
        phone = where(
            bad_phone,
            self._dice.pick(_NO_PHONES, "any"),
            people.phone(self._dice.unit("phone/style")),
        )
        born = where(bad_birth, self._dice.pick(_UNCLEAR_DATES, "any"), people.birth_date())
        placed = known & self._dice.chance(0.8, "place")
        city, state, zip_code = people.place()
        return {
            "email": where(known & (bad_email | self._dice.chance(0.86, "email")), email),
            "phone": where(known & (bad_phone | self._dice.chance(0.55, "phone")), phone),
            "first_name": self._typed(people.first_name, "first"),
            "last_name": where(known, self._typed(people.last_name, "last")),
            "date_of_birth": where(known & (bad_birth | self._dice.chance(0.2, "born")), born),
            "gender": where(self.weak | self._dice.chance(0.3, "gender"), people.gender()),
            "city": where(placed, self._typed(city, "city")),
            "state": where(placed, state),
            "zip": where(placed, zip_code),
            "country": where(known, people.country_name(self._dice.unit("country"))),
            "external_id": where(
                known & people.has(0.35, "account") & self._dice.chance(0.9, "external_id"),
                people.external_id(),
            ),
        }

    def _browser(self) -> dict[str, Any]:
        """What the checkout page saw, for orders of the website."""
        visits, found = self._visit
        web = self._source == 0
        seen = web & found
        kept = seen & self._dice.chance(0.5, "cookies")
        return {
            "visit_id": where(seen & self._dice.chance(0.6, "visit_id"), visits.visit_id),
            "client_ip_address": where(
                seen & self._dice.chance(0.8, "ip"), visits.client_ip_address
            ),
            "client_user_agent": where(web, self.people.user_agent()),
            "fbc": where(kept, visits.fbc),
            "fbp": where(kept, visits.fbp),
            "fbclid": where(seen & ~kept & self._dice.chance(0.2, "fbclid"), visits.fbclid),
        }

    def columns(self) -> dict[str, Any]:
        """The landing columns of `orders`, bar `occurred_at`."""
        subscribed = self._event == 2
        return {
            "order_id": where(~self._kind("missing_order_id"), self.order_id),
            "event_name": _EVENTS.take(self._event),
            "action_source": where(
                self._kind("unknown_action_source"), "offline", _SOURCES.take(self._source)
            ),
            "status": _STATUSES.take(self._status),
            **self._money(),
            "event_source_url": where(self._source == 0, f"{SHOP}/checkout/thank-you"),
            **self._person(),
            **self._browser(),
            "subscription_id": where(subscribed, join("SUB-", self.order_id)),
            "consent": pa.array(self.consent),
        }  # fmt: skip

    def repeats(self) -> tuple[Ints, Any, Ints]:
        """Rows that land again: their positions, the status they then have, and when they land.

        Half of the pending are confirmed within the hour, a few confirmed ones are cancelled or
        refunded, and a few rows simply land twice.
        """
        share = np.where(self._status == 1, 0.5, np.where(self._status == 0, 0.014, 0.0))
        again = self._dice.chance(share, "again") & ~self._is_broken
        rows = np.flatnonzero(again)
        turns = np.where(self._status == 1, 0, self._dice.choose([0.3, 0.4, 0.3], "again/status"))
        statuses = _LATER.take(turns[rows])
        minutes = 1 + self._dice.below(59, "again/minutes")
        return rows, statuses, (self.at + minutes * 60_000)[rows]


def _flags(column: Any) -> Flags:
    flags: Flags = column.to_numpy(zero_copy_only=False)
    return flags


def _amount(minor_units: Ints, minor: Ints) -> Any:
    """`1234` in hundredths as `12.34`; in units as `1234`."""
    whole, rest = minor_units // minor, minor_units % minor
    cents = join(text(whole), ".", text(rest, 2))
    return where(minor == 100, cents, text(whole))
