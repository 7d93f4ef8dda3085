"""Static data of the sample shop: countries with their ways of writing, devices, pages.

All people are fictional. Phone numbers are only from ranges that regulators keep for fiction (NANPA
555-01XX, Ofcom, ARCEP, Bundesnetzagentur, ComReg, PTS, ACMA): people of countries without such a
range give none. Sites are under `.example` (RFC 2606).
"""

from __future__ import annotations

from dataclasses import dataclass

SHOP = "https://shop.example"


@dataclass(frozen=True)
class PhoneFormat:
    """Numbers for fiction: `(area, middle, start of the rest, free digits)` under one code.

    `trunk` is dialled within the country, `exit` out of it.
    """

    code: str
    ranges: tuple[tuple[str, str, str, int], ...]
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


NO_PHONES = PhoneFormat("", (("", "", "", 1),))


@dataclass(frozen=True)
class Country:
    """One country of the shop's customers; `rate` is what one euro costs in its currency."""

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
    dialling: PhoneFormat = NO_PHONES
    decimals: int = 2


_US_AREAS = ("202", "206", "212", "213", "214", "303", "305", "312", "404", "415", "503", "512",
             "602", "615", "617", "619", "702", "713", "718", "816")  # fmt: skip
_CA_AREAS = ("204", "403", "416", "418", "438", "514", "604", "613", "780", "902")
_GB_AREAS = ("113", "114", "115", "116", "117", "118", "121", "131", "141", "151", "161")

COUNTRIES: tuple[Country, ...] = (
    Country(
        "US", 20, ("US", "usa", "United States"), "USD", 1.09,
        ("Mary", "Jane", "Sarah-Jane", "Ada", "Aisha", "Grace", "Mary Ann", "Zoë"),
        ("John", "Luis", "D'Angelo", "Michael", "Wei", "Robert", "J.R.", "Omar"),
        ("Smith", "O'Connor", "Garcia-Lopez", "Johnson", "Nguyen", "Brown Jr.", "Lovelace"),
        (("New York", "NY", "10001"), ("St. Louis", "Missouri", "63101-2345"),
         ("San Francisco", "CA", "94105"), ("Boston", "MA", "02108"), ("Austin", "Texas", "78701"),
         ("Washington, D.C.", "DC", "20001")),
        "%m/%d/%Y", PhoneFormat("1", tuple((area, "555", "01", 2) for area in _US_AREAS), ""),
    ),
    Country(
        "GB", 16, ("GB", "UK", "United Kingdom"), "GBP", 0.86,
        ("Olivia", "Siân", "Fiona", "Priya", "Emily-Rose", "Charlotte"),
        ("Harry", "Rhys", "Muhammad", "Oliver", "Alasdair", "George"),
        ("O’Neill", "Williams", "Smith-Jones", "Patel", "MacDonald", "Taylor"),
        (("London", None, "SW1A 1AA"), ("Manchester", None, "m1 1ae"), ("Leeds", None, "LS1 4AP"),
         ("Newcastle upon Tyne", None, "NE1 4ST"), ("Edinburgh", "Scotland", "EH1 1YZ")),
        "%d/%m/%Y",
        PhoneFormat("44", (("7700", "900", "", 3), ("20", "7946", "0", 3),
                        *((area, "496", "0", 3) for area in _GB_AREAS))),
    ),
    Country(
        "DE", 16, ("DE", "Deutschland", "Germany"), "EUR", 1.0,
        ("Anna-Lena", "Käthe", "Jördis", "Sophie", "Elif", "Mia"),
        ("Jürgen", "Björn", "Hans-Peter", "Lukas", "Mehmet", "Götz"),
        ("Groß", "Müller", "von der Heide", "Öztürk", "Schmidt", "Meyer-Lüdenscheidt"),
        (("München", "Bayern", "80331"), ("Berlin", None, "10115"), ("Köln", "NRW", "50667"),
         ("Frankfurt am Main", "Hessen", "60311"), ("Hamburg", None, "20095")),
        "%d.%m.%Y",
        PhoneFormat("49", (("30", "23125", "", 3), ("69", "90009", "", 3), ("40", "66969", "", 3),
                        ("221", "4710", "", 3), ("89", "99998", "", 3), ("171", "39200", "", 2))),
    ),
    Country(
        "FR", 14, ("FR", "France"), "EUR", 1.0,
        ("Chloé", "Anaïs", "Marie-Hélène", "Inès", "Camille", "Agnès"),
        ("François", "Jean-Luc", "Mehdi", "Loïc", "Étienne", "Hugo"),
        ("Dubois", "Lefèvre", "d’Aboville", "Le Goff", "Benali", "Saint-Exupéry"),
        (("Paris", None, "75018"), ("Saint-Étienne", None, "42000"),
         ("L'Haÿ-les-Roses", None, "94240"), ("Aix-en-Provence", None, "13100"),
         ("Lyon", None, "69002")),
        "%d/%m/%Y",
        PhoneFormat("33", (("1", "9900", "", 4), ("2", "6191", "", 4), ("3", "5301", "", 4),
                        ("4", "6571", "", 4), ("5", "3649", "", 4), ("6", "3998", "", 4))),
    ),
    Country(
        "IE", 4, ("IE", "Ireland"), "EUR", 1.0,
        ("Aoife", "Siobhán", "Niamh"), ("Seán", "Oisín", "Pádraig"),
        ("Ó Briain", "Murphy", "O'Sullivan", "Mac Giolla Phádraig"),
        (("Dublin", None, "D02 X285"), ("Cork", None, "T12 W8KP"), ("Dún Laoghaire", None, None)),
        "%d/%m/%Y", PhoneFormat("353", (("20", "91", "1", 4),)),
    ),
    Country(
        "SE", 5, ("SE", "Sweden"), "SEK", 11.2,
        ("Åsa", "Märta", "Linnéa"), ("Björn", "Göran", "Karl-Johan"),
        ("Åkesson", "Lindström", "Sjöberg", "Öberg"),
        (("Göteborg", None, "411 03"), ("Stockholm", None, "111 20"), ("Malmö", None, "21120")),
        "%Y-%m-%d",
        PhoneFormat(
            "46", (("70", "1740", "61", 1), ("70", "1740", "67", 1), ("31", "3900", "6", 2))
        ),
    ),
    Country(
        "CA", 5, ("CA", "Canada"), "CAD", 1.48,
        ("Geneviève", "Emma", "Simone"), ("Noah", "Jean-François", "Liam"),
        ("Tremblay", "St-Pierre", "MacLeod", "Singh"),
        (("Montréal", "QC", "H2Y 1C6"), ("Toronto", "Ontario", "M5V 2T6"),
         ("Trois-Rivières", "QC", "g9a 1a1")),
        "%Y-%m-%d", PhoneFormat("1", tuple((area, "555", "01", 2) for area in _CA_AREAS), ""),
    ),
    Country(
        "AU", 4, ("AU", "Australia"), "AUD", 1.65,
        ("Matilda", "Chloe", "Kylie"), ("Jack", "Lachlan", "Bruce"),
        ("Kelly", "O'Brien", "Nguyen", "Wilson"),
        (("Sydney", "NSW", "2000"), ("Melbourne", "Victoria", "3000"),
         ("Wagga Wagga", "NSW", "2650")),
        "%d/%m/%Y",
        PhoneFormat("61", (("2", "5550", "", 4), ("3", "5550", "", 4), ("7", "5550", "", 4)),
                 exit="0011"),
    ),
    Country(
        "ES", 5, ("ES", "España", "Spain"), "EUR", 1.0,
        ("Begoña", "María José", "Núria"), ("José", "Íñigo", "Jordi"),
        ("Pérez", "García Márquez", "Muñoz", "i Soler"),
        (("Madrid", None, "28013"), ("A Coruña", "Galicia", "15001"), ("Málaga", None, "29015")),
        "%d/%m/%Y",
    ),
    Country(
        "PL", 5, ("PL", "Poland"), "PLN", 4.3,
        ("Agnieszka", "Żaneta", "Małgorzata"), ("Łukasz", "Paweł", "Jędrzej"),
        ("Wójcik", "Kowalska-Nowak", "Świątek", "Żuk"),
        (("Kraków", None, "30-001"), ("Łódź", None, "90-001"),
         ("Warszawa", "mazowieckie", "00-950")),
        "%d.%m.%Y",
    ),
    Country(
        "JP", 3, ("JP", "Japan"), "JPY", 163.0,
        ("愛子", "さくら", "結衣"), ("健太", "大翔", "蓮"), ("佐藤", "鈴木", "高橋", "田中"),
        (("東京", None, "100-0001"), ("大阪", None, "5300001"), ("札幌", None, "060-0001")),
        "%Y/%m/%d", NO_PHONES, 0,
    ),
    Country(
        "BR", 3, ("BR", "Brazil", "Brasil"), "BRL", 6.1,
        ("Ana", "Conceição", "Júlia"), ("João", "Luís", "Antônio"),
        ("Silva", "dos Santos", "Araújo", "Gonçalves"),
        (("São Paulo", "SP", "01310-100"), ("Belém", "PA", "66010000"),
         ("Brasília", "DF", "70040-010")),
        "%d/%m/%Y",
    ),
)  # fmt: skip

# Letters that decomposition leaves whole, and the Japanese names as their owners write addresses.
ADDRESS_FORMS = {
    "ß": "ss", "ł": "l", "ø": "o", "愛子": "aiko", "さくら": "sakura", "結衣": "yui",
    "健太": "kenta", "大翔": "hiroto", "蓮": "ren", "佐藤": "sato", "鈴木": "suzuki",
    "高橋": "takahashi", "田中": "tanaka",
}  # fmt: skip

MAIL_HOSTS = ("example.com", "example.com", "example.com", "example.net", "mail.example.org")


def _user_agents() -> tuple[str, ...]:
    chrome = range(144, 155)
    safari = ("17_6", "18_5", "18_6", "26_0", "26_1")
    webkit = "AppleWebKit/537.36 (KHTML, like Gecko)"
    apple = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
    agents = []
    for v in chrome:
        desktop = f"{webkit} Chrome/{v}.0.0.0 Safari/537.36"
        mobile = f"{webkit} Chrome/{v}.0.0.0 Mobile Safari/537.36"
        agents += [
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {desktop}",
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {desktop}",
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {desktop} Edg/{v}.0.0.0",
            f"Mozilla/5.0 (Linux; Android 10; K) {mobile}",
            f"Mozilla/5.0 (Linux; Android 10; K) {webkit} SamsungBrowser/29.0 Chrome/{v}.0.0.0 "
            "Mobile Safari/537.36",
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
        ]
        agents += [
            f"Mozilla/5.0 (Linux; Android 16; {model} Build/{build}; wv) {webkit} Version/4.0 "
            f"Chrome/{v}.0.7204.46 Mobile Safari/537.36 "
            f"[FB_IAB/FB4A;FBAV/{v + 380}.0.0.41.72;IABMV/1;]"
            for model, build in (("Pixel 9", "BP2A.250605.031"), ("SM-S921B", "AP3A.240905.015"))
        ]
    for release in safari:
        dotted = release.replace("_", ".")
        phone = f"Mozilla/5.0 (iPhone; CPU iPhone OS {release} like Mac OS X) {apple}"
        agents += [f"{phone} Version/{dotted} Mobile/15E148 Safari/604.1"] * 4
        agents += [
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {apple} Version/{dotted} "
            "Safari/605.1.15"
        ]
        for model in ("iPhone14,5", "iPhone15,2", "iPhone16,1", "iPhone17,3"):
            agents += [
                f"{phone} Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.39.72;FBBV/780301423;FBDV/{model};"
                f"FBMD/iPhone;FBSN/iOS;FBSV/{dotted};FBSS/3;FBID/phone;FBLC/en_US;FBOP/5]",
                f"{phone} Mobile/15E148 Instagram 401.0.0.31.76 ({model}; iOS {release}; en_US; en"
                "; scale=3.00; 1179x2556; 777777777)",
            ]
    return tuple(agents)


USER_AGENTS = _user_agents()

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
