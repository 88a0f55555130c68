"""How wide a forecast is: the errors of the year before, laid around it.

The distribution of an outcome is the forecast plus each of the latest errors whose outcome was
known by then, each in units of the volatility of its own time. Nothing is fitted, and every model
is treated alike. An interval from ranks of N such errors holds as often as it says where errors
are exchangeable; where they drift, the level that is asked of the ranks follows how often intervals
held before, which makes the share right in the long run whatever comes.

Sources: Barone-Adesi, Giannopoulos and Vosper, Journal of Futures Markets 19 (1999), filtered
historical simulation; Lei et al., J. American Statistical Association 113 (2018),
intervals from ranks of errors; Gibbs and Candes, NeurIPS 34 (2021), equation 2, levels that
follow; Gneiting and Raftery, J. American Statistical Association 102 (2007), equation 20, CRPS.

Shapes: n bars in order of time, M bars of them with a distribution, N errors of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ERRORS = 252
"""N, a year of bars."""
DECAY = 0.94
"""Of squared returns, a day: the usual one of RiskMetrics, 1996."""

STEP = 0.005
"""Of the level after a miss, as Gibbs and Candes have it."""


class Spread(NamedTuple):
    """The distributions of outcomes.

    Attributes:
        first: Row of the first bar that has one.
        samples: Outcomes that count as equally likely, ascending (M, N).
    """

    first: int
    samples: NDArray

    def quantile(self, level: float) -> NDArray:
        """Return what an outcome stays below with this probability (M,)."""
        return np.quantile(self.samples, level, axis=1, method="weibull")

    def interval(self, level: float) -> tuple[NDArray, NDArray]:
        """Return lower and upper ends (M,) of the interval that leaves as much below as above."""
        outside = (1 - level) / 2
        return self.quantile(outside), self.quantile(1 - outside)

    def rank(self, outcome: ArrayLike) -> NDArray:
        """Return the probability (M,) that was given to what lies below what came (M,).

        0 and 1 where it lies beyond all samples.

        >>> Spread(0, np.array([[1.0, 2.0, 4.0]])).rank([3.0]).tolist()
        [0.625]
        """
        came = np.asarray(outcome, dtype=float)
        places = np.arange(1, self.samples.shape[1] + 1) / (self.samples.shape[1] + 1)
        rows = zip(came, self.samples, strict=True)
        return np.array([np.interp(one, own, places, left=0.0, right=1.0) for one, own in rows])

    def above(self, value: float = 0.0) -> NDArray:
        """Return the probability (M,) that an outcome lies above a value, never 0 nor 1."""
        return ((self.samples > value).sum(1) + 0.5) / (self.samples.shape[1] + 1)

    def crps(self, outcome: ArrayLike) -> NDArray:
        """Return the continuous ranked probability score (M,) of what came (M,), in its unit."""
        came = np.asarray(outcome, dtype=float)[:, None]
        count = self.samples.shape[1]
        ranks = 2 * np.arange(1, count + 1) - count - 1
        apart = (self.samples * ranks).sum(1) / count**2
        return np.abs(self.samples - came).mean(1) - apart


def spread(
    forecast: ArrayLike,
    actual: ArrayLike,
    scale: ArrayLike | None = None,
    horizon: int = 1,
    errors: int = ERRORS,
) -> Spread:
    """Return the distribution around each forecast.

    Args:
        forecast: (n,) any unit.
        actual: What came (n,).
        scale: Volatility known when each forecast was made (n,), above 0; None: errors as they are.
        horizon: h, bars that a forecast covers: what came of it is known h bars later.
        errors: N.

    Raises:
        ValueError: If there are not so many errors before the last forecast.

    >>> spread([0.0, 0.0, 0.0], [1.0, -2.0, 5.0], errors=2).samples.tolist()
    [[-2.0, 1.0]]
    """
    point, came = np.asarray(forecast, dtype=float), np.asarray(actual, dtype=float)
    first = errors + horizon - 1
    if len(point) <= first:
        raise ValueError(
            f"forecasts must be more than {first}, to have {errors} errors, got {len(point)}"
        )
    size = np.ones_like(point) if scale is None else np.asarray(scale, dtype=float)
    off = np.sort(np.lib.stride_tricks.sliding_window_view((came - point) / size, errors), axis=1)
    known = off[: len(point) - first]
    return Spread(first, point[first:, None] + size[first:, None] * known)


def holds(ranks: ArrayLike, level: float, horizon: int = 1, step: float = STEP) -> NDArray:
    """Return which outcomes (M,) lie in intervals whose level follows how often they held before.

    Each outcome that an interval missed widens the intervals after it, as soon as it is known, and
    each that it held narrows them a little. No interval is wider than all samples.

    Args:
        ranks: Of outcomes in their distributions (M,), as `Spread.rank` has them.
        level: Share of outcomes to hold.
        horizon: h: what came of a forecast is known h bars later.
        step: By which the share outside moves after a miss; 0 for intervals that never adapt.

    >>> holds([0.5, 0.999, 0.02, 0.02], 0.9, step=0.0).tolist()
    [True, False, False, False]
    >>> holds([0.5, 0.999, 0.02, 0.02], 0.9, step=0.08).tolist()
    [True, False, True, False]
    """
    own = np.asarray(ranks, dtype=float)
    nearest = np.minimum(own, 1 - own).tolist()
    outside, aim = [1 - level] * (len(own) + horizon), 1 - level
    held = []
    for row, near in enumerate(nearest):
        held.append(near > 0 and near >= outside[row] / 2)
        missed = 0.0 if held[-1] else 1.0
        # The outcome of this row is known when the row h bars later is forecast.
        known = outside[row + horizon - 1]
        outside[row + horizon] = min(max(known + step * (aim - missed), 0.0), 1.0)
    return np.array(held, dtype=bool)


def volatility(last_price: ArrayLike, horizon: int = 1) -> NDArray:
    """Return the volatility of the next h bars as known before them, from all closes so far.

    Args:
        last_price: Close before each bar (n,).
        horizon: h.

    Returns:
        In log returns (n,), above 0; at the start, where there is no return, the first one's size.

    >>> volatility([1.0, np.e, np.e]).round(4).tolist()
    [1.0, 1.0, 0.9695]
    """
    squares = np.diff(np.log(np.asarray(last_price, dtype=float))) ** 2
    variance = np.empty(len(squares) + 1)
    variance[:2] = squares[0]
    for row in range(1, len(squares)):
        variance[row + 1] = DECAY * variance[row] + (1 - DECAY) * squares[row]
    return np.sqrt(horizon * np.maximum(variance, 1e-12))
