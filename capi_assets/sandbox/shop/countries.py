"""Static data of the sample shop: countries with their ways of writing, devices, pages.

All people are fictional. Phone numbers are only from ranges that regulators keep for fiction (NANPA
555-01XX, Ofcom, ARCEP, Bundesnetzagentur, ComReg, PTS, ACMA): people of countries without such a
range give none. Sites are under `.example` (RFC 2606).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

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

# Letters that decomposition leaves whole, and the Japanese names as their owners write addresses.
ADDRESS_FORMS = {
    "ß": "ss", "ł": "l", "ø": "o", "愛子": "aiko", "さくら": "sakura", "結衣": "yui",
    "健太": "kenta", "大翔": "hiroto", "蓮": "ren", "佐藤": "sato", "鈴木": "suzuki",
    "高橋": "takahashi", "田中": "tanaka",
}  # fmt: skip

MAIL_HOSTS = ("example.com", "example.com", "example.com", "example.net", "mail.example.org")


_AGENTS = json.loads((_HERE / "user_agents.json").read_bytes())
USER_AGENTS: tuple[str, ...] = (
    *(
        template.format(
            v=version, app=version + 380
        )  # app: version of the Facebook app of its time
        for version in range(144, 155)
        for template in _AGENTS["chrome"]
    ),
    *(
        template.format(v=version, release=version.replace(".", "_"))
        for version in ("17.6", "18.5", "18.6", "26.0", "26.1")
        for template in _AGENTS["safari"]
    ),
)

# (slug, price in euro cents): the SKU is the position.
_THINGS = ("linen-shirt", "wool-sweater", "rain-jacket", "canvas-bag", "desk-lamp", "oak-stool",
           "tea-pot", "coffee-grinder", "notebook-a5", "fountain-pen", "running-shoe", "bike-light",
           "yoga-mat", "water-bottle", "phone-case", "travel-pillow")  # fmt: skip
_SHADES = ("black", "white", "olive", "navy", "rust", "sand", "plum", "sky")
PRODUCTS: tuple[tuple[str, int], ...] = tuple(
    (f"{thing}-{shade}", 890 + 730 * t + 95 * s)
    for t, thing in enumerate(_THINGS)
    for s, shade in enumerate(_SHADES)
)
CAMPAIGNS = ("prospecting_eu", "retargeting_30d", "lookalike_1pct", "spring_sale", "video_views")

# Where a visit comes from: share, referrer, query of the landing page. The first two are Meta's.
SOURCES: tuple[tuple[float, str | None, str], ...] = (
    (0.26, "https://l.facebook.com/", "?utm_source=facebook&utm_medium=paid_social&utm_campaign="),
    (0.12, "https://l.instagram.com/", "?utm_source=ig&utm_medium=paid_social&utm_campaign="),
    (0.24, "https://www.google.com/", ""),
    (0.04, "https://duckduckgo.com/", ""),
    (0.08, None, "?utm_source=newsletter&utm_medium=email"),
    (0.26, None, ""),
)
ADS = 2
