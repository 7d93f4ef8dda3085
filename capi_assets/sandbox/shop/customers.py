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
    """Values of every country in one row; `take` draws from a person's own country."""

    def __init__(self, of: Callable[[Country], Sequence[Any]]) -> None:
        lists = [list(of(country)) for country in COUNTRIES]
        self.values = pa.array([value for values in lists for value in values])
        self.sizes = np.array([len(values) for values in lists], dtype=np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes

    def take(self, country: Ints, unit: Floats) -> Any:
        positions = self.starts[country] + (unit * self.sizes[country]).astype(np.int64)
        return self.values.take(pa.array(positions))


_WOMEN = PerCountry(lambda c: c.women)
_MEN = PerCountry(lambda c: c.men)
_FAMILIES = PerCountry(lambda c: c.families)
_SPELLINGS = PerCountry(lambda c: c.spellings)
_CITIES = PerCountry(lambda c: [place[0] for place in c.places])
_STATES = PerCountry(lambda c: [place[1] for place in c.places])
_ZIPS = PerCountry(lambda c: [place[2] for place in c.places])
_AREAS = PerCountry(lambda c: [area for area, _, _, _ in c.dialling.ranges])
_MIDDLES = PerCountry(lambda c: [middle for _, middle, _, _ in c.dialling.ranges])
_RESTS = PerCountry(lambda c: [rest for _, _, rest, _ in c.dialling.ranges])
_FREE = PerCountry(lambda c: [free for _, _, _, free in c.dialling.ranges])
_HEADS = PerCountry(lambda c: [head for head, _, _ in c.dialling.styles()])
_GAPS = PerCountry(lambda c: [gap for _, gap, _ in c.dialling.styles()])
_LAST_GAPS = PerCountry(lambda c: [gap for _, _, gap in c.dialling.styles()])
_HAS_PHONE = np.array([bool(country.dialling.code) for country in COUNTRIES])
_WEIGHTS = [country.weight for country in COUNTRIES]
_DIGITS = pa.array([f"{n:0{width}}" for width in (1, 2, 3, 4) for n in range(10**width)])
_DIGITS_START = np.array([0, 0, 10, 110, 1_110], dtype=np.int64)


def join(*parts: Any, sep: str = "") -> Any:
    """Text columns and constants, row by row in one text; null where any part is null."""
    return pc.binary_join_element_wise(*parts, sep)


def text(numbers: Ints) -> Any:
    """Whole numbers as text."""
    return pa.array(numbers).cast(pa.string())


def where(flags: Flags, values: Any, otherwise: Any = None) -> Any:
    """`values` where the flag is set, else `otherwise` (null by default)."""
    rest = pa.scalar(None, pa.string()) if otherwise is None else otherwise
    return pc.if_else(pa.array(flags), values, rest)


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

    dice: KeyedRandom
    number: Ints

    @cached_property
    def country(self) -> Ints:
        """Positions in `COUNTRIES`."""
        return self.dice.choose(_WEIGHTS, "country", self.number)

    @cached_property
    def woman(self) -> Flags:
        return self.dice.chance(0.54, "woman", self.number)

    def consents(self, unconsented: float) -> Flags:
        """Who agreed to share data with Meta; the answer stays a person's own."""
        return ~self.dice.chance(unconsented, "unconsented", self.number)

    def has(self, share: float, what: str) -> Flags:
        """A lasting trait of about `share` of the people, such as having an account."""
        return self.dice.chance(share, what, self.number)

    def external_id(self) -> Any:
        return join("C", pc.utf8_lpad(text(self.number), 7, "0"))

    def user_agent(self) -> Any:
        return pa.array(USER_AGENTS).take(
            pa.array(self.dice.below(len(USER_AGENTS), "agent", self.number))
        )

    def fbp(self, at_ms: Ints) -> Any:
        """The _fbp cookie at each moment: renewed every 90 days, made before it is seen."""
        phase = self.dice.below(COOKIE_MS, "fbp/phase", self.number)
        born = at_ms - (at_ms - phase) % COOKIE_MS
        return join(
            "fb.1.", text(born), ".", text(self.dice.below(2**31, "fbp", self.number, born))
        )

    def ip(self, at_ms: Ints) -> Any:
        """Public addresses: a quarter of the people change theirs daily, a third have IPv6."""
        moves = self.has(0.25, "ip/moves")
        day = np.where(moves, at_ms // DAY_MS, 0)
        word = self.dice.words("ip", self.number, day)
        octets = [((word >> np.uint64(s)) & np.uint64(0xFF)).astype(np.int64) for s in (0, 8, 16)]
        block = _IPV4_BLOCKS[(word >> np.uint64(24)).astype(np.int64) % len(_IPV4_BLOCKS)]
        v4 = join(*(text(part) for part in (block, *octets)), sep=".")
        groups = [self.dice.letters(HEX, 4, f"ip/{g}", self.number, day) for g in range(4)]
        v6 = join(
            pa.scalar(_IPV6_BLOCK), groups[0], ":", groups[1], ":", groups[2], "::", groups[3]
        )
        return where(self.has(0.33, "ip/v6"), v6, v4)

    @cached_property
    def first_name(self) -> Any:
        unit = self.dice.unit("first", self.number)
        return where(self.woman, _WOMEN.take(self.country, unit), _MEN.take(self.country, unit))

    @cached_property
    def last_name(self) -> Any:
        return _FAMILIES.take(self.country, self.dice.unit("last", self.number))

    def email(self) -> Any:
        """One address per person, tidy: `jose.perez.4711@example.com`."""
        host = pa.array(MAIL_HOSTS).take(
            pa.array(self.dice.below(len(MAIL_HOSTS), "host", self.number))
        )
        local = join(
            _address_forms(self.first_name), _address_forms(self.last_name), text(self.number),
            sep=".",
        )  # fmt: skip
        return join(local, host, sep="@")

    def phone(self, style: Floats) -> Any:
        """The person's one number, written in a style drawn uniform in [0, 1); null without one."""
        unit = self.dice.unit("range", self.number)
        free: Ints = _FREE.take(self.country, unit).to_numpy()
        digits = self.dice.below(10**free, "phone", self.number)
        written = join(
            _HEADS.take(self.country, style),
            _AREAS.take(self.country, unit),
            _GAPS.take(self.country, style),
            _MIDDLES.take(self.country, unit),
            _LAST_GAPS.take(self.country, style),
            _RESTS.take(self.country, unit),
            _DIGITS.take(pa.array(_DIGITS_START[free] + digits)),
        )
        return where(_HAS_PHONE[self.country], written)

    @cached_property
    def _place(self) -> Floats:
        return self.dice.unit("place", self.number)

    def city(self) -> Any:
        return _CITIES.take(self.country, self._place)

    def state(self) -> Any:
        return _STATES.take(self.country, self._place)

    def zip(self) -> Any:
        return _ZIPS.take(self.country, self._place)

    def country_name(self, spelling: Floats) -> Any:
        """Code or name, as a form let it through; `spelling` is uniform in [0, 1)."""
        return _SPELLINGS.take(self.country, spelling)

    def birth_date(self) -> Any:
        """As the country writes it, and never ambiguous: the day is the 13th or later."""
        year = 1950 + self.dice.below(57, "born/year", self.number)
        month = 1 + self.dice.below(12, "born/month", self.number)
        day = 13 + self.dice.below(16, "born/day", self.number)
        parts = {"Y": text(year), "m": _two(month), "d": _two(day)}
        written = pa.nulls(len(self.number), pa.string())
        for style in sorted({country.birth_format for country in COUNTRIES}):
            mine = np.array([country.birth_format == style for country in COUNTRIES])
            sep = style[2]
            pieces = [parts[piece[1]] for piece in style.split(sep)]
            written = where(mine[self.country], join(*pieces, sep=sep), written)
        return written

    def gender(self) -> Any:
        """`f`, `Female`, `M` …: as forms store it."""
        style = self.dice.below(3, "gender/style", self.number)
        women, men = pa.array(["f", "Female", "F"]), pa.array(["m", "Male", "M"])
        return where(self.woman, women.take(pa.array(style)), men.take(pa.array(style)))


def _two(numbers: Ints) -> Any:
    return pc.utf8_lpad(text(numbers), 2, "0")
