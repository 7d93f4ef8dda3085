"""What is unusual about an hour, and what it was compared with: the result of every detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from capi_assets.delivery.causes import Cause


class Stream(NamedTuple):
    """Orders that come the same way. What is "" is not told apart: `Stream()` is the whole shop."""

    dataset_id: str = ""
    event_name: str = ""
    action_source: str = ""

    @property
    def parent(self) -> Stream:
        """The stream that this one is part of."""
        if self.action_source:
            return self._replace(action_source="")
        return self._replace(event_name="") if self.event_name else Stream()

    @property
    def label(self) -> str:
        """`Purchase of dataset 123 (physical_store)`."""
        dataset = f"dataset {self.dataset_id}"
        name = f"{self.event_name} of {dataset}" if self.event_name else dataset
        return f"{name} ({self.action_source})" if self.action_source else name


class Interval(NamedTuple):
    """An estimate, and the range that holds nineteen of twenty such numbers."""

    low: float
    expected: float
    high: float


class Comparison(NamedTuple):
    """What was seen of one signal, what was expected, and from which hours that was learned.

    Attributes:
        signal: for people, such as `orders` or `share without consent`.
        hours: the length of the window that ends with the hour.
        learned_from: the hours (start, UTC) that the expectation comes from.
    """

    signal: str
    seen: float
    expected: Interval
    hours: int = 1
    learned_from: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Why an hour is anomalous; all counts are estimates for this hour alone.

    Attributes:
        evidence: what was seen and expected, for people; the window may be longer than the hour.
        streams: the streams concerned; none if it is the whole shop.
        orders_expected_missing: orders that did not arrive.
        unmatched: orders that did not match a visit although such orders usually do.
        orders_with_fewer_keys: orders without a match key that they usually carry.
        orders_affected: orders that arrived, and are not as usual: withheld more often, doubled,
            of another value, late.
        estimated_money: of the missing or affected orders, per currency.
    """

    cause: Cause
    evidence: str
    streams: tuple[Stream, ...] = ()
    orders_expected_missing: int = 0
    unmatched: int = 0
    orders_with_fewer_keys: int = 0
    orders_affected: int = 0
    estimated_money: Mapping[str, Interval] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
