"""Why a field was dropped: one short code per cause, and a sentence that says what to do.

A code never contains the value it describes, so it can be stored, counted and shown anywhere: in
`dropped_fields` of visits and orders (`column:code`), in asset metadata and in `explain`.
The rules that return these codes are in the other modules of this package.
"""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """Why a value cannot be sent."""

    code: str
    text: str

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text

    # Any hashed key
    TOO_LONG = (
        "too_long",
        "The text is too long for this field; check that the right column is mapped.",
    )
    NOT_TEXT = (
        "not_text",
        "The value is not readable as UTF-8 text; export the column as text.",
    )
    PLACEHOLDER = (
        "placeholder",
        "The value is a placeholder (null, undefined, -, 0 ...), which would make strangers look"
        " like one person; leave the field empty instead.",
    )
    MD5_DIGEST = (
        "md5_digest",
        "The value looks like an MD5 digest, which Meta cannot match; send the plain value or its"
        " SHA-256.",
    )
    SHA1_DIGEST = (
        "sha1_digest",
        "The value looks like a SHA-1 digest, which Meta cannot match; send the plain value or its"
        " SHA-256.",
    )
    SHA512_DIGEST = (
        "sha512_digest",
        "The value looks like a SHA-512 digest, which Meta cannot match; send the plain value or"
        " its SHA-256.",
    )
    BASE64_DIGEST = (
        "base64_digest",
        "The value looks like a digest in base64; write digests as 64 hexadecimal characters.",
    )
    DIGEST_OF_EMPTY = (
        "digest_of_empty",
        "The value is the digest of an empty text: an upstream system hashes missing values; leave"
        " them empty there.",
    )

    # em
    NOT_AN_ADDRESS = (
        "not_an_address",
        "The value is not one e-mail address (name@example.com); check the column, or separate"
        " several addresses by commas.",
    )

    # ph
    NO_DIGITS = ("no_digits", "The phone number has no digits; check the column.")
    TOO_SHORT = (
        "too_short",
        "The value is too short to be complete; export it in full, phone numbers with their country"
        " code.",
    )
    TOO_MANY_DIGITS = (
        "too_many_digits",
        "The phone number has more digits than its numbering plan allows (15 at most); keep one"
        " number per value.",
    )
    NO_COUNTRY = (
        "no_country",
        "The phone number is national and its country is not known; fill the country column, set"
        " CAPI_DEFAULT_COUNTRY, or export numbers with + and country code.",
    )
    UNKNOWN_CALLING_CODE = (
        "unknown_calling_code",
        "The phone number does not begin with a country's calling code; export it with + and"
        " country code, or fill the country column.",
    )
    NOT_A_NUMBER = (
        "not_a_number",
        "The phone number is not valid in any numbering plan; check the value and its country.",
    )
    SCIENTIFIC_NOTATION = (
        "scientific_notation",
        "A spreadsheet turned the number into scientific notation (1.65E+10) and lost digits;"
        " export the column as text.",
    )

    # fn ln ct st
    NO_LETTERS = ("no_letters", "The value is empty after removing punctuation; check the column.")
    UNKNOWN_STATE = (
        "unknown_state",
        "The country is the United States, but the value is not one of its states; use the"
        " two-letter code or the full name.",
    )

    # zp
    NOT_A_POSTCODE = (
        "not_a_postcode",
        "The value is not a valid postcode of its country; check the column, and export postcodes"
        " as text.",
    )

    # country
    UNKNOWN_COUNTRY = (
        "unknown_country",
        "The value is not a country of ISO 3166-1; use the two-letter code.",
    )

    # ge
    UNKNOWN_GENDER = (
        "unknown_gender",
        "Meta accepts only f and m; leave other values empty.",
    )

    # db
    NOT_A_DATE = (
        "not_a_date",
        "The value is not a date with a four-digit year; export dates of birth as YYYY-MM-DD.",
    )
    AMBIGUOUS_DATE = (
        "ambiguous_date",
        "Day and month are ambiguous; set CAPI_DATE_FORMAT to the column's format, or export"
        " YYYY-MM-DD.",
    )
    IMPOSSIBLE_DATE = (
        "impossible_date",
        "The date does not exist in the calendar; check CAPI_DATE_FORMAT.",
    )
    YEAR_OUT_OF_RANGE = (
        "year_out_of_range",
        "The date of birth is before 1900 or in the future; check CAPI_DATE_FORMAT.",
    )
    OTHER_DATE_FORMAT = (
        "other_date_format",
        "The date is not in the format of CAPI_DATE_FORMAT; set it to the column's format.",
    )

    # external_id sent unhashed
    HAS_SPACE = (
        "has_space",
        "An external id that is sent unhashed may not contain spaces; hash it, or use an id"
        " without spaces.",
    )

    # fbc fbp fbclid
    NOT_FBC = (
        "not_fbc",
        "The value is not a _fbc cookie (fb.1.<milliseconds>.<click id>); store the cookie"
        " unchanged.",
    )
    NOT_FBP = (
        "not_fbp",
        "The value is not a _fbp cookie (fb.1.<milliseconds>.<digits>); store the cookie"
        " unchanged.",
    )
    NOT_A_CLICK_ID = (
        "not_a_click_id",
        "The value is not a click id of Meta (letters, digits, _ and - only); take fbclid from the"
        " landing page's query string unchanged.",
    )
    CASE_LOST = (
        "case_lost",
        "The click id was changed to one letter case, which Meta cannot match; store it with its"
        " upper and lower case letters unchanged.",
    )
    SECONDS_NOT_MILLISECONDS = (
        "seconds_not_milliseconds",
        "The cookie's time is in seconds and cannot be repaired safely; write milliseconds.",
    )
    CLICK_AFTER_EVENT = (
        "click_after_event",
        "The click id is later than the row's own time; check the clocks and the time zone.",
    )
    CLICK_TOO_OLD = (
        "click_too_old",
        "The click id is older than 90 days, the lifetime of Meta's cookie; nothing to correct.",
    )

    # client_ip_address
    NOT_AN_IP = ("not_an_ip", "The value is not an IPv4 or IPv6 address; check the column.")
    PRIVATE_IP = (
        "private_ip",
        "The address belongs to a private or reserved network, not to the customer; take the first"
        " address of X-Forwarded-For.",
    )

    # event_source_url, page_url
    NOT_A_PAGE = (
        "not_a_page",
        "The address has no host, such as /thank-you; store the whole address of the page, with"
        " https:// and the host.",
    )

    # ids
    CONTACT_HASHED = (
        "contact_hashed",
        "The id was an e-mail address or a phone number; it is stored and sent as the SHA-256 of"
        " its trimmed lower-case text. Use ids without contact data, or send the same digest from"
        " the Pixel: it cannot deduplicate by another event_id.",
    )

    # addresses of pages, custom_data, contents, content_ids, app_data, user_data, ids of Meta
    CONTACT_REMOVED = (
        "contact_removed",
        "The text contained contact data (an e-mail address, a phone number or a name), which may"
        " only be sent hashed; it was removed and the rest kept. Remove it from links and forms.",
    )


_BY_CODE = {problem.code: problem for problem in Problem}


def problem_text(code: str) -> str:
    """A sentence for people: what is wrong with the values counted under `code`, and the remedy."""
    problem = _BY_CODE.get(code)
    return problem.text if problem else f"{code.replace('_', ' ')}."
