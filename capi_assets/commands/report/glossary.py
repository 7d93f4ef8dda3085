"""The report's words, for a reader who meets them for the first time."""

from __future__ import annotations

GLOSSARY = (
    ("Order", "One conversion in your books: a purchase, a lead, a registration."),
    ("Withheld", "Not sent on purpose: no consent, cancelled, a test, or already reported by the "
     "browser’s Pixel."),
    ("Eligible", "An order that ought to be at Meta: every order that is not withheld."),
    ("Coverage", "The share of eligible orders that reached Meta."),
    ("Gap", "Hours on end in which too few eligible orders reached Meta, for one cause."),
    ("Recovered", "Missing when its hour was due, and delivered later with its original time, so "
     "that Meta counts it where it belongs."),
    ("Quarantined", "A row that did not keep to the agreed format; it is set aside with its file, "
     "line and reason."),
    ("Invalid", "An order that lacks something Meta insists on; it is not sent, since Meta would "
     "refuse all that is sent with it."),
    ("Too old", "Meta takes an event for seven days (sales in a physical store for 62)."),
    ("Fate unknown", "Sent, but no readable answer came: Meta may have it or not."),
    ("Deadline", "The moment after which the first waiting order of a gap is too old."),
    ("Match key", "Anything by which Meta can recognise a person: an e-mail address (hashed), a "
     "click on an ad, a browser cookie."),
    ("Freshness", "Minutes from the order to Meta’s acceptance. Meta advises an hour, warns from "
     "two hours on, and calls 24 hours a serious problem."),
    ("Hour", "Hours are in UTC and hold the orders that happened in them, whenever they were "
     "sent."),
)  # fmt: skip
