"""Baselines of time-series books: filters over the past returns that a window of closes shows.

A seasonal naive forecast, an autoregression and an ARIMA model all forecast by a weighted sum of
past returns, so each is kept as one weight per return.

Shapes: W windows, B batch, T time steps, F input features, R = T - 1 returns, oldest first, K bars
that are forecast.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from src.models.contract import History
from src.models.fitted.fitted import (
    FittedRegressor,
    State,
    Windows,
    learned,
    lengths_within,
    need_history,
    one_series,
    returns_of,
)

LARGEST_ORDER = 5
"""Of an ARIMA model's two parts; each one more is a slower and less certain fit."""


class ReturnFilter(FittedRegressor):
    """Predict the log return to each bar by a weighted sum of past ones and a constant.

    Args:
        input_size: Features per step, F; the first is the close.
        context_length: Steps per window, T.
        history: How windows show past closes.

    Raises:
        ValueError: If windows show none.
    """

    uses = frozenset({"history", "num_outputs"})
    targets = frozenset({"log_return"})

    def __init__(
        self, input_size: int, context_length: int, *, history: History | None, num_outputs: int
    ) -> None:
        super().__init__()
        self.history = need_history(history, self.name)
        self.bars = num_outputs
        self.weight = learned(context_length - 1, num_outputs)
        self.bias = learned(num_outputs)

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K)."""
        returns_br = returns_of(self.history.log_closes(x_btf))
        return self.history.scaled(returns_br @ self.weight + self.bias)

    def _latest(self, weight: Tensor) -> Tensor:
        """Return weights of the latest returns (N, K) as weights of all, the earlier ones 0."""
        whole = torch.zeros_like(self.weight)
        whole[len(whole) - len(weight) :] = weight
        return whole


class SeasonalNaive(ReturnFilter):
    """Predict the return of one season ago.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        seasons: Lengths to try, in bars: 5 are a week of trading days, 21 a month.
        history: How windows show past closes.
        num_outputs: Bars that are forecast, K.

    Raises:
        ValueError: If no season fits into a window, or is shorter than the horizon.
    """

    name = "seasonal_naive"

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        seasons: Sequence[int] = (5, 21),
        history: History | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__(input_size, context_length, history=history, num_outputs=num_outputs)
        wanted = lengths_within(seasons, max(seasons, default=1), "seasons")
        most = context_length - 1
        self.seasons = [n for n in wanted if num_outputs <= n <= most]
        if not self.seasons:
            raise ValueError(f"seasons must hold one of {num_outputs} to {most} bars, got {wanted}")

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield each season: the returns that followed one season ago, added up to each bar."""
        for season in self.seasons:
            weight = torch.ones(season, self.bars, dtype=torch.float64).triu()
            yield {"season": season}, {"weight": self._latest(weight)}


class Autoregression(ReturnFilter):
    """Predict by a least-squares regression on the latest returns.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        lags: How many of the latest returns to read, each of them tried; 0 is the mean alone.
        history: How windows show past closes.
        num_outputs: Bars that are forecast, K.
    """

    name = "autoregression"

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        lags: Sequence[int] = (1, 2, 5, 10, 21),
        history: History | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__(input_size, context_length, history=history, num_outputs=num_outputs)
        self.lags = lengths_within(lags, context_length - 1, "lags")

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the regression on each number of lags."""
        returns_wr = returns_of(self.history.log_closes(train.x))
        target_wk = self.history.raw(train.y)
        ones = torch.ones_like(target_wk[:, :1])
        for lags in self.lags:
            design = torch.cat([returns_wr[:, -lags:], ones], dim=1)
            solution = torch.linalg.lstsq(design, target_wk).solution
            yield {"lags": lags}, {"weight": self._latest(solution[:-1]), "bias": solution[-1]}


class Arima(ReturnFilter):
    """Predict by an ARIMA model of the log closes: ARMA of their returns, with a mean.

    Fitted by maximum likelihood (statsmodels) and kept in its autoregressive form, cut off where
    the window ends.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        p: Autoregressive orders to try, from 0.
        q: Moving-average orders to try, from 0.
        history: How windows show past closes.
        num_outputs: Bars that are forecast, K.

    Raises:
        ValueError: If an order is out of range.

    Source: Box and Jenkins, Time Series Analysis (1970); Hamilton 1994, chapter 4.
    """

    name = "arima"
    packages: ClassVar[Mapping[str, str]] = {"statsmodels": "statsmodels"}

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        p: Sequence[int] = (0, 1, 2),
        q: Sequence[int] = (0, 1, 2),
        history: History | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__(input_size, context_length, history=history, num_outputs=num_outputs)
        for name, orders in (("p", p), ("q", q)):
            if not orders or any(type(n) is not int or not 0 <= n <= LARGEST_ORDER for n in orders):
                raise ValueError(f"{name} must be orders of 0 to {LARGEST_ORDER}, got {orders}")
        self.orders = [(own_p, own_q) for own_p in sorted({*p}) for own_q in sorted({*q})]

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the model of each pair of orders."""
        returns = one_series(self.history.log_closes(train.x)).numpy()
        size = returns.std() or 1.0
        for p, q in self.orders:
            mean, ar, ma = _fit_arma(returns / size, p, q)
            latest_first = autoregressive_form(ar, ma, len(self.weight))
            weight = cumulative(latest_first, self.bars)[::-1].copy()
            bias = mean * size * (np.arange(1, self.bars + 1) - weight.sum(axis=0))
            state = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
            yield {"p": p, "d": 1, "q": q}, state


def _fit_arma(series: np.ndarray, p: int, q: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return mean, AR and MA coefficients of a series, by maximum likelihood."""
    # Imported here: it takes a second, and only fitting needs it.
    from statsmodels.tsa.arima.model import ARIMA

    with warnings.catch_warnings():
        # A start that is not stationary, a slow end: what such a fit is worth, validation says.
        warnings.simplefilter("ignore")
        found = ARIMA(series, order=(p, 0, q), trend="c").fit()
    return float(found.params[0]), np.asarray(found.arparams), np.asarray(found.maparams)


def autoregressive_form(ar: np.ndarray, ma: np.ndarray, lags: int) -> np.ndarray:
    """Return the weights of an ARMA model's forecast on past values.

    Args:
        ar: Coefficients phi of x[t] = phi_1 x[t-1] + ... + e[t] + theta_1 e[t-1] + ...
        ma: Coefficients theta.
        lags: How many weights.

    Returns:
        Weights (lags,), the latest value's first.

    Source: Hamilton 1994, equation 4.2.

    >>> autoregressive_form(np.array([0.5]), np.array([0.25]), 3)
    array([ 0.75    , -0.1875  ,  0.046875])
    """
    # (1 + theta B + ...) (1 - pi_1 B - ...) = 1 - phi_1 B - ...
    weights = np.zeros(lags)
    for k in range(lags):
        own = (ar[k] if k < len(ar) else 0.0) + (ma[k] if k < len(ma) else 0.0)
        weights[k] = own - sum(ma[j] * weights[k - 1 - j] for j in range(min(k, len(ma))))
    return weights


def cumulative(weights: np.ndarray, horizon: int) -> np.ndarray:
    """Return the weights of the sums of forecasts up to each step, each put in place of what came.

    Args:
        weights: Of the forecast one step ahead (R,), the latest value's first.
        horizon: h.

    Returns:
        Weights (R, h).

    >>> cumulative(np.array([0.5, 0.1]), 2)  # then 0.5 (0.5 a + 0.1 b) + 0.1 a
    array([[0.5 , 0.85],
           [0.1 , 0.15]])
    """
    steps = [weights]
    for _ in range(1, horizon):
        ahead = len(steps)
        known = np.concatenate([weights[ahead:], np.zeros(min(ahead, len(weights)))])
        own = zip(weights[:ahead], reversed(steps), strict=False)
        steps.append(known + sum(weight * step for weight, step in own))
    return np.cumsum(steps, axis=0).T
