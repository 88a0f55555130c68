"""How wide a forecast is: the errors of the year before, laid around it.

The distribution of an outcome is the forecast plus each of the latest errors whose outcome was
known by then, each in units of the volatility of its own time. Nothing is fitted, and every model
is treated alike. An interval from ranks of N such errors holds as often as it says where errors
are exchangeable.

Sources: Barone-Adesi, Giannopoulos and Vosper, Journal of Futures Markets 19 (1999), filtered
historical simulation; Lei et al., Journal of the American Statistical Association 113 (2018),
intervals from ranks of errors; Gneiting and Raftery, same journal 102 (2007), equation 20, CRPS.

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
