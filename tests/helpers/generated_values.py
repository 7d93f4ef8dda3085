"""Values as shops' databases hold them, clean and dirty, drawn from a seed."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections.abc import Callable

_FIRST = ["Mary", "José", "Zoë", "정", "Анна", "Łukasz", "Jean-Luc", "Mary Ann", "D'Arcy", "Åsa"]
_LAST = [
    "undefined",
    "Smith",
    "O'Brien",
    "O’Neill",
    "Müller",
    "de la Cruz",
    "STRAßE",
    "Nguyễn",
    "Иванов",
    "王",
]
_CITIES = ["New York", "St. Louis", "Saint-Denis", "São Paulo", "L'Aquila", "Москва", "Paris 15"]
_CITIES += ["Washington, D.C.", "Frankfurt (Main)", "東京", "Aix-en-Provence", "Köln", "123"]
_STATES = ["CA", "ny", "California", "N.Y.", "Ontario", "Bayern", "New South Wales", "Québec", "75"]
_STATES += [
    "District of Columbia",
    "Île-de-France",
    "São Paulo",
    "WA",
    "TX",
    "BC",
    "Tōkyō",
    "US-CA",
]
_COUNTRIES = ["US", "us", "GB", "de", "United States", "USA", "UK", "Deutschland", "France", "XX"]
_COUNTRIES += ["España", "Côte d'Ivoire", "D.E.", "EL", "日本", "XK", "Brasil", "N/A", "840", "in "]
_WORDS = ["f", "m", "F", "M", "Female", "male", "Frau", "herr", "nonbinary", "x", "Mrs.", "1"]
_DOMAINS = [
    "example.com",
    "Mail.Example.org",
    "exämple.de",
    "example.co.uk",
    "example",
    "exa mple.com",
]
_PHONES = [
    lambda r: f"+1 {r.randrange(201, 990)} {r.randrange(200, 999)} {r.randrange(10**4):04}",
    lambda r: f"1{r.randrange(201, 990)}{r.randrange(200, 999)}{r.randrange(10**4):04}",
    lambda r: f"({r.randrange(201, 990)}) 555-{r.randrange(10**4):04}",
    lambda r: f"+44 7{r.randrange(400, 999)} {r.randrange(10**6):06}",
    lambda r: f"+44 (0)7{r.randrange(400, 999)} {r.randrange(10**6):06}",
    lambda r: f"0044-7{r.randrange(400, 999)}-{r.randrange(10**6):06}",
    lambda r: f"07{r.randrange(400, 999)} {r.randrange(10**6):06}",
    lambda r: f"+49 151 {r.randrange(10**8):08}",
    lambda r: f"+33.6.{r.randrange(10**8):08}",
    lambda r: f"33 6{r.randrange(10**8):08}",
    lambda r: f"+55 11 9{r.randrange(10**8):08}",
    lambda r: f"+52 1 55 {r.randrange(10**8):08}",
    lambda r: f"+1 650 555 {r.randrange(10**4):04} x{r.randrange(1000)}",
    lambda r: str(r.randrange(10 ** r.randrange(3, 20))),
]
_POSTCODES = [
    lambda r: f"{r.randrange(10**5):05}",
    lambda r: f"{r.randrange(10**5):05}-{r.randrange(10**4):04}",
    lambda r: f"{r.randrange(10**9):09}",
    lambda r: f"SW{r.randrange(20)}A {r.randrange(10)}AA",
    lambda r: f"{r.randrange(1000):03}-{r.randrange(10**4):04}",
    lambda r: f"{r.randrange(100):02}-{r.randrange(1000):03}",
    lambda r: f"{r.randrange(10**4):04} AB",
    lambda r: f"K{r.randrange(10)}A {r.randrange(10)}B{r.randrange(10)}",
    lambda r: str(r.randrange(100)),
]
_DATES = ["{0:04}{1:02}{2:02}", "{0:04}-{1:02}-{2:02}", "{1}/{2}/{0}", "{2:02}.{1:02}.{0}", "{0}"]
_KNOWN = ["IwAR2F4", "IwAR2F4-dbP0_x", "iwar2f4", "AbCdEf", "IwZXh0bgNhZW0", "Iw.AR", "null", "ünï"]


def _email(r: random.Random) -> str:
    local = r.choice(["john", "John.Smith", "user+tag", "josé", "o'brien", "a b", "", "x@y", "0"])
    return f"{local}@{r.choice(_DOMAINS)}" if r.random() < 0.95 else local


def _date(r: random.Random) -> str:
    return r.choice(_DATES).format(r.randrange(1890, 2020), r.randrange(1, 14), r.randrange(1, 32))


def _cookie(r: random.Random, last: str) -> str:
    now = 1_709_136_167
    made = r.choice([*[r.randrange(now - 7_000_000, now) * 1_000] * 4, 1_554_763_741_205, now, 17])
    parts = [r.choice(["fb"] * 16 + ["FB", "GA1"]), r.choice("11111120x"), str(made), last]
    appendix = r.choice(
        [[]] * 4 + [["AQICAQMC"], ["AQ"], ["Bg"], ["Cg"], ["abc"], ["AQICAQMC", "z"]]
    )
    return ".".join([*parts, *appendix][r.choice([0] * 9 + [1]) :])


def _address(r: random.Random) -> str:
    four = ".".join(str(r.choice([10, 192, 168, 203, 113, 8, 0, 255, 256])) for _ in range(4))
    six = ":".join(f"{r.choice([0x2001, 0xDB8, 0x2A00, 0xFE80, 0xFD00]):x}" for _ in range(8))
    one = r.choice(
        [four, four, six, "203.0.113.7", "2001:db8::1", "::1", "::ffff:203.0.113.7", "x"]
    )
    forms = ["{0}", "{0}", "{0}", "{0}, 10.0.0.1", "{0}:443", "[{0}]:443", "{0}.AQICAQMC", "[{0}]"]
    return r.choice(forms).format(one)


_DRAWN: dict[str, Callable[[random.Random], str]] = {
    "em": _email,
    "ph": lambda r: r.choice(_PHONES)(r),
    "fn": lambda r: r.choice(_FIRST),
    "ln": lambda r: r.choice(_LAST),
    "db": _date,
    "ge": lambda r: r.choice(_WORDS),
    "ct": lambda r: r.choice(_CITIES),
    "st": lambda r: r.choice(_STATES),
    "zp": lambda r: r.choice(_POSTCODES)(r),
    "country": lambda r: r.choice(_COUNTRIES),
    "fbc": lambda r: _cookie(r, r.choice(_KNOWN)),
    "fbp": lambda r: _cookie(r, r.choice([*[str(r.randrange(10**10))] * 5, "11x4", "١٢٣"])),
    "fbclid": lambda r: r.choice(_KNOWN) + r.choice(["", "", "z", "-9"]),
    "client_ip_address": _address,
}

GENERATED_KEYS = tuple(_DRAWN)


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "0" <= c <= "9" else c for c in text)


_MANGLED: list[Callable[[str], str]] = [
    *([lambda text: text] * 12),
    str.upper,
    str.lower,
    lambda text: f"  {text}\t",
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: text.replace(" ", "\u00a0"),
    lambda text: "",
    lambda text: "  ",
]
# Only for keys that are hashed.
_MANGLED_MORE: list[Callable[[str], str]] = [
    *_MANGLED,
    _wide,
    lambda text: f"{text}\u200b",
    lambda text: f"{text}, {text.upper()}",
    lambda text: f'["{text}", "{text.lower()}"]' if '"' not in text else text,
    lambda text: f"{text}!",
    lambda text: hashlib.sha256(text.encode()).hexdigest(),
    lambda text: hashlib.sha256(text.encode()).hexdigest().upper(),
    lambda text: hashlib.sha256(text.encode()).hexdigest() + ".AQQCAQIB",
    lambda text: hashlib.sha256(b"").hexdigest(),
    lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
    lambda text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
]


def generated(key: str, count: int) -> list[tuple[str, str | None]]:
    """Values of a key with the country of their row, the same at every call."""
    seeded = random.Random(f"capi {key}")
    hashed = key not in ("fbc", "fbp", "fbclid", "client_ip_address")
    mangled = _MANGLED_MORE if hashed else _MANGLED
    values = []
    for _ in range(count):
        value = seeded.choice(mangled)(_DRAWN[key](seeded))
        values.append((value, seeded.choice([None, None, None, "US", "GB", "DE"])))
    return values
