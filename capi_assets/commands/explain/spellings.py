"""Finds which normalisation of a value produces a digest that was sent: ours, another, or none.

The value stays in this process: results name spellings and shortened digests, never the value or a
part of it. The normalisation itself is in `meta/match_keys`.

    check = check_spelling("em", "Jo@Example.com", None, policy, history.digests)
    check.sentence, [spelling.name for spelling in check.matching]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
    trimmed = typed.strip()
    yield "as typed", sha256(typed)
    yield "trimmed", sha256(trimmed)
    yield "trimmed and in lower case (as Meta's SDKs normalise most keys)", sha256(trimmed.lower())
    yield "trimmed and in upper case", sha256(trimmed.upper())
    digits = "".join(filter(str.isdecimal, trimmed))
    if digits:
        yield "its digits (as Meta's SDKs normalise phones)", sha256(digits)
    if key == "external_id":
        yield "not hashed at all", trimmed
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
        f" with another value, read with another country, or hashed in another spelling.{why}"
    )
