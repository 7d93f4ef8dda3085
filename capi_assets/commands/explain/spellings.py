"""Finds which normalisation of a value produces a digest that was sent: ours, another, or none.

The value stays in this process: results name spellings and shortened digests, never the value or a
part of it. The normalisation itself is in `meta/match_keys`.

    check = check_spelling("em", "Jo@Example.com", None, policy, history.digests)
    check.sentence, [spelling.name for spelling in check.matching]
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import phonenumbers
import pycountry

from capi_assets.commands.explain.masking import short
from capi_assets.coverage.formatting import join_names
from capi_assets.ingest.hashing import CONTACT_FIELDS, HashPolicy
from capi_assets.meta.match_keys.digests import digest, sha256
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS, Normalised, normalise, problem_text

OURS = "as normalised by capi-assets"


@dataclass(frozen=True)
class Spelling:
    """One form of the value; `sent_as` are the match keys that were sent with its digest."""

    name: str
    digest: str = field(repr=False)
    sent_as: tuple[str, ...]


@dataclass(frozen=True)
class SpellingCheck:
    """The result of `--hash`: every spelling that was tried, and the conclusion in one sentence."""

    key: str
    tried: list[Spelling]
    sentence: str

    @property
    def matching(self) -> list[Spelling]:
        """The spellings whose digest was sent as `key`."""
        return [spelling for spelling in self.tried if self.key in spelling.sent_as]


def key_named(name: str) -> str:
    """The match key of a name, which may be a landing column (`email` for `em`).

    Raises:
        ValueError: it is neither.
    """
    key = CONTACT_FIELDS.get(name.lower(), name.lower())
    if key not in HASHED_KEYS:
        raise ValueError(f"{name!r} is not a hashed match key: {', '.join(HASHED_KEYS)}")
    return key


def check_spelling(
    key: str, typed: str, country: str | None, policy: HashPolicy, sent: Mapping[str, Sequence[str]]
) -> SpellingCheck:
    """Compares the spellings of `typed` with `sent`, the digests of the event per match key."""
    by_digest: defaultdict[str, list[str]] = defaultdict(list)
    for name, values in sent.items():
        for value in values:
            by_digest[value[:64]].append(name)  # Meta's parameter builder appends a suffix
    names: dict[str, str] = {}
    for name, made in _digests(key, typed, country, policy):
        names.setdefault(made, name)
    tried = [Spelling(name, made, tuple(by_digest.get(made, ()))) for made, name in names.items()]
    if not any(each.sent_as for each in tried) and key == "ph":
        tried += _of_other_countries(typed, policy, by_digest)
    return SpellingCheck(key, tried, _sentence(key, typed, country, policy, tried, sent))


def _digests(
    key: str, typed: str, country: str | None, policy: HashPolicy
) -> Iterator[tuple[str, str]]:
    """Names of spellings with their digests; of equal digests the first name counts."""
    forms = _normalised(key, typed, country, policy).forms
    for form in forms:
        yield _ours(key, country, policy), digest(form)
    if key in ("ph", "st", "zp"):
        for form in normalise(key, typed, "").forms:
            yield f"{OURS}, without a country", digest(form)
    for name, text in _texts(key, typed, forms):
        if text:
            yield name, sha256(text)
    if key == "external_id":
        yield "not hashed at all", typed.strip()
    for form in forms:
        yield "hashed twice", sha256(sha256(form))
        yield "followed by a line feed", sha256(f"{form}\n")


def _normalised(key: str, typed: str, country: str | None, policy: HashPolicy) -> Normalised:
    return normalise(
        key,
        typed,
        country,
        default_country=policy.default_country,
        date_format=policy.date_format,
        external_id_form=policy.external_id_form,
    )


def _ours(key: str, country: str | None, policy: HashPolicy) -> str:
    if key not in ("ph", "st", "zp"):
        return OURS
    if country:
        return f"{OURS}, with the country given"
    return f"{OURS}, with CAPI_DEFAULT_COUNTRY" if policy.default_country else OURS


def _texts(key: str, typed: str, forms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Spellings that other systems hash, from the common to the rare."""
    trimmed = typed.strip()
    lower = trimmed.lower()
    yield "as typed", typed
    yield "trimmed", trimmed
    yield "trimmed and in lower case (as Meta's SDKs normalise most keys)", lower
    yield "trimmed and in upper case", trimmed.upper()
    yield "in lower case, blanks kept", typed.lower()
    if key == "em":
        yield from _of_address(lower)
    if key == "ph":
        yield from _of_phone(lower, forms)
    if key == "db" and forms:
        yield from _of_date(forms[0])
    if key in ("fn", "ln", "ct", "st"):
        bare = "".join(c for c in unicodedata.normalize("NFKD", lower) if c.isascii())
        yield "lower case without accents", bare
        yield "lower case, letters a to z only", re.sub(r"[^a-z]", "", bare)
        yield "lower case without blanks", re.sub(r"\s", "", lower)
        yield "the first word in lower case", lower.split()[0] if lower.split() else ""
    if key == "zp":
        yield "lower case without blanks and dashes", re.sub(r"[\s-]", "", lower)
        yield "the part before the dash", lower.partition("-")[0].strip()
        yield "without leading zeros", lower.lstrip("0")
    if key == "ge":
        yield "the first letter in lower case", lower[:1]
    if key == "country" and forms:
        code = pycountry.countries.get(alpha_2=forms[0].upper())
        yield "the code in upper case", forms[0].upper()
        if code:
            yield "the three-letter code in lower case", code.alpha_3.lower()
            yield "the English name in lower case", code.name.lower()


def _of_address(lower: str) -> Iterator[tuple[str, str]]:
    local, at, domain = lower.rpartition("@")
    if not at:
        return
    untagged = local.partition("+")[0]
    yield "without its plus-tag", f"{untagged}@{domain}"
    yield "without dots before the @", f"{local.replace('.', '')}@{domain}"
    yield "without plus-tag and dots", f"{untagged.replace('.', '')}@{domain}"
    yield "without blanks", re.sub(r"\s", "", lower)
    other = {"gmail.com": "googlemail.com", "googlemail.com": "gmail.com"}.get(domain)
    if other:
        yield f"at {other}", f"{local}@{other}"


def _of_phone(lower: str, forms: Sequence[str]) -> Iterator[tuple[str, str]]:
    digits = re.sub(r"\D", "", lower)
    yield "its digits (as Meta's SDKs normalise phones)", digits
    yield "its digits without leading zeros", digits.lstrip("0")
    yield "a plus and its digits", f"+{digits}"
    yield "without blanks", re.sub(r"\s", "", lower)
    for full in forms:
        yield "with country code and a plus", f"+{full}"
        yield "with country code and 00", f"00{full}"
        try:
            number = phonenumbers.parse(f"+{full}")
        except phonenumbers.NumberParseException:
            continue
        national = phonenumbers.national_significant_number(number)
        yield "without its country code", national
        yield "without its country code, with a leading zero", f"0{national}"
        yield "with country code and a leading zero", f"{number.country_code}0{national}"


def _of_date(form: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"\d{8}", form):
        return
    year, month, day = form[:4], form[4:6], form[6:]
    yield "YYYY-MM-DD", f"{year}-{month}-{day}"
    yield "DDMMYYYY", f"{day}{month}{year}"
    yield "MMDDYYYY", f"{month}{day}{year}"
    yield "YYYYDDMM: day and month swapped", f"{year}{day}{month}"
    yield "DD/MM/YYYY", f"{day}/{month}/{year}"
    yield "MM/DD/YYYY", f"{month}/{day}/{year}"
    yield "DD.MM.YYYY", f"{day}.{month}.{year}"


def _of_other_countries(
    typed: str, policy: HashPolicy, by_digest: Mapping[str, Sequence[str]]
) -> list[Spelling]:
    """Spellings as a national number of another country whose digest was sent."""
    regions: defaultdict[str, list[str]] = defaultdict(list)
    for country in sorted(each.alpha_2 for each in pycountry.countries):
        for made in map(digest, _normalised("ph", typed, country, policy).forms):
            if made in by_digest:
                regions[made].append(country)
    return [
        Spelling(f"read as a number of {join_names(names[:4])}", made, tuple(by_digest[made]))
        for made, names in regions.items()
    ]


def _sentence(
    key: str,
    typed: str,
    country: str | None,
    policy: HashPolicy,
    tried: Sequence[Spelling],
    sent: Mapping[str, Sequence[str]],
) -> str:
    ours = [spelling for spelling in tried if spelling.name.startswith(OURS)]
    hits = [spelling for spelling in tried if key in spelling.sent_as]
    for spelling in hits:
        if spelling in ours:
            return f"Yes: {spelling.name}, the value has a digest that was sent as {key}."
    if hits:
        return (
            f"The event has the digest of the value {hits[0].name}, not {OURS}: it was hashed"
            " before it landed, or read with another country. Land it unhashed, or hash the"
            " normalised form, so that Meta can match it."
        )
    elsewhere = [spelling for spelling in tried if spelling.sent_as]
    if elsewhere:
        return (
            f"Not as {key}, but the event's {join_names(elsewhere[0].sent_as)} is the digest of the"
            f" value {elsewhere[0].name}: columns may be mixed up."
        )
    if not sent.get(key):
        return f"The event has no {key}, so there is nothing to compare."
    problem = _normalised(key, typed, country, policy).problem
    why = f" As {key} the value cannot be sent: {problem_text(problem)}" if problem else ""
    digests = join_names(short(value) for value in sent[key])
    return (
        f"No: none of {len(tried)} spellings of the value produces {digests}. The order was placed"
        f" with another value, or another spelling was hashed before it landed.{why}"
    )
