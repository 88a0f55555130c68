"""Compares recipes instead of trained models: another seed and other days, both drawn anew."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from src.reporting.statistics import LEVEL, difference


class RecipeTest(NamedTuple):
    """Whether two recipes lose the same on average over seeds and days; NaN for what is open."""

    relative: float
    """The mean difference, as a share of the second recipe's mean loss."""
    low: float
    high: float
    p_value: float
    df: float
    seeds: int
    days: int

    def detectable(self, comparisons: int = 1) -> float:
        """Return the smallest relative difference that would have been found among so many."""
        if math.isnan(self.df) or self.df <= 0:
            return math.nan
        half = (self.high - self.low) / 2
        level = 1 - (1 - LEVEL) / (2 * max(comparisons, 1))
        return float(half * stats.t.ppf(level, self.df) / stats.t.ppf((1 + LEVEL) / 2, self.df))


def compare_recipes(losses_sn: ArrayLike, reference_sn: ArrayLike, horizon: int = 1) -> RecipeTest:
    """Test whether two recipes lose the same, with noise of seeds and of days.

    The variance of the mean difference is that over seeds plus that over days, and the degrees of
    freedom are those of the fewer, as the theory of two-way clusters advises. What belongs to a
    seed on a day counts in both, which makes the test careful. A bootstrap of seeds and days would
    draw from three seeds only 27 samples, whose variance is a third too small, and weighing both
    degrees of freedom (Satterthwaite) trusts a variance of two seeds that is small by luck: this
    one keeps its level down to two seeds.

    Args:
        losses_sn: (S, N) the first recipe's loss, by seed and day, any unit.
        reference_sn: (S, N) the second one's: the same seeds and days, the same unit.
        horizon: days that each forecast covers, over which what is lost hangs together.

    Returns:
        The test; without an interval below two seeds.

    Raises:
        ValueError: the losses do not match, are not finite, or cover less than two days.
        Source: Cameron, Gelbach and Miller, J. Business & Economic Statistics 29 (2011), two-way
        clusters, without what they subtract; degrees of freedom: Cameron and Miller, J. Human
        Resources 50 (2015), section VI; days: Newey and West, Econometrica 55 (1987).

    >>> compare_recipes([[2.0, 2.0], [3.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]).relative
    1.5
    """
    a, b = np.asarray(losses_sn, dtype=float), np.asarray(reference_sn, dtype=float)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] < 2:
        raise ValueError(
            "losses must be two tables of the same seeds and 2 days or more, "
            f"got {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("losses must be finite, got NaN or infinity among them")
    apart, (seeds, days) = difference(a, b), a.shape
    mean, level = float(apart.mean()), float(b.mean())
    relative = mean / level if level else math.nan
    if seeds < 2:
        return RecipeTest(relative, math.nan, math.nan, math.nan, math.nan, seeds, days)
    of_seeds = float(apart.mean(axis=1).var(ddof=1)) / seeds
    variance = of_seeds + _long_run_variance(apart.mean(axis=0), horizon) / days
    if not variance:
        p = 1.0 if not mean else 0.0
        return RecipeTest(relative, relative, relative, p, seeds - 1, seeds, days)
    df = min(seeds, days) - 1
    error = math.sqrt(variance)
    p_value = float(2 * stats.t.sf(abs(mean) / error, df))
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
    ends = ((mean - half) / level, (mean + half) / level) if level else (math.nan, math.nan)
    return RecipeTest(relative, *ends, p_value, df, seeds, days)


def _long_run_variance(x: NDArray, horizon: int = 1) -> float:
    """Return the variance of a series' sum a day: never below that of independent days."""
    n = len(x)
    centred = x - x.mean()
    own = total = float(centred @ centred) / (n - 1)
    lags = min(max(int(4 * (n / 100) ** (2 / 9)), horizon - 1), n - 1)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / (n - 1)
    return max(total, own)
