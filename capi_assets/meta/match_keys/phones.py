"""`ph`: a telephone number as digits, country code first, no plus, no leading zero.

Meta: remove symbols, letters and leading zeros; the country code is mandatory (Customer information
parameters). Numbering plans come from `phonenumbers`. A number that fits none is dropped rather
than hashed under the wrong country: 7700900123 without its country reads as Russian.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import PhoneMetadata, PhoneNumberDesc

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.text import ascii_digits, whole_number

# The last digits behind a word: ext., x, ramal, int., poste, Durchwahl, доб., 内線 or any other.
_EXTENSION = re.compile(r"(?:[^\W\d_]|#)[^\d#]*\d{1,7}\D*$")
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?e\+?\d{1,2}", re.I)
_NOT_DIGITS = re.compile(r"[^0-9]+")
_PLAIN_AND_FULL = r"^\+[1-9][0-9 -]{6,24}$"
_SHORTEST, _LONGEST = 7, 15  # E.164, and the shortest complete number of any plan
# Digits of a number without plus that is read as another country's than the row's. Full numbers of
# nearly all plans have ten or more; with fewer, a local number of an odd form is the likelier.
_SHORTEST_FOREIGN = 10
# Mobile prefixes that a plan gave up, by calling code: Mexico dropped 1, 044 and 045 in 2019.
_RETIRED = {"52": re.compile(r"(?:1|0?4[45]|01)(?=[0-9]{10}$)")}
_SAME_DIGITS = pa.array([str(digit) * 10 for digit in range(10)])

_KINDS = (
    *("mobile", "fixed_line", "toll_free", "voip", "shared_cost", "premium_rate"),
    *("personal_number", "pager", "uan", "voicemail"),
)


@dataclass(frozen=True, eq=False)
class _Plan:
    """How the numbers behind one calling code are built, in one region or all that share it."""

    calling_code: str
    regions: tuple[PhoneMetadata, ...]

    @cached_property
    def lengths(self) -> frozenset[int]:
        descriptions = [region.general_desc for region in self.regions]
        return frozenset(length for each in descriptions if each for length in each.possible_length)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return _any_of(region.general_desc for region in self.regions)

    @cached_property
    def assigned(self) -> re.Pattern[str]:
        """Narrower than `pattern`: what is really given out, to landlines, mobiles and so on."""
        return _any_of(getattr(region, kind) for region in self.regions for kind in _KINDS)

    @cached_property
    def trunk(self) -> re.Pattern[str] | None:
        prefix = self.regions[0].national_prefix_for_parsing
        return re.compile(prefix) if prefix else None

    @cached_property
    def dials_zero(self) -> bool:
        """Whether national numbers are commonly written with a zero in front."""
        return self.regions[0].national_prefix == "0"

    def fits(self, number: str) -> bool:
        return len(number) in self.lengths and self.pattern.fullmatch(number) is not None

    def fit(self, digits: pa.Array) -> Any:
        """Which of these numbers, calling code included, `fits` holds of; a bool per number."""
        numbers = pc.utf8_slice_codeunits(digits, len(self.calling_code))
        lengths = pc.is_in(pc.binary_length(numbers), pa.array(self.lengths, pa.int32()))
        matches = pc.match_substring_regex(numbers, f"^(?:{self.pattern.pattern})$")
        return pc.and_(lengths, matches).to_numpy(zero_copy_only=False)

    def without_trunk(self, number: str) -> str | None:
        """What follows the trunk prefix; None where there is none, or a carrier code as well."""
        retired = _RETIRED.get(self.calling_code)
        if retired and retired.match(number):
            return retired.sub("", number)
        match = self.trunk.match(number) if self.trunk else None
        if match is None or not match.end() or any(match.groups()):
            return None
        return number[match.end() :]


def _any_of(descriptions: Iterable[PhoneNumberDesc | None]) -> re.Pattern[str]:
    patterns = {each.national_number_pattern for each in descriptions if each}
    return re.compile("|".join(f"(?:{pattern})" for pattern in sorted(filter(None, patterns))))


def _plan_of(calling_code: str, metadata: Iterable[PhoneMetadata | None]) -> _Plan | None:
    regions = tuple(region for region in metadata if region is not None)
    return _Plan(calling_code, regions) if regions else None


@cache
def _plan_of_region(region: str) -> _Plan | None:
    metadata = PhoneMetadata.metadata_for_region(region)
    return _plan_of(str(metadata.country_code), [metadata]) if metadata else None


@cache
def _plan_of_calling_code(calling_code: str) -> _Plan | None:
    code = int(calling_code)
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    if regions == ("001",):  # numbers of no country, such as satellite telephones
        return _plan_of(calling_code, [PhoneMetadata.metadata_for_nongeo_region(code)])
    return _plan_of(calling_code, [PhoneMetadata.metadata_for_region(r) for r in regions])


def _plan_of_number(digits: str) -> _Plan | None:
    """The plan of a full number; calling codes are one to three digits and prefix-free."""
    for length in (1, 2, 3):
        plan = _plan_of_calling_code(digits[:length])
        if plan:
            return plan
    return None


def _parsed(digits: str, region: str | None) -> str | None:
    """What `phonenumbers` makes of it: exit codes, carrier codes, old mobile prefixes."""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def _is_assigned(digits: str) -> bool:
    plan = _plan_of_number(digits)
    return plan is not None and bool(plan.assigned.fullmatch(digits[len(plan.calling_code) :]))


def _fitting(digits: str) -> str | None:
    """A number that begins with its calling code, if it fits its plan."""
    plan = _plan_of_number(digits)
    if plan is None:
        return None
    number = digits[len(plan.calling_code) :]
    if plan.fits(number):
        return digits
    without = plan.without_trunk(number)
    return plan.calling_code + without if without and plan.fits(without) else None


def _full(digits: str) -> str | Problem:
    """A number known to begin with its calling code."""
    if len(digits) < _SHORTEST:
        return Problem.TOO_SHORT if digits else Problem.NO_DIGITS
    if _plan_of_number(digits) is None:
        return _refusal(digits, Problem.UNKNOWN_CALLING_CODE)
    fitting = _fitting(digits) or _parsed(f"+{digits}", None)
    return fitting or _refusal(digits, Problem.NOT_A_NUMBER)


def _refusal(digits: str, otherwise: Problem) -> Problem:
    if len(digits) < _SHORTEST:
        return Problem.TOO_SHORT
    return Problem.TOO_MANY_DIGITS if len(digits) > _LONGEST else otherwise


def _national(digits: str, plan: _Plan) -> str | None:
    """A number as it is dialled within the plan's region, or None if it does not fit there."""
    without = plan.without_trunk(digits)
    for number in (without, digits):
        if number and plan.fits(number):
            return plan.calling_code + number
    # Some islands share a calling code, and people keep the number of the next one.
    shared = _plan_of_calling_code(plan.calling_code)
    fits_shared = shared is not None and len(shared.regions) > 1 and shared.fits(digits)
    return plan.calling_code + digits if fits_shared else None


def _in_region(digits: str, region: str, plan: _Plan) -> str | Problem:
    """A number without plus, in a row whose country is known: national, else full."""
    national = _national(digits, plan)
    own = digits.startswith(plan.calling_code)
    if national is not None and not own and (digits[0] == "0" or not plan.dials_zero):
        return national
    full = None if digits[0] == "0" else _fitting(digits)
    if full and not own and len(full) < _SHORTEST_FOREIGN:
        full = None
    if national is None and full is None:
        return _parsed(digits, region) or _refusal(digits, Problem.NOT_A_NUMBER)
    if national is None or full is None or national == full:
        return full or national or Problem.NOT_A_NUMBER
    # Both readings fit. A number that begins with the country's own calling code is taken as full,
    # any other as national, unless only the other reading is assigned to anybody.
    first, second = (full, national) if own else (national, full)
    return second if not _is_assigned(first) and _is_assigned(second) else first


def phone(text: str, region: str | None) -> str | Problem:
    """The full number in digits.

    `region` is the row's country (ISO 3166-1 alpha-2, upper case), in which national numbers are
    read; a number with + or 00 in front does not need it.
    """
    number = _number(whole_number(ascii_digits(text)))
    if isinstance(number, Problem):
        return number
    head, digits = number
    plan = _plan_of_region(region) if region else None
    if "+" in head or digits.startswith("00"):
        full = _full(digits.lstrip("0"))
        if region and plan and isinstance(full, Problem):
            return _in_region(digits, region, plan)
        return full
    if region and plan:
        return _in_region(digits, region, plan)
    if digits.startswith("0") or "(" in head:
        return _refusal(digits, Problem.NO_COUNTRY)
    return _fitting(digits) or _refusal(digits, Problem.NO_COUNTRY)


def full_numbers(values: pa.Array) -> pa.Array:
    """`phone` of numbers written with plus and calling code, a column at a time.

    Null for all others, and for those that do not fit their plan unchanged. The row's country
    is not asked, as `phone` does not ask it for such numbers either.
    """
    plain = pc.match_substring_regex(values, _PLAIN_AND_FULL)
    kept = pc.if_else(plain, values, pa.scalar(None, pa.string()))
    digits = pc.replace_substring_regex(kept, "[^0-9]+", "")
    long_enough = pc.greater_equal(pc.binary_length(digits), _SHORTEST)
    placeholder = pc.is_in(pc.utf8_slice_codeunits(digits, -10), _SAME_DIGITS)
    heads = pc.utf8_slice_codeunits(digits, 0, 3).dictionary_encode()
    plans = [head and _plan_of_number(head) for head in heads.dictionary.to_pylist()]
    plan_of = pc.fill_null(heads.indices, len(plans)).to_numpy(zero_copy_only=False)
    fits = np.zeros(len(values), bool)
    for number, plan in enumerate(plans):
        if plan:
            rows = np.flatnonzero(plan_of == number)
            fits[rows] = plan.fit(digits.take(pa.array(rows)))
    kept = pc.and_not(pc.and_(pa.array(fits), long_enough), placeholder)
    return pc.if_else(kept, digits, pa.scalar(None, pa.string()))


def _number(written: str) -> tuple[str, str] | Problem:
    """The text before the first digit, and the digits without those of an extension."""
    if written.isdecimal():
        return "", written
    if _SCIENTIFIC.fullmatch(written):
        return Problem.SCIENTIFIC_NOTATION
    extension = _EXTENSION.search(written)
    if extension:
        before = _NOT_DIGITS.sub("", written[: extension.start()])
        written = written[: extension.start()] if len(before) >= _SHORTEST else written
    digits = _NOT_DIGITS.sub("", written)
    if not digits:
        return Problem.NO_DIGITS
    return written[: written.index(digits[0])], digits
