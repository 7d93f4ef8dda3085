"""The terms of the report, explained to a reader who meets them for the first time."""

from __future__ import annotations

GLOSSARY = (
    ("Order", "One conversion in your order data: a purchase, a lead, a registration."),
    ("Withheld", "Deliberately not sent: no consent, cancelled, a test, or already reported by the "
     "browser’s Pixel."),
    ("Eligible", "An order that should reach Meta: every order that is not withheld."),
    ("Coverage", "The share of eligible orders that reached Meta."),
    ("Gap", "Consecutive hours below the coverage threshold with the same cause."),
    ("Recovered", "Missing when its hour was due, and delivered later with its original time, so "
     "that Meta counts it in the right hour."),
    ("Quarantined", "A row that does not match the contract; it is stored apart, with its file, "
     "line and reason."),
    ("Invalid", "An order that lacks something Meta requires; it is not sent, because Meta would "
     "reject the whole request."),
    ("Too old", "Meta accepts an event for seven days (sales in a physical store for 62)."),
    ("Outcome unknown", "Sent, but no usable response arrived: Meta may have accepted it."),
    ("Deadline", "The moment after which the first waiting order of a gap is too old for Meta."),
    ("Match key", "A customer information parameter by which Meta can match a person: a hashed "
     "e-mail address, the click on an ad, a browser cookie."),
    ("Freshness", "Minutes from the order to Meta’s acceptance. Meta recommends one hour, warns "
     "from two hours on, and calls 24 hours a serious problem."),
    ("Hour", "Hours are in UTC and contain the orders that happened in them, whenever they were "
     "sent."),
)  # fmt: skip
