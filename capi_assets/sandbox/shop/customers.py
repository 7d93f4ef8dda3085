"""The sample shop's customers: names, devices, and how they type their contact data.

Every column depends only on the seed and the customer's number, so a customer is the same in every
hour. Which visits and orders they make is in visits.py and orders.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.sandbox.shop.countries import (
    ADDRESS_FORMS,
    COUNTRIES,
    MAIL_HOSTS,
    USER_AGENTS,
    Country,
)
from capi_assets.sandbox.shop.keyed_random import HEX, Flags, Floats, Ints, KeyedRandom

DAY_MS = 86_400_000
COOKIE_MS = 90 * DAY_MS
SYSTEM_STYLE = 0.999  # the last way to write a phone number: E.164

# Blocks that are public by the rules and unseen on the Internet, so nobody's visit is invented:
# never announced military /8s, and IPv6 space that IANA has not given out.
_IPV4_BLOCKS = np.array([11, 21, 22, 26, 28, 29, 30, 33], dtype=np.int64)
_IPV6_BLOCK = "2d00:"


class PerCountry:
    """Columns with the values of every country; `take` draws a row of a person's own country."""

    def __init__(self, of: Callable[[Country], Sequence[Sequence[Any]]]) -> None:
        rows = [of(country) for country in COUNTRIES]
        self.columns = [
            pa.array(c) for c in zip(*(row for each in rows for row in each), strict=True)
        ]
        self.sizes = np.array([len(each) for each in rows], dtype=np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def take(self, country: Ints, unit: Floats) -> list[Any]:
        positions = self.starts[country] + (unit * self.sizes[country]).astype(np.int64)
        return [column.take(positions) for column in self.columns]


_WOMEN = PerCountry(lambda c: [(name,) for name in c.women])
_MEN = PerCountry(lambda c: [(name,) for name in c.men])
_FAMILIES = PerCountry(lambda c: [(name,) for name in c.families])
_SPELLINGS = PerCountry(lambda c: [(name,) for name in c.spellings])
_PLACES = PerCountry(lambda c: c.places)
_NUMBERS = PerCountry(
    lambda c: [
        (area, group.middle, group.start, group.free_digits)
        for group in c.dialling.ranges
        for area in group.areas
    ]
)
_STYLES = PerCountry(lambda c: c.dialling.styles())
_HAS_PHONE = np.array([bool(country.dialling.code) for country in COUNTRIES])
_WEIGHTS = [country.weight for country in COUNTRIES]
_DIGITS = pa.array([f"{n:0{width}}" for width in (1, 2, 3, 4) for n in range(10**width)])
_DIGITS_START = np.array([0, 0, 10, 110, 1_110], dtype=np.int64)


def join(*parts: Any, sep: str = "") -> Any:
    """Text columns and constants, row by row in one text; null where any part is null."""
    return pc.binary_join_element_wise(*parts, sep)


def text(numbers: Ints, width: int = 0) -> Any:
    """Whole numbers as text, with leading zeros up to `width`."""
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")


def where(flags: Flags, values: Any, otherwise: Any = None) -> Any:
    """`values` where the flag is set, else `otherwise` (null by default)."""
    rest = pa.scalar(None, pa.string()) if otherwise is None else otherwise
    return pc.if_else(flags, values, rest)


def with_column(rows: Any, name: str, values: Any, new_name: str | None = None) -> Any:
    """The table with other `values` in place of one column."""
    return rows.set_column(rows.column_names.index(name), new_name or name, values)


def _address_form(name: str) -> str:
    for letter, plain in ADDRESS_FORMS.items():
        name = name.lower().replace(letter, plain)
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(c for c in decomposed if c.isascii() and c.isalpha())


def _address_forms(names: Any) -> Any:
    """The mailbox form of a name column, worked out once per distinct name."""
    coded = names.dictionary_encode()
    forms = [_address_form(name) for name in coded.dictionary.to_pylist()]
    return pa.array(forms, pa.string()).take(coded.indices)


@dataclass(frozen=True)
class People:
    """Columns of the people with these numbers, one row each, in the given order."""

    random: KeyedRandom
    number: Ints

    @cached_property
    def _dice(self) -> KeyedRandom:
        return self.random.of(self.number)

    @cached_property
    def country(self) -> Ints:
        """Positions in `COUNTRIES`."""
        return self._dice.choose(_WEIGHTS, "country")

    @cached_property
    def woman(self) -> Flags:
        return self._dice.chance(0.54, "woman")

    def has(self, share: float, what: str) -> Flags:
        """A lasting trait of about `share` of the people, such as having an account."""
        return self._dice.chance(share, what)

    def external_id(self) -> Any:
        return join("C", text(self.number, 7))

    def user_agent(self) -> Any:
        return self._dice.pick(USER_AGENTS, "agent")

    def fbp(self, at_ms: Ints) -> Any:
        """The _fbp cookie at each moment: renewed every 90 days, made before it is seen."""
        phase = self._dice.below(COOKIE_MS, "fbp/phase")
        born = at_ms - (at_ms - phase) % COOKIE_MS
        return join("fb.1.", text(born), ".", text(self._dice.below(2**31, "fbp", born)))

    def ip(self, at_ms: Ints) -> Any:
        """Public addresses: a quarter of the people change theirs daily, a third have IPv6."""
        day = np.where(self.has(0.25, "ip/moves"), at_ms // DAY_MS, 0)
        word = self._dice.words("ip", day)
        octets = [((word >> np.uint64(s)) & np.uint64(0xFF)).astype(np.int64) for s in (0, 8, 16)]
        block = _IPV4_BLOCKS[(word >> np.uint64(24)).astype(np.int64) % len(_IPV4_BLOCKS)]
        v4 = join(*(text(part) for part in (block, *octets)), sep=".")
        groups = [self._dice.letters(HEX, 4, f"ip/{g}", day) for g in range(4)]
        v6 = join(
            pa.scalar(_IPV6_BLOCK), groups[0], ":", groups[1], ":", groups[2], "::", groups[3]
        )
        return where(self.has(0.33, "ip/v6"), v6, v4)

    def _of_country(self, values: PerCountry, name: str) -> list[Any]:
        return values.take(self.country, self._dice.unit(name))

    @cached_property
    def first_name(self) -> Any:
        [women], [men] = (self._of_country(names, "first") for names in (_WOMEN, _MEN))
        return where(self.woman, women, men)

    @cached_property
    def last_name(self) -> Any:
        return self._of_country(_FAMILIES, "last")[0]

    def email(self) -> Any:
        """One address per person, tidy: `jose.perez.4711@example.com`."""
        names = (_address_forms(self.first_name), _address_forms(self.last_name))
        local = join(*names, text(self.number), sep=".")
        return join(local, self._dice.pick(MAIL_HOSTS, "host"), sep="@")

    def phone(self, style: Floats) -> Any:
        """The person's one number, written in a style drawn uniform in [0, 1); null without one."""
        area, middle, start, free = self._of_country(_NUMBERS, "range")
        head, gap, last_gap = _STYLES.take(self.country, style)
        free = free.to_numpy()
        digits = _DIGITS.take(_DIGITS_START[free] + self._dice.below(10**free, "phone"))
        written = join(head, area, gap, middle, last_gap, start, digits)
        return where(_HAS_PHONE[self.country], written)

    def place(self) -> list[Any]:
        """City, state and postal code."""
        return self._of_country(_PLACES, "place")

    def country_name(self, spelling: Floats) -> Any:
        """Code or name, as a form let it through; `spelling` is uniform in [0, 1)."""
        return _SPELLINGS.take(self.country, spelling)[0]

    def birth_date(self) -> Any:
        """As the country writes it, and never ambiguous: the day is the 13th or later."""
        parts = {
            "Y": text(1950 + self._dice.below(57, "born/year")),
            "m": text(1 + self._dice.below(12, "born/month"), 2),
            "d": text(13 + self._dice.below(16, "born/day"), 2),
        }
        written = pa.nulls(len(self.number), pa.string())
        for style in sorted({country.birth_format for country in COUNTRIES}):
            mine = np.array([country.birth_format == style for country in COUNTRIES])
            sep = style[2]
            pieces = [parts[piece[1]] for piece in style.split(sep)]
            written = where(mine[self.country], join(*pieces, sep=sep), written)
        return written

    def gender(self) -> Any:
        """`f`, `Female`, `M` …: as forms store it."""
        women, men = (
            self._dice.pick(forms, "gender/style")
            for forms in (["f", "Female", "F"], ["m", "Male", "M"])
        )
        return where(self.woman, women, men)
