"""What repeated seeds and test days can tell: intervals, and the field's forecast comparisons.

Seeds answer whether another training run would rank two groups the same way; test days answer
whether another stretch of days would. Both are asked, by different tools.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
FEWEST_DAYS = 30
"""Days from which on blocks of them can be resampled."""
TIE = 1e-7
"""Relative: forecasts are float32, and runs that differ by less differ by rounding."""


class Estimate(NamedTuple):
    """A mean over seeds: NaN for what too few values leave open."""

    mean: float
    sd: float
    low: float
    high: float
    n: int
    p_value: float
    """Two-sided, of the mean being 0."""


def estimate(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """Return mean, sample standard deviation and the t interval of the mean.

    Args:
        values: (n,) one value per seed; values that are not finite are left out.
        level: coverage of the interval.

    Returns:
        The estimate; with one value only its mean.
        Source: Student, Biometrika 6 (1908).

    >>> [round(number, 3) for number in estimate([1.0, 2.0, 3.0])[:4]]
    [2.0, 1.0, -0.484, 4.484]
    """
    x = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    nan, n = math.nan, len(x)
    mean = float(x.mean()) if n else nan
    if n < 2:
        return Estimate(mean, nan, nan, nan, n, nan)
    _, p_value, low, high = _t_test(x, level)
    return Estimate(mean, float(x.std(ddof=1)), low, high, n, p_value)


def difference(a: ArrayLike, b: ArrayLike) -> NDArray:
    """Return a - b, and 0 where they are the same but for rounding.

    >>> difference([1.0, 2.0], [1.0 + 4e-15, 1.5]).tolist()
    [0.0, 0.5]
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return np.where(np.isclose(a, b, rtol=TIE, atol=0.0), 0.0, a - b)


def detectable(value: Estimate, comparisons: int = 1) -> float:
    """Return the smallest mean that would have been told from 0, with this scatter over seeds.

    Args:
        value: what was found.
        comparisons: among how many (Bonferroni; the first step of Holm).

    Returns:
        In the value's unit; NaN for one seed.

    >>> round(detectable(estimate([1.0, 2.0, 3.0])), 3)
    2.484
    """
    if value.n < 2:
        return math.nan
    quantile = stats.t.ppf(1 - (1 - LEVEL) / (2 * max(comparisons, 1)), value.n - 1)
    return float(quantile * value.sd / math.sqrt(value.n))


def pairs(count: int) -> int:
    """Return how many pairs there are among so many.

    The best is picked by looking: comparing it with the others is as bold as comparing all.

    >>> pairs(2), pairs(8)
    (1, 28)
    """
    return count * (count - 1) // 2


class DieboldMariano(NamedTuple):
    """The test of equal accuracy of two forecasts: positive where the first one lost more."""

    statistic: float
    p_value: float
    n: int
    relative: float
    """The mean difference, as a share of the second one's mean loss; NaN where that is 0."""


def diebold_mariano(losses_a: ArrayLike, losses_b: ArrayLike, horizon: int = 1) -> DieboldMariano:
    """Test whether two forecasts lose the same on average.

    One day ahead the days' differences count as uncorrelated, and the statistic with its
    small-sample correction is that of the paired t test with n - 1 degrees of freedom. Forecasts of
    h days overlap: the differences are correlated up to a lag of h - 1, and the variance takes in
    these lags with equal weight, which may bring it below that of uncorrelated days: then theirs
    counts.

    Args:
        losses_a: (n,) the first forecast's loss a day, any unit.
        losses_b: (n,) the second one's, the same days and unit.
        horizon: h, the days that each forecast covers.

    Returns:
        The statistic and its two-sided p-value: 0 and 1 for identical losses.

    Raises:
        ValueError: the losses do not match, are fewer than two or than h, or not finite.
        Source: Diebold and Mariano, J. Business & Economic Statistics 13 (1995), section 1.1;
        correction: Harvey, Leybourne and Newbold, Int. J. Forecasting 13 (1997), equations 8 and 9.

    >>> test = diebold_mariano([1, 4, 3, 6], [0, 2, 0, 2])
    >>> round(test.statistic, 4), round(test.p_value, 4)
    (3.873, 0.0305)
    """
    a, b = np.asarray(losses_a, dtype=float), np.asarray(losses_b, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"losses must be two series of the same 2 days or more, got {a.shape} and {b.shape}"
        )
    if not 1 <= horizon < len(a):
        raise ValueError(f"horizon must be from 1 to {len(a) - 1} for so many days, got {horizon}")
    _check_finite(np.column_stack([a, b]))
    apart, level = difference(a, b), float(b.mean())
    statistic, p_value, _, _ = _t_test(apart)
    if horizon > 1 and np.ptp(apart) > 0:
        statistic = _overlapping(apart, horizon)
        p_value = float(2 * stats.t.sf(abs(statistic), len(apart) - 1))
    relative = float(apart.mean()) / level if level else math.nan
    return DieboldMariano(statistic, p_value, len(a), relative)


def _overlapping(apart: NDArray, horizon: int) -> float:
    """Return the corrected statistic of differences that are correlated up to h - 1 days."""
    n, centred = len(apart), apart - apart.mean()
    own = [float(centred[lag:] @ centred[: n - lag]) / n for lag in range(horizon)]
    variance = max(own[0] + 2 * sum(own[1:]), own[0]) / n
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    return float(apart.mean()) * math.sqrt(max(correction, 0.0) / variance)


def _check_finite(losses_nk: NDArray) -> None:
    lost = np.argwhere(~np.isfinite(losses_nk))
    if len(lost):
        day, column = lost[0].tolist()
        raise ValueError(
            f"losses must be finite, got {losses_nk[day, column]} on day {day} of forecast {column}"
        )


def _t_test(x: NDArray, level: float = LEVEL) -> tuple[float, float, float, float]:
    """Return t and the two-sided p-value of a mean of 0, and both ends of the mean's interval."""
    if not x.any():
        return 0.0, 1.0, 0.0, 0.0
    with warnings.catch_warnings():
        # Equal values divide by 0 and give infinity, as they should; nearly equal ones lose digits.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_1samp(x, 0.0)
        low, high = test.confidence_interval(level)
    return float(test.statistic), float(test.pvalue), float(low), float(high)


def holm(p_values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """Return the p-values adjusted for their number; NaN stays NaN and does not count.

    Args:
        p_values: of the comparisons that were made.
        comparisons: how many there could have been, where that is more: all pairs, if those that
            were made were picked by looking at the numbers.

    Returns:
        The adjusted ones, in the same order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    >>> holm([0.01, 0.02], comparisons=3)
    [0.03, 0.04]
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    tests = max(len(known), comparisons or 0)
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for place, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, p * (tests - place)))
        adjusted[i] = largest
    return adjusted


def confidence_set(
    losses_nk: ArrayLike, repetitions: int = 1000, seed: int = 0, horizon: int = 1
) -> NDArray:
    """Return each forecast's p-value in the model confidence set: in the 95% set where > 0.05.

    A stationary block bootstrap keeps runs of days together; the blocks are as long as the most
    persistent of the loss differences needs. Forecasts with the same losses share a p-value.

    Args:
        losses_nk: (n, k) loss of each of k forecasts on n days.
        repetitions: bootstrap samples.
        seed: of the bootstrap.
        horizon: days that each forecast covers; no block is shorter.

    Returns:
        (k,) p-values; the best forecast's is 1.

    Raises:
        ValueError: there are too few days, or a loss is not finite.
        Source: Hansen, Lunde and Nason, Econometrica 79 (2011); block length: Patton, Politis and
        White, Econometric Reviews 28 (2009).
    """
    losses = np.asarray(losses_nk, dtype=float)
    if len(losses) < FEWEST_DAYS:
        raise ValueError(f"losses must cover at least {FEWEST_DAYS} days, got {len(losses)}")
    _check_finite(losses)
    # Columns that differ by a constant have no variance to be compared with: the best of them
    # competes, its equals share its place, and the others are worse every day.
    level = losses.mean(axis=0)
    unlevelled = np.round((losses - level) / max(np.abs(losses).max(), 1e-300), 12)
    shapes, which = np.unique(unlevelled, axis=1, return_inverse=True)
    of_shape = [np.flatnonzero(which.ravel() == shape) for shape in range(shapes.shape[1])]
    best = [columns[level[columns].argmin()] for columns in of_shape]
    p_values = np.zeros(losses.shape[1])
    for columns, leader, p in zip(
        of_shape, best, _compete(losses[:, best], repetitions, seed, horizon), strict=True
    ):
        p_values[columns[np.isclose(level[columns], level[leader], rtol=1e-12)]] = p
    return p_values


def _compete(losses_nk: NDArray, repetitions: int, seed: int, horizon: int) -> NDArray:
    """Return the p-values (k,) of forecasts no two of which differ by a constant."""
    if losses_nk.shape[1] == 1:
        return np.ones(1)
    from arch.bootstrap import MCS

    block = max(horizon, _block_length(losses_nk - losses_nk.mean(axis=1, keepdims=True)))
    mcs = MCS(losses_nk, size=1 - LEVEL, reps=repetitions, block_size=block, seed=seed)
    mcs.compute()
    return mcs.pvalues["Pvalue"].sort_index().to_numpy()


def _block_length(differences_nk: NDArray) -> int:
    from arch.bootstrap import optimal_block_length

    varying = differences_nk[:, differences_nk.std(axis=0) > 0]
    lengths = optimal_block_length(varying)["stationary"].to_numpy()
    lengths = lengths[np.isfinite(lengths)]
    longest = math.ceil(lengths.max()) if len(lengths) else 1
    return min(max(longest, 1), len(differences_nk))
