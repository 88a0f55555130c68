"""What forecasts of returns would have earned: two strategies, at a cost, beside buy-and-hold.

A back-test is a sum over the past. It knows no slippage, no taxes, no borrowing fee and no effect
of the trades on the price, and the more models were tried, the better the best of them looks by
luck: the deflated Sharpe ratio says how much of that there may be.

Shapes: n bars, in order of time.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BARS_A_YEAR = 252
COSTS_BP = (0.0, 5.0, 10.0)
"""Of a trade, in basis points of what is bought or sold."""
LARGEST = 2.0
"""A scaled position is whole at a forecast of this many usual sizes."""
_BASIS_POINT = 1e-4
_EULER = 0.5772156649015329
_NORMAL = NormalDist()


class Earned(NamedTuple):
    """What a strategy earned at a cost.

    Attributes:
        mean: Of a year, as a share of what is invested, after costs.
        sharpe: Of a year: mean over standard deviation of the bars, after costs; NaN without any.
        sharpe_se: Its standard error.
        turnover: Bought and sold in a year, in times of what is invested.
        break_even_bp: Cost of a trade at which nothing is left, basis points; NaN where nothing is
            traded or there is nothing to lose.
        n: Bars.
    """

    mean: float
    sharpe: float
    sharpe_se: float
    turnover: float
    break_even_bp: float
    n: int


def sign_positions(forecast: ArrayLike) -> NDArray:
    """Return 1, -1 or 0 of what is invested, by the sign of each forecast return (n,).

    >>> sign_positions([0.01, -0.02, 0.0]).tolist()
    [1.0, -1.0, 0.0]
    """
    return np.sign(np.asarray(forecast, dtype=float))


def scaled_positions(forecast: ArrayLike) -> NDArray:
    """Return positions as large as forecasts are beside those so far, at most whole.

    A forecast of twice the mean size of all forecasts up to it, itself included, is a whole one.

    Args:
        forecast: Returns (n,).

    Returns:
        (n,) from -1 to 1.

    >>> scaled_positions([0.01, -0.03, 0.0]).tolist()
    [0.5, -0.75, 0.0]
    """
    own = np.asarray(forecast, dtype=float)
    usual = np.cumsum(np.abs(own)) / np.arange(1, len(own) + 1)
    return np.clip(own / np.where(usual > 0, LARGEST * usual, 1.0), -1.0, 1.0)


def held(positions: ArrayLike, horizon: int) -> NDArray:
    """Return what is held where each position is kept for h bars, a share 1 / h of all each.

    Args:
        positions: (n,) taken at each bar.
        horizon: h.

    Source: Jegadeesh and Titman, Journal of Finance 48 (1993), overlapping portfolios.

    >>> held([1.0, -1.0, 1.0], 2).tolist()
    [0.5, 0.0, 0.0]
    """
    own = np.asarray(positions, dtype=float)
    total = np.cumsum(own)
    return (total - np.concatenate([np.zeros(horizon), total])[: len(own)]) / horizon


def net_returns(positions: ArrayLike, returns: ArrayLike, cost_bp: float = 0.0) -> NDArray:
    """Return what each bar earned after costs; at the start nothing is held.

    Args:
        positions: Held over each bar (n,), in shares of what is invested.
        returns: Simple returns of the bars (n,).
        cost_bp: Of a trade, basis points of what is bought or sold.

    >>> net_returns([1.0, -1.0], [0.02, 0.01], cost_bp=10).round(6).tolist()
    [0.019, -0.012]
    """
    own = np.asarray(positions, dtype=float)
    traded = np.abs(np.diff(own, prepend=0.0))
    return own * np.asarray(returns, dtype=float) - cost_bp * _BASIS_POINT * traded


def earned(positions: ArrayLike, returns: ArrayLike, cost_bp: float = 0.0) -> Earned:
    """Return what a strategy earned, a year.

    Args:
        positions: Held over each bar (n,), in shares of what is invested.
        returns: Simple returns of the bars (n,).
        cost_bp: Of a trade, basis points of what is bought or sold.

    Raises:
        ValueError: If these are not the same 2 bars or more, or a number is not finite.
    """
    own, market = np.asarray(positions, dtype=float), np.asarray(returns, dtype=float)
    if own.shape != market.shape or own.ndim != 1 or len(own) < 2:
        raise ValueError(
            f"positions and returns must be of the same 2 bars or more, got {own.shape} and "
            f"{market.shape}"
        )
    if not np.isfinite([own, market]).all():
        raise ValueError("positions and returns must be finite")
    net = net_returns(own, market, cost_bp)
    traded = float(np.abs(np.diff(own, prepend=0.0)).sum())
    gross = float((own * market).sum())
    sharpe = sharpe_ratio(net)
    return Earned(
        mean=BARS_A_YEAR * float(net.mean()),
        sharpe=math.sqrt(BARS_A_YEAR) * sharpe,
        sharpe_se=math.sqrt(BARS_A_YEAR) * sharpe_error(sharpe, len(net)),
        turnover=BARS_A_YEAR * traded / len(net),
        break_even_bp=gross / traded / _BASIS_POINT if traded > 0 and gross > 0 else math.nan,
        n=len(net),
    )


def sharpe_ratio(returns: ArrayLike) -> float:
    """Return mean over standard deviation of returns (n,), of a bar; NaN where they never vary.

    >>> round(sharpe_ratio([0.01, 0.03]), 4)
    1.4142
    """
    own = np.asarray(returns, dtype=float)
    spread = float(own.std(ddof=1))
    return float(own.mean()) / spread if spread > 0 else math.nan


def sharpe_error(sharpe: float, n: int) -> float:
    """Return the standard error of a Sharpe ratio of independent returns.

    Args:
        sharpe: Of a bar.
        n: Bars.

    Source: Lo, Financial Analysts Journal 58 (2002), equation 9.

    >>> sharpe_error(0.0, 100), round(sharpe_error(2.0, 12), 3)
    (0.1, 0.5)
    """
    return math.sqrt((1 + sharpe**2 / 2) / n)


def luckiest(sharpes: ArrayLike) -> float:
    """Return the Sharpe ratio that the best of so many tries is expected to have by luck alone.

    Args:
        sharpes: Of all that was tried (k,), of a bar.

    Returns:
        0 for a single one.

    Source: Bailey and Lopez de Prado, Journal of Portfolio Management 40 (2014), equation 1.
    """
    own = np.asarray(sharpes, dtype=float)
    own = own[np.isfinite(own)]
    if len(own) < 2:
        return 0.0
    ends = [_NORMAL.inv_cdf(1 - 1 / (len(own) * way)) for way in (1, math.e)]
    return float(own.std(ddof=1)) * ((1 - _EULER) * ends[0] + _EULER * ends[1])


def deflated_sharpe(returns: ArrayLike, tried: ArrayLike) -> float:
    """Return the probability that a Sharpe ratio is more than the luck of the best of all tries.

    Args:
        returns: Of the strategy (n,), after costs.
        tried: Sharpe ratios of all strategies that were tried (k,), itself among them, of a bar.

    Returns:
        From 0 to 1, 0.95 and more is the usual mark; NaN where returns never vary.

    Source: Bailey and Lopez de Prado, Journal of Portfolio Management 40 (2014), equation 2.
    """
    own = np.asarray(returns, dtype=float)
    sharpe = sharpe_ratio(own)
    if math.isnan(sharpe):
        return math.nan
    z = (own - own.mean()) / own.std()
    skew, kurtosis = float((z**3).mean()), float((z**4).mean())
    spread = math.sqrt(max(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2, 1e-12))
    return _NORMAL.cdf((sharpe - luckiest(tried)) * math.sqrt(len(own) - 1) / spread)


class SharpeDifference(NamedTuple):
    """How far two strategies' Sharpe ratios are apart, of a year."""

    difference: float
    low: float
    high: float
    p_value: float


def sharpe_difference(a: ArrayLike, b: ArrayLike) -> SharpeDifference:
    """Return the difference of two Sharpe ratios over the same bars, with its 95% interval.

    Args:
        a: Returns of the first strategy (n,).
        b: Those of the second (n,).

    Returns:
        In units of a year; the p-value is two-sided; NaN where one of them never varies.

    Source: Jobson and Korkie, Journal of Finance 36 (1981); Memmel, Finance Letters 1 (2003).
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    of_a, of_b = sharpe_ratio(first), sharpe_ratio(second)
    if math.isnan(of_a) or math.isnan(of_b):
        return SharpeDifference(math.nan, math.nan, math.nan, math.nan)
    rho = float(np.corrcoef(first, second)[0, 1])
    variance = 2 - 2 * rho + (of_a**2 + of_b**2 - 2 * of_a * of_b * rho**2) / 2
    error = math.sqrt(max(variance, 0.0) / len(first))
    apart, year = of_a - of_b, math.sqrt(BARS_A_YEAR)
    z = abs(apart) / error if error > 1e-12 else 0.0
    reach = _NORMAL.inv_cdf(0.975) * error
    p_value = 2 * _NORMAL.cdf(-z)
    return SharpeDifference(year * apart, year * (apart - reach), year * (apart + reach), p_value)
