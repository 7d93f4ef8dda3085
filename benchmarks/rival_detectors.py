"""What the flags are compared with: the best possible detector, and two that anyone would write.

The best possible one (Neyman and Pearson) knows the shop's true mean and how rough it truly is,
when the outage begins and ends, and which streams it strikes. No method can find more outages at
the same rate of false alarms, and none that has to learn can reach it.
"""

from __future__ import annotations

import numpy as np

from benchmarks.simulated_shops import DAY, WEEK, Books, Floats, Ints, Where

FALSE_PER_HOURS = 500
DRAWS = 4_000
"""Eight of them lie beyond one false alarm in 500, so the chance is known to some hundredths for
one outage, and well for the sum over all."""
TWO_HOUR_SHARE, TWO_HOUR_COVERAGE, TWO_HOUR_LEAST = 0.5, 0.9, 3
Z_LIMIT = 3.0


def best_possible(books: Books, hours: slice, at: Where, shows: str, share: float) -> float:
    """The chance to see that `share` of the orders, or of the orders with a match key (`shows`),
    never came, at one false alarm in 500 hours. `books` are without the outage."""
    rng = np.random.default_rng(7)
    if shows == "orders" and share > 0.99 and _is_a_closed_day(books, hours, at):
        return 1 / FALSE_PER_HOURS
    if shows == "orders":
        mean = books.mean[at, hours].sum(axis=0)
        usual, less = _counts(rng, books, mean, hours, share)
    else:
        trials = int(books.orders[at, hours].sum())
        rate = {"matched": books.match, "eligible": np.array(books.kind.consent)}.get(shows)
        rates = np.broadcast_to(books.key[shows] if rate is None else rate, books.orders.shape)
        rate_now = float(np.average(rates[at, hours], weights=books.orders[at, hours] + 1e-9))
        usual, less = _hits(rng, books, trials, rate_now, share)
    return power(usual, less)


def _is_a_closed_day(books: Books, hours: slice, at: Where) -> bool:
    """Whether an outage of stores takes one day's orders from the first on, no more and no less.

    Stores are closed on holidays (`simulated_shops.OPENINGS`), which no visit shows: such an outage
    gives the same numbers, and who flags it flags each holiday.
    """
    if any(stream.opening != "store" for stream in np.array(books.kind.streams, object)[at]):
        return False
    mean = books.mean[at].sum(axis=0)
    sold = np.flatnonzero(mean[hours]) + hours.start
    days = np.unique(sold // DAY)
    return len(days) == 1 and not mean[days[0] * DAY : hours.start].any()


def power(usual: Ints, less: Ints) -> float:
    """The chance that a count from `less` is called an outage, if one in 500 from `usual` is.

    A count at the limit is called an outage so often that the rate is met exactly.
    """
    false = 1 / FALSE_PER_HOURS
    limit = np.quantile(usual, false, method="inverted_cdf")
    below, at = np.mean(usual < limit), np.mean(usual == limit)
    part = (false - below) / at
    return float(np.mean(less < limit) + part * np.mean(less == limit))


def _counts(
    rng: np.random.Generator, books: Books, mean: Floats, hours: slice, share: float
) -> tuple[Ints, Ints]:
    """Orders of all hours together, with and without the outage."""
    day, hour = _roughness(books)
    days = np.arange(hours.start, hours.stop) // DAY
    moods = rng.normal(0.0, day, (DRAWS, days[-1] - days[0] + 1))[:, days - days[0]]
    moods = moods + rng.normal(0.0, hour, (DRAWS, len(mean)))
    rough = (mean * np.exp(moods)).sum(axis=1)
    return rng.poisson(rough), rng.poisson(rough * (1.0 - share))


def _roughness(books: Books) -> tuple[float, float]:
    """Spread per day and per hour of what visits do not explain, as `open_shop` makes it."""
    moods = books.kind.moods
    if books.kind.tracked:
        return 0.06 * moods, 0.08 * moods
    return 0.134 * moods, 0.113 * moods  # with that of demand, which nothing shows


def _hits(
    rng: np.random.Generator, books: Books, trials: int, rate: float, share: float
) -> tuple[Ints, Ints]:
    moods = np.exp(rng.normal(0.0, 0.028 * books.kind.moods, DRAWS))
    rates = np.clip(rate * moods, 0.0, 1.0)
    return rng.binomial(trials, rates), rng.binomial(trials, rates * (1.0 - share))


def two_hours(books: Books) -> set[int]:
    """Hours that a two-hour threshold flags: under 90 % of the orders of two hours delivered, or
    under half as many orders per visit (where nothing is tracked: under half as many orders) as on
    average in the same two hours of the last four weeks."""
    orders, eligible, delivered = (
        _pairs(counts.sum(axis=0))
        for counts in (_present(books, books.orders), _eligible(books), _delivered(books))
    )
    uncovered = delivered < TWO_HOUR_COVERAGE * eligible
    flagged = uncovered & (eligible - delivered >= TWO_HOUR_LEAST)
    if books.kind.tracked:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = orders / _pairs(books.visits)
    else:
        ratio = orders.astype(np.float64)
    usual_orders, usual = _weeks_before(orders.astype(np.float64)), _weeks_before(ratio)
    few = ratio < TWO_HOUR_SHARE * usual
    flagged |= few & (TWO_HOUR_SHARE * usual_orders >= TWO_HOUR_LEAST)
    return {int(hour) for hour in np.flatnonzero(flagged) if hour >= 4 * WEEK}


def z_scores(books: Books) -> set[int]:
    """Hours with so few delivered events that they are three standard deviations below the mean of
    the same hour of the last 28 days."""
    delivered = _delivered(books).sum(axis=0).astype(np.float64)
    flagged = set()
    for hour in range(4 * WEEK, books.hours):
        past = delivered[hour - 28 * DAY : hour : DAY]
        spread = past.std()
        if spread > 0 and (delivered[hour] - past.mean()) / spread < -Z_LIMIT:
            flagged.add(hour)
    return flagged


def _present(books: Books, counts: Ints) -> Ints:
    shown = counts.copy()
    shown[:, sorted(books.absent)] = 0
    return shown


def _eligible(books: Books) -> Ints:
    return _present(books, books.orders - books.withheld)


def _delivered(books: Books) -> Ints:
    return _present(books, books.delivered)


def _pairs(counts: Ints) -> Ints:
    pairs = counts.copy()
    pairs[1:] += counts[:-1]
    return pairs


def _weeks_before(values: Floats) -> Floats:
    """The average of the same hours of the four weeks before."""
    usual = np.full(len(values), np.nan)
    usual[4 * WEEK :] = np.mean(
        [values[4 * WEEK - n * WEEK : len(values) - n * WEEK] for n in range(1, 5)], axis=0
    )
    return usual
