"""Why a field was dropped: one short code per cause, and a sentence that says what to do.

A code never contains the value it describes, so it can be stored, counted and shown anywhere: in
`dropped_fields` of visits and orders (`column:code`), in asset metadata and in `explain`.
The sentences are in key_problems.toml, the rules that return the codes in the other modules.
"""

from __future__ import annotations

from enum import Enum

from capi_assets.table_files import table_beside

_TEXTS: dict[str, str] = table_beside(__file__)


class Problem(Enum):
    """Why a value cannot be sent."""

    # Any hashed key
    TOO_LONG = "too_long"
    NOT_TEXT = "not_text"
    PLACEHOLDER = "placeholder"
    MD5_DIGEST = "md5_digest"
    SHA1_DIGEST = "sha1_digest"
    SHA512_DIGEST = "sha512_digest"
    BASE64_DIGEST = "base64_digest"
    DIGEST_OF_EMPTY = "digest_of_empty"

    # em
    NOT_AN_ADDRESS = "not_an_address"

    # ph
    NO_DIGITS = "no_digits"
    TOO_SHORT = "too_short"
    TOO_MANY_DIGITS = "too_many_digits"
    NO_COUNTRY = "no_country"
    UNKNOWN_CALLING_CODE = "unknown_calling_code"
    NOT_A_NUMBER = "not_a_number"
    SCIENTIFIC_NOTATION = "scientific_notation"

    # fn ln ct st
    NO_LETTERS = "no_letters"
    UNKNOWN_STATE = "unknown_state"

    # zp
    NOT_A_POSTCODE = "not_a_postcode"

    # country
    UNKNOWN_COUNTRY = "unknown_country"

    # ge
    UNKNOWN_GENDER = "unknown_gender"

    # db
    NOT_A_DATE = "not_a_date"
    AMBIGUOUS_DATE = "ambiguous_date"
    IMPOSSIBLE_DATE = "impossible_date"
    YEAR_OUT_OF_RANGE = "year_out_of_range"
    OTHER_DATE_FORMAT = "other_date_format"

    # external_id sent unhashed
    HAS_SPACE = "has_space"

    # fbc fbp fbclid
    NOT_FBC = "not_fbc"
    NOT_FBP = "not_fbp"
    NOT_A_CLICK_ID = "not_a_click_id"
    CASE_LOST = "case_lost"
    SECONDS_NOT_MILLISECONDS = "seconds_not_milliseconds"
    CLICK_AFTER_EVENT = "click_after_event"
    CLICK_TOO_OLD = "click_too_old"

    # client_ip_address
    NOT_AN_IP = "not_an_ip"
    PRIVATE_IP = "private_ip"

    # event_source_url, page_url
    NOT_A_PAGE = "not_a_page"

    # ids
    CONTACT_HASHED = "contact_hashed"

    # addresses of pages, custom_data, contents, content_ids, app_data, user_data, ids of Meta
    CONTACT_REMOVED = "contact_removed"
    KEY_REMOVED = "key_removed"

    @property
    def code(self) -> str:
        """As it is stored and counted."""
        return self.value

    @property
    def text(self) -> str:
        """For people: what is wrong, and the remedy."""
        return _TEXTS[self.value]


def problem_text(code: str) -> str:
    """A sentence for people: what is wrong with the values counted under `code`, and the remedy."""
    return _TEXTS.get(code) or f"{code.replace('_', ' ')}."
