"""Averages are not moved by one bad week, and intervals hold for small counts as well."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.coverage.anomalies.count_models import (
    DAY,
    WEEK,
    count_at_least,
    count_at_most,
    count_interval,
    hits_at_least,
    hits_at_most,
    location,
    median,
    median_where,
    overdispersion,
    same_hours,
)

means = st.floats(0.1, 400.0)
dispersions = st.floats(1e-4, 0.5)


def poisson_at_most(count: int, mean: float) -> float:
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


@pytest.mark.parametrize(("count", "mean"), [(0, 3.0), (2, 9.5), (40, 61.0), (400, 390.0)])
def test_a_count_without_overdispersion_is_poissons(count: int, mean: float) -> None:
    assert count_at_most(count, mean, 0.0) == pytest.approx(poisson_at_most(count, mean), rel=1e-3)


@pytest.mark.parametrize(("hits", "trials"), list(product((0, 3, 7), (7, 30))))
def test_hits_without_overdispersion_are_binomial(hits: int, trials: int) -> None:
    exact = sum(
        math.comb(trials, k) * 0.3**k * 0.7 ** (trials - k) for k in range(min(hits, trials) + 1)
    )
    assert hits_at_most(hits, trials, 0.3, 0.0) == pytest.approx(exact, rel=1e-3)


@given(st.integers(0, 500), means, dispersions)
def test_both_tails_of_a_count_overlap_in_the_count_itself(
    count: int, mean: float, dispersion: float
) -> None:
    low, high = count_at_most(count, mean, dispersion), count_at_least(count, mean, dispersion)
    assert 0.0 <= low <= 1.0
    assert 0.0 <= high <= 1.0
    assert low + high >= 1.0 - 1e-9


@given(st.integers(1, 200), st.floats(0.01, 0.99), dispersions, st.data())
def test_reaching_more_hits_is_never_less_likely(
    trials: int, rate: float, dispersion: float, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, trials - 1))
    fewer, more = (hits_at_most(n, trials, rate, dispersion) for n in (hits, hits + 1))
    assert 0.0 <= fewer <= more + 1e-12 <= 1.0 + 2e-12
    assert hits_at_least(0, trials, rate, dispersion) == pytest.approx(1.0)


def test_a_shop_that_varies_more_is_given_more_room() -> None:
    assert count_at_most(10, 30, 0.2) > 10 * count_at_most(10, 30, 0.0)
    assert hits_at_most(10, 30, 0.8, 0.2) > 10 * hits_at_most(10, 30, 0.8, 0.0)
    assert count_interval(30, 0.2)[0] < count_interval(30, 0.0)[0]


def test_nothing_expected_and_nothing_seen_is_certain() -> None:
    assert count_at_most(0, 0.0, 0.1) == 1.0
    assert (count_at_least(0, 0.0, 0.1), count_at_least(1, 0.0, 0.1)) == (1.0, 0.0)
    assert (hits_at_most(0, 0, 0.5, 0.1), hits_at_most(3, 9, 0.0, 0.1)) == (1.0, 1.0)


@given(
    st.integers(1, 12).flatmap(
        lambda size: st.lists(
            st.lists(st.floats(0.0, 50.0) | st.just(np.nan), min_size=size, max_size=size),
            min_size=1,
            max_size=5,
        )
    )
)
def test_the_median_is_that_of_numpy(rows: list[list[float]]) -> None:
    samples = np.array(rows)
    np.testing.assert_array_equal(median(samples), np.median(samples, axis=-1))


@given(st.lists(st.lists(st.floats(0.0, 50.0), min_size=5, max_size=5), min_size=1), st.data())
def test_the_median_of_some_is_that_of_numpy(rows: list[list[float]], data: st.DataObject) -> None:
    samples = np.array(rows)
    used = np.array([data.draw(st.lists(st.booleans(), min_size=5, max_size=5)) for _ in rows])
    pairs = zip(samples, used, strict=True)
    expected = [np.median(row[of]) if of.any() else np.nan for row, of in pairs]
    np.testing.assert_array_equal(median_where(samples, used), expected)


@settings(max_examples=500)
@given(
    st.integers(3, 3_000), st.floats(0.01, 0.995), st.floats(0.005, 0.3), st.floats(1.0, 100.0),
    st.floats(0.0, 1.0), st.sampled_from([1e-4, 1e-5, 1e-6, 1e-9]),
)  # fmt: skip
def test_few_hits_that_are_no_proof_at_a_small_dispersion_are_none_at_a_larger_one(
    trials: int, rate: float, small: float, factor: float, place: float, decisive: float
) -> None:
    spread = math.sqrt(trials * rate * (1 - rate) * (1 + (trials - 1) * small))
    most = min(trials * rate - 2.5 * spread, 0.8 * trials * rate, trials * rate - 3)
    hits = int(place * max(most, 0.0))
    if most >= 0.0 and hits_at_most(hits, trials, rate, small) > decisive:
        assert hits_at_most(hits, trials, rate, min(factor * small, 0.99)) > decisive


def test_a_sale_or_an_unseen_outage_hardly_moves_the_average() -> None:
    ordinary = location(np.array([98.0, 103.0, 100.0, 99.0, 101.0]))
    for odd in (0.0, 900.0):
        assert location(np.array([98.0, 103.0, 100.0, 99.0, odd])) == pytest.approx(
            ordinary, abs=6.0
        )


def test_the_average_of_small_counts_is_not_zero() -> None:
    assert location(np.array([0.0, 0.0, 1.0, 0.0, 1.0])) == pytest.approx(0.4)


def test_an_hour_is_compared_with_the_same_hour_of_the_week() -> None:
    known = np.ones(6 * WEEK, dtype=bool)
    assert list(same_hours(5 * WEEK + 7, known)) == [n * WEEK + 7 for n in (4, 3, 2, 1, 0)]
    known[3 * WEEK + 7] = False
    assert 3 * WEEK + 7 not in same_hours(5 * WEEK + 7, known)


def test_neighbours_and_then_other_days_help_when_weeks_are_few() -> None:
    known = np.ones(6 * WEEK, dtype=bool)
    at = 2 * WEEK + 50
    assert set(same_hours(at, known)) == {n * WEEK + 50 + d for n in (0, 1) for d in (-1, 0, 1)}
    assert list(same_hours(6 * DAY + 4, known)) == [d * DAY + 4 for d in (5, 4, 3, 2, 1, 0)]
    assert len(same_hours(4 * DAY + 4, known)) == 0


def test_overdispersion_is_learned_from_residuals() -> None:
    rng = np.random.default_rng(7)
    mean = np.full(2_000, 50.0)
    steady = rng.poisson(mean)
    varying = rng.poisson(mean * np.exp(rng.normal(0.0, 0.3, mean.size)))
    small, large = (overdispersion((n - mean) ** 2, mean, mean**2, 1e-3) for n in (steady, varying))
    assert small < 0.01
    assert 0.06 < large < 0.2
