"""Why a field was dropped: one short code per cause, and a sentence that says what to do.

A code never contains the value it speaks of, so it may be stored, counted and shown anywhere.
The rules that give these codes live in the other rooms of `capi_assets.meta`.
"""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """The cause for which one value of a field cannot be sent."""

    code: str
    words: str

    def __init__(self, code: str, words: str) -> None:
        self.code = code
        self.words = words

    # Any hashed key
    TOO_LONG = (
        "too_long",
        "The text is longer than anything of its kind; check that the right column is mapped.",
    )
    NOT_TEXT = (
        "not_text",
        "The value is not readable as UTF-8 text; export the column as text.",
    )
    PLACEHOLDER = (
        "placeholder",
        "The value stands for nothing (null, undefined, 0 ...) and would make strangers look like"
        " one person; leave the field empty instead.",
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
        "The value is the digest of an empty text: something upstream hashes missing values; leave"
        " them empty there.",
    )

    # em
    NOT_AN_ADDRESS = (
        "not_an_address",
        "The value is not one e-mail address (name@example.com); check the column, or separate"
        " several addresses by commas.",
    )

    # ph
    NO_DIGITS = ("no_digits", "The phone number holds no digits; check the column.")
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
        "The phone number begins with no country's calling code; export it with + and country"
        " code, or fill the country column.",
    )
    NOT_A_NUMBER = (
        "not_a_number",
        "No numbering plan has such a phone number; check the value and its country.",
    )
    SCIENTIFIC_NOTATION = (
        "scientific_notation",
        "A spreadsheet turned the number into scientific notation (1.65E+10) and lost digits;"
        " export the column as text.",
    )

    # fn ln ct st
    NO_LETTERS = ("no_letters", "No letter is left once punctuation is removed; check the column.")
    UNKNOWN_STATE = (
        "unknown_state",
        "The country is the United States, but this is no state of it; use the two-letter code or"
        " the full name.",
    )

    # zp
    NOT_A_POSTCODE = (
        "not_a_postcode",
        "The value is not shaped like a postcode of its country; check the column, and export"
        " postcodes as text.",
    )

    # country
    UNKNOWN_COUNTRY = (
        "unknown_country",
        "The value names no country of ISO 3166-1; use the two-letter code.",
    )

    # ge
    UNKNOWN_GENDER = (
        "unknown_gender",
        "Meta knows only f and m; leave other values out.",
    )

    # db
    NOT_A_DATE = (
        "not_a_date",
        "The value is not a date with a four-digit year; export dates of birth as YYYY-MM-DD.",
    )
    AMBIGUOUS_DATE = (
        "ambiguous_date",
        "Day and month cannot be told apart; declare the column's date format, or export"
        " YYYY-MM-DD.",
    )
    IMPOSSIBLE_DATE = (
        "impossible_date",
        "The calendar has no such day; check the declared date format.",
    )
    YEAR_OUT_OF_RANGE = (
        "year_out_of_range",
        "The date of birth lies before 1900 or in the future; check the declared date format.",
    )
    OTHER_DATE_FORMAT = (
        "other_date_format",
        "The date does not follow the declared format; declare the one the column really has.",
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
        "The value is not a _fbc cookie (fb.1.<milliseconds>.<click id>); pass the cookie on as it"
        " is.",
    )
    NOT_FBP = (
        "not_fbp",
        "The value is not a _fbp cookie (fb.1.<milliseconds>.<digits>); pass the cookie on as it"
        " is.",
    )
    NOT_A_CLICK_ID = (
        "not_a_click_id",
        "The value is not a Facebook click id; take fbclid from the landing page's query string as"
        " it stands.",
    )
    CASE_LOST = (
        "case_lost",
        "The click id was written in one case on its way, which Meta cannot match; keep capital"
        " and small letters as they are.",
    )
    SECONDS_NOT_MILLISECONDS = (
        "seconds_not_milliseconds",
        "The cookie's time is in seconds and cannot be repaired safely; write milliseconds.",
    )
    CLICK_AFTER_EVENT = (
        "click_after_event",
        "The click id was made after the row's own time; check the clocks and the time zone.",
    )
    CLICK_TOO_OLD = (
        "click_too_old",
        "The click id is older than 90 days, the life of Meta's cookie; nothing to repair.",
    )

    # client_ip_address
    NOT_AN_IP = ("not_an_ip", "The value is no IPv4 or IPv6 address; check the column.")
    PRIVATE_IP = (
        "private_ip",
        "The address belongs to a private or reserved network, not to the customer; take the first"
        " address of X-Forwarded-For.",
    )

    # addresses of pages, custom_data, contents
    CONTACT_REMOVED = (
        "contact_removed",
        "The text held contact data (an e-mail address, a phone number or a name), which may only"
        " be sent hashed; it was taken out and the rest kept. Take it out of links and forms.",
    )


_BY_CODE = {problem.code: problem for problem in Problem}


def problem_words(code: str) -> str:
    """A sentence for people: what is wrong with the values counted under `code`, and the remedy."""
    problem = _BY_CODE.get(code)
    return problem.words if problem else f"{code.replace('_', ' ')}."
