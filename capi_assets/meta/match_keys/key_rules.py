"""The rule of each match key as text, for `explain` and docs/normalisation.md.

The rules themselves are functions in the other modules of this package.
"""

from __future__ import annotations

RULES = {
    "em": "Lower case. Dots and plus-tags stay. Several addresses may be separated by commas or"
    " semicolons. What is not one address is dropped.",
    "ph": "Digits only, country code first: symbols, letters, leading zeros, the trunk zero and"
    " extensions (the last digits behind a word or `#`) go. National numbers are read with"
    " the row's country, or with"
    " `CAPI_DEFAULT_COUNTRY` where the row has none; without a country they are dropped, since they"
    " would read as another country's. Numbers that fit no numbering plan are dropped. Full-width"
    " digits, and digits of other scripts, become 0 to 9.",
    "fn": "Lower case without punctuation, symbols and spaces; accents and other scripts stay.",
    "ln": "As `fn`.",
    "db": "YYYYMMDD, from 1900 to today. Read in the declared format, or with the year first, or"
    " where only one of day and month can be the month; otherwise dropped, as are days that the"
    " calendar does not have. 1900-01-01 is a placeholder.",
    "ge": "`f` or `m`, from the letter or a common word for it in a dozen languages; anything else"
    " is dropped.",
    "ct": "Lower-case letters: punctuation, symbols, spaces and digits go; accents and other"
    " scripts stay.",
    "st": "The two-letter code of a state of the United States or a province of Canada, from its"
    " code or name, where the row's country is one of them or unknown; elsewhere the name in"
    " lower-case letters. In a row of the United States anything else is dropped.",
    "zp": "Lower-case letters and digits. United States: the first five digits, leading zeros"
    " restored; a ZIP+4 written with its dash is recognised without a country too.",
    "country": "The lower-case two-letter code of ISO 3166-1, from a code of two or three letters"
    " or an everyday or formal name in English or one of some fifty languages; `&` is and, `St.` is"
    " Saint, and a code or name in brackets counts unless it contradicts. UK becomes gb, EL becomes"
    " gr.",
    "external_id": "As Meta's Pixel sends it: lower case without white space, hashed; 32"
    " hexadecimal"
    " digits in lower case and not hashed. `CAPI_EXTERNAL_ID_FORM=exact` hashes the trimmed text,"
    " `CAPI_HASH_EXTERNAL_ID=false` sends it as it is.",
    "fbc": "Unchanged. If only the click id is there, `fb.1.<milliseconds>.<click id>`"
    " with the time at which the click id was first seen; without that time, none is made. A time"
    " in seconds is repaired only where the row's own time confirms it. Dropped: made more than"
    " five minutes after the row's time or more than 90 days before it, or of a click id that is"
    " none of Meta's or was changed to one letter case.",
    "fbclid": "The column, else the page's query string, decoded once, case kept. Letters, digits,"
    " `_` and `-` only: with any other character (`{{fbclid}}`, `%2F`) Meta refuses the whole"
    " request. A whole _fbc cookie in this column counts as one.",
    "fbp": "Unchanged if it is a _fbp cookie; never invented.",
    "client_ip_address": "The first public address of a forwarded list; ports go, IPv4 mapped into"
    " IPv6 becomes IPv4. Private and reserved addresses are dropped. Never hashed.",
}
