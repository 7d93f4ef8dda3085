"""Where our hashed keys differ from facebook-business on purpose."""
Applies = Callable[[str, str | None], bool]


@dataclass(frozen=True)
class Difference:
    """One intended difference: for which values of which keys, why, and an example of it."""

    name: str
    keys: tuple[str, ...]
    applies: Applies
    reason: str
    example: str
    country: str | None = None


def _matches(pattern: str) -> Applies:
    compiled = re.compile(pattern, re.I | re.S)
    return lambda value, country: compiled.fullmatch(value.strip()) is not None


def _contains(pattern: str) -> Applies:
    compiled = re.compile(pattern, re.I)
    return lambda value, country: compiled.search(value.strip()) is not None


def _has(*categories: str) -> Applies:
    """Whether a character inside the value is of one of the Unicode categories."""
    return lambda value, country: any(
        unicodedata.category(character).startswith(categories) for character in value.strip()
    )


def _has_foreign_digits(value: str, country: str | None) -> bool:
    return any(c.isdigit() and not c.isascii() for c in unicodedata.normalize("NFKC", value)) or (
        unicodedata.normalize("NFKC", value) != value
    )


def _is_decomposed(value: str, country: str | None) -> bool:
    return unicodedata.normalize("NFC", value) != value


def _leaves_nothing(key: str) -> Applies:
    return lambda value, country: sdk(key, value) == ""


def _is_national(value: str, country: str | None) -> bool:
    """Neither + nor 00 in front, and not the full number that the digits would be."""
    if re.match(r"[^\d]*(\+|00)", value):
        return False
    digits = re.sub(r"\D", "", value)
    return country is not None or digits.startswith("0") or not _is_in_a_plan(digits)


def _is_in_a_plan(digits: str) -> bool:
    try:
        number = phonenumbers.parse(f"+{digits.lstrip('0')}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def _is_no_full_number(value: str, country: str | None) -> bool:
    return not _is_in_a_plan(re.sub(r"\D", "", value))


def _is_state_by_name(value: str, country: str | None) -> bool:
    wanted = "".join(filter(str.isalpha, unicodedata.normalize("NFKD", value))).lower()
    names = {
        "".join(filter(str.isalpha, unicodedata.normalize("NFKD", name))).lower()
        for state in pycountry.subdivisions
        if state.country_code in ("US", "CA")
        for name in (state.name, state.code)
    }
    return wanted in names | {"colombiebritannique", "nouvelleecosse"}


def _is_private(value: str, country: str | None) -> bool:
    try:
        address = ipaddress.ip_address(value.strip().partition(":443")[0].strip("[]"))
    except ValueError:
        return False
    documentation = any(
        address in network
        for network in map(
            ipaddress.ip_network,
            ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"),
        )
        if network.version == address.version
    )
    return not address.is_global and not documentation


DIFFERENCES = (
    # Any hashed key
    Difference(
        "MD5 digest",
        ALL_TEXT,
        _matches(r"[0-9a-f]{32}"),
        "Meta's documentation asks for SHA-256; an MD5 is taken for hashed and matches nobody.",
        "5d41402abc4b2a76b9719d911017c592",
    ),
    Difference(
        "SHA-1 digest",
        ALL_TEXT,
        _matches(r"[0-9a-f]{40}"),
        "A digest of another kind; hashing it again matches nobody.",
        "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    ),
    Difference(
        "digest of an empty text",
        ALL_TEXT,
        _matches(rf"{EMPTY}(\..*)?"),
        "Something upstream hashed a missing value; sent, it would count as a match key.",
        EMPTY,
    ),
    Difference(
        "digest with appendix",
        ALL_TEXT,
        _matches(r"[0-9a-f]{64}\.([\w-]{8}|[\w-]{2})"),
        "The form Meta's param builder writes, which Meta asks to pass on unchanged.",
        "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f.AQQCAQIB",
    ),
    Difference(
        "JSON list",
        ALL_TEXT,
        _matches(r"\[.*\]"),
        _LIST,
        '["john@example.com", "smith@example.com"]',
    ),
    Difference(
        "decomposed characters",
        ("em", "fn", "ln", "ct", "st"),
        _is_decomposed,
        "The same name as Meta's published example, which is composed (NFC).",
        "Vale\u0301ry@example.com",
    ),
    Difference(
        "external id",
        ("external_id",),
        lambda value, country: True,
        "Meta recommends hashing; the Python SDK sends the id as it is. `hash_external_id=False`"
        " does the same.",
        " ABC-123 ",
    ),
    # em
    Difference(
        "several addresses",
        ("em",),
        _contains("[,;]"),
        _LIST,
        "john@example.com, smith@example.com",
    ),
    Difference(
        "not one address",
        ("em",),
        _matches(r".*([\s<>()\[\]:\"\\]|@.*@|@\.|\.$|@.*\.\.).*|.*@.*\.\d+"),
        "The SDK asks only for something, an @, something, a dot, something.",
        "Mary <mary@example.com>",
    ),
    Difference(
        "invisible characters",
        ("em",),
        _has("Cf"),
        "Zero-width marks come with copied text and are no part of the address.",
        "john@example.com\u200b",
    ),
    # ph
    Difference(
        "national number",
        ("ph",),
        _is_national,
        "Meta makes the country code mandatory; the SDK hashes the digits as they stand.",
        "(650) 555-1212",
        "US",
    ),
    Difference(
        "trunk zero",
        ("ph",),
        _contains(r"^\D*(\+|00)\W*\d{1,3}[^\d]*\(?0"),
        "The zero in +44 (0)7700 is dialled only inside the country.",
        "+44 (0)7700 900123",
    ),
    Difference(
        "dots, slashes, letters, extension",
        ("ph",),
        _contains(r"[^\d\s()+-]|.\+"),
        "Meta: remove symbols and letters; the SDK refuses the number.",
        "+44.7700.900123",
    ),
    Difference(
        "digits of other scripts",
        ("ph",),
        _has_foreign_digits,
        "The same number; the SDK hashes the foreign digits.",
        "１６５０５５５１２１２",
    ),
    Difference(
        "number of no numbering plan",
        ("ph",),
        _is_no_full_number,
        "No telephone has it, so it can match nobody, or another country's somebody.",
        "+1 111 111 1111",
    ),
    # fn ln
    Difference(
        "punctuation, symbols and spaces in names",
        ("fn", "ln"),
        _has("P", "S", "Z", "C"),
        "Meta: no punctuation. Spaces go as in Meta's param builder.",
        "Mary-Ann O'Brien",
    ),
    Difference(
        "name without letters",
        ("fn", "ln"),
        lambda value, country: not any(map(str.isalpha, value)),
        "No name; the SDK hashes it.",
        "12345",
    ),
    # db ge
    Difference(
        "date in any form but YYYYMMDD",
        ("db",),
        lambda value, country: not re.fullmatch(r"\d{8}", value.strip(), re.A),
        "Meta: YYYYMMDD. The SDK hashes the text as it stands.",
        "2/16/1997",
    ),
    Difference(
        "impossible date",
        ("db",),
        _matches(r"(1[0-8]|0|2[1-9]|[3-9]).*|.{4}(00|1[3-9]|[2-9].)..|.{6}(00|3[0-9]).*|.{4}0230"),
        "The calendar has no such day, or Meta no such year (from 1900).",
        "19970231",
    ),
    Difference(
        "word for a gender",
        ("ge",),
        lambda value, country: value.strip().lower() not in ("f", "m"),
        "Meta: f or m. The SDK hashes any word.",
        "Female",
    ),
    # ct st zp country
    Difference(
        "punctuation in places",
        ("ct", "st"),
        _contains(r"[^\w\s.()-]|_"),
        "Meta: no punctuation. The SDK removes dots, dashes and parentheses only.",
        "Washington, D.C.",
    ),
    Difference(
        "city without letters",
        ("ct",),
        _leaves_nothing("ct"),
        "Nothing is left; the SDK hashes the empty text.",
        "123",
    ),
    Difference(
        "state without letters",
        ("st",),
        _leaves_nothing("st"),
        "Nothing is left; the SDK hashes the empty text.",
        "75",
    ),
    Difference(
        "state or province by name",
        ("st",),
        _is_state_by_name,
        "Meta: the two-letter code. Meta's param builder maps both countries' names.",
        "California",
    ),
    Difference(
        "no state of the United States",
        ("st",),
        lambda value, country: country == "US",
        "Meta takes only codes there.",
        "Bayern",
        "US",
    ),
    Difference(
        "postcode with dash",
        ("zp",),
        _contains("-"),
        "Meta: no dash. The SDK cuts at the dash, which is right in the United States only.",
        "100-0001",
    ),
    Difference(
        "postcode of the United States",
        ("zp",),
        lambda value, country: country == "US",
        "Meta: the first five digits.",
        "940351234",
        "US",
    ),
    Difference(
        "punctuation in postcodes",
        ("zp",),
        _contains(r"[^\w\s]"),
        "Only letters and digits can match.",
        "94035.0",
    ),
    Difference(
        "postcode of one character, or of more than twelve",
        ("zp",),
        _matches(r"\W*\w?\W*|(\W*\w){13,}\W*"),
        "No country has such; Meta's param builder refuses the short ones too.",
        "7",
    ),
    Difference(
        "full-width postcode",
        ("zp",),
        _has_foreign_digits,
        "The same postcode, as typed in Japan.",
        "１０００００１",
    ),
    Difference(
        "country by name or three letters",
        ("country",),
        _matches(r"\W*\w\W*\w\W*\w.*"),
        "Meta: the two-letter code. The SDK refuses names.",
        "United States",
    ),
    Difference(
        "UK and EL",
        ("country",),
        _matches(r"\W*(u\W*k|e\W*l)\W*"),
        "Common codes of no country of ISO 3166-1, for GB and GR.",
        "UK",
    ),
)
