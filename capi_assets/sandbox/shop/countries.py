"""Static data of the sample shop: countries with their ways of writing, devices, pages.

All people are fictional. Phone numbers are only from ranges that regulators keep for fiction (NANPA
555-01XX, Ofcom, ARCEP, Bundesnetzagentur, ComReg, PTS, ACMA): people of countries without such a
range give none. Sites are under `.example` (RFC 2606).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

SHOP = "https://shop.example"


@dataclass(frozen=True)
class PhoneRange:
    """Numbers for fiction: any of `areas`, `middle`, then `start` and the free digits."""

    areas: tuple[str, ...]
    middle: str
    start: str
    free_digits: int


@dataclass(frozen=True)
class PhoneFormat:
    """Numbers under one code; `trunk` is dialled within the country, `exit` out of it."""

    code: str
    ranges: tuple[PhoneRange, ...]
    trunk: str = "0"
    exit: str = "00"

    def styles(self) -> tuple[tuple[str, str, str], ...]:
        """How people write them: text before the area, between area and middle, and after.

        The last is how systems do: `+441614960123`.
        """
        if not self.trunk:
            return (
                ("(", ") ", "-"), ("", "-", "-"), ("", ".", "."), ("", "", ""),
                (f"+{self.code} ", " ", " "), (f"+{self.code} (", ") ", "-"),
                (f"{self.code}-", "-", "-"), (f"+{self.code}", "", ""),
            )  # fmt: skip
        return (
            (self.trunk, " ", " "), (self.trunk, "/", ""), (self.trunk, "", ""),
            (self.trunk, "-", " "), (f"+{self.code} ", " ", " "),
            (f"{self.exit}{self.code} ", " ", " "),
            (f"+{self.code} ({self.trunk})", " ", " "), (f"+{self.code}", "", ""),
        )  # fmt: skip


NO_PHONES = PhoneFormat("", (PhoneRange(("",), "", "", 1),))


@dataclass(frozen=True)
class Country:
    """One country of the shop's customers; `rate` is what one euro costs in its currency.

    `places` are city, state and postal code.
    """

    code: str
    weight: float
    spellings: tuple[str, ...]
    currency: str
    rate: float
    women: tuple[str, ...]
    men: tuple[str, ...]
    families: tuple[str, ...]
    places: tuple[tuple[str, str | None, str | None], ...]
    birth_format: str
    decimals: int
    dialling: PhoneFormat = NO_PHONES


_HERE = Path(__file__).parent
COUNTRIES = TypeAdapter(tuple[Country, ...]).validate_json((_HERE / "countries.json").read_bytes())

_CATALOGUE = json.loads((_HERE / "catalogue.json").read_bytes())
CAMPAIGNS: list[str] = _CATALOGUE["campaigns"]
MAIL_HOSTS: list[str] = _CATALOGUE["mail_hosts"]
# Letters that decomposition leaves whole, and the Japanese names as their owners write addresses.
ADDRESS_FORMS: dict[str, str] = _CATALOGUE["address_forms"]
# Where a visit comes from: `share` of first visits and of later ones (`again`: some come back
# through another ad, whose newer click id must win), referrer, and query of the landing page.
SOURCES: list[dict[str, Any]] = _CATALOGUE["sources"]
ADS = 2  # the first sources are Meta's
# (slug, price in euro cents): the SKU is the position.
PRODUCTS: tuple[tuple[str, int], ...] = tuple(
    (f"{thing}-{shade}", 890 + 730 * t + 95 * s)
    for t, thing in enumerate(_CATALOGUE["things"])
    for s, shade in enumerate(_CATALOGUE["shades"])
)
# Of each version, with the Facebook app of its time.
USER_AGENTS: tuple[str, ...] = (
    *(
        template.format(v=version, app=version + 380)
        for version in range(144, 155)
        for template in _CATALOGUE["chrome"]
    ),
    *(
        template.format(v=version, release=version.replace(".", "_"))
        for version in ("17.6", "18.5", "18.6", "26.0", "26.1")
        for template in _CATALOGUE["safari"]
    ),
)
