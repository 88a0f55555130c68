"""What is forecast of the bars after a window, what came of it, and the scale it is learnt on.

Legend: N rows, W windows, T bars that a window shows, h bars that are forecast, K numbers that are
forecast: h for a target in prices, 1 for the volatility or the direction of all h bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.data.features.variance import ESTIMATORS, NEEDS
from src.data.scaling import Scaling, fit_affine

PRICES = ("log_return", "residual", "price")
TARGETS = (*PRICES, "volatility", "direction")
CHANGES = ("log_return", "residual")
SIGNED = ("residual", "price", "direction")
"""Targets for which a price may be 0 or less."""


@dataclass(frozen=True)
class Target:
    """What is forecast.

    Args:
        kind: One of `TARGETS`.
        horizon: h, the bars that are forecast.
        estimator: What says how much a bar moved, for `volatility`.

    Raises:
        ValueError: If there is no such target.
    """

    kind: str = "log_return"
    horizon: int = 1
    estimator: str = "garman_klass"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("target", self.kind, TARGETS),
            ("volatility_estimator", self.estimator, ESTIMATORS),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if type(self.horizon) is not int or self.horizon < 1:
            raise ValueError(f"horizon must be an int of at least 1, got {self.horizon!r}")

    @property
    def is_price(self) -> bool:
        """Whether prices are forecast."""
        return self.kind in PRICES

    @property
    def is_volatility(self) -> bool:
        """Whether a model is shown the variance of each bar, and asked for that of bars to come."""
        return self.kind == "volatility"

    @property
    def num_outputs(self) -> int:
        """K, the numbers that are forecast from a window."""
        return self.horizon if self.is_price else 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Prices that the target needs beside closes."""
        return NEEDS[self.estimator] if self.is_volatility else ()


class Outcomes(NamedTuple):
    """What came after each window, float64.

    Args:
        last_price: Close of the window's last bar (W, 1), price units.
        price: Closes of the h bars after it (W, h), price units.
        actual: What was to be forecast (W, K): these closes; the mean variance of the h bars, in
            squared log returns; 1 where the last close lies above `last_price`, else 0.
        reference: What the forecast that needs no model is (W, 1): `last_price`; the mean variance
            of the latest h bars shown; the share of windows that went up, which is not known here.
    """

    last_price: Tensor
    price: Tensor
    actual: Tensor
    reference: Tensor


def outcomes(
    closes: np.ndarray,
    context_length: int,
    target: Target = Target(),
    variance: np.ndarray | None = None,
) -> Outcomes:
    """Return what came after each window of one stretch of rows; nothing beyond it is looked at.

    Args:
        closes: (N,) in price units.
        context_length: T.
        target: What is forecast.
        variance: Of each row (N,), for a target of volatility.

    Returns:
        The outcomes of N - T - h + 1 windows.

    >>> outcomes(np.array([1.0, 2.0, 4.0, 3.0]), 2, Target(horizon=2)).price
    tensor([[4., 3.]], dtype=torch.float64)
    """
    exact, steps = torch.tensor(closes, dtype=torch.float64), target.horizon
    price = exact[context_length:].unfold(0, steps, 1).contiguous()
    last_price = exact[context_length - 1 : len(exact) - steps, None]
    if target.kind == "direction":
        rose = (price[:, -1:] > last_price).double()
        return Outcomes(last_price, price, rose, torch.full_like(rose, torch.nan))
    if not target.is_volatility:
        return Outcomes(last_price, price, price, last_price)
    assert variance is not None, "a target of volatility takes the variance of each row"
    means = torch.tensor(variance, dtype=torch.float64).unfold(0, steps, 1).mean(1, keepdim=True)
    latest = means[context_length - steps : len(means) - steps]
    return Outcomes(last_price, price, means[context_length:], latest)


@dataclass(frozen=True)
class TargetScaling(Scaling):
    """Turn what came into the scaled target, and scaled predictions into what is forecast.

    A change to the k-th bar is scaled as the sum of k steps of a random walk: k times the offset,
    and the root of k times the scale.

    Args:
        kind: One of `TARGETS`.
        offset: Subtracted from the target, in its own unit: a log return, a price, the log of a
            variance; of `direction`, whose logits are not scaled, the log odds of the base rate.
        scale: What the result is divided by, in the same unit.
    """

    def to_scaled(self, actual: Tensor, reference: Tensor) -> Tensor:
        """Scale what came (B, K), by its reference (B, 1), to targets (B, K)."""
        if self.kind == "direction":
            return actual
        if self.kind == "volatility":
            raw = torch.log(actual)
        elif self.kind == "log_return":
            raw = torch.log(actual / reference)
        else:
            raw = actual - reference if self.kind == "residual" else actual
        offset, scale = self._of_steps(raw, None)
        return (raw - offset) / scale

    def to_price(self, preds: Tensor, last_price: Tensor, series: Tensor | None = None) -> Tensor:
        """Undo the scaling: a price; of `volatility` a variance, of `direction` a probability.

        Args:
            preds: Scaled predictions (B, K).
            last_price: Price units (B, 1); not looked at where no price is forecast.
            series: Which of several series each window is of (B,).

        Returns:
            What is forecast (B, K).
        """
        if self.kind == "direction":
            return torch.sigmoid(preds)
        offset, scale = self._of_steps(preds, series)
        raw = preds * scale + offset
        if self.kind == "volatility":
            return torch.exp(raw)
        if self.kind == "log_return":
            return last_price * torch.exp(raw)
        return last_price + raw if self.kind == "residual" else raw

    def _of_steps(self, like: Tensor, series: Tensor | None) -> tuple[float | Tensor, ...]:
        """Return offset and scale of each of the K numbers."""
        offset, scale = self._numbers(like, series)
        if like.shape[-1] == 1 or self.kind not in CHANGES:
            return offset, scale
        step = torch.arange(1, like.shape[-1] + 1, dtype=like.dtype, device=like.device)
        return offset * step, scale * step.sqrt()


def fit_target_scaling(
    closes: np.ndarray, context_length: int, kind: str, scaler: str, centred: bool = True
) -> TargetScaling:
    """Fit the scaling of a target in prices to the closes of the training split.

    Args:
        closes: (N,) in price units.
        context_length: T; the first T closes are nobody's target.
        kind: `log_return` or `residual`, which are standardised, or `price`.
        scaler: What the target `price` is scaled by, as price inputs are.
        centred: Whether the mean change is subtracted; where several series are scaled apart, no
            change has to be the same number in each.

    Returns:
        The fitted scaling.

    Raises:
        ValueError: If `kind` or `scaler` is unknown.
    """
    if kind not in PRICES:
        raise ValueError(f"target must be one of {', '.join(PRICES)}, got {kind!r}")
    if kind == "price":
        return TargetScaling(kind, *fit_affine(closes, scaler))
    series = np.log(closes) if kind == "log_return" else closes
    changes = np.diff(series[context_length - 1 :])
    if centred:
        return TargetScaling(kind, *fit_affine(changes, "standard"))
    return TargetScaling(kind, 0.0, float(np.sqrt(np.mean(changes**2))) or 1.0)


def fit_outcome_scaling(kind: str, actual: Tensor) -> TargetScaling:
    """Fit the scaling of a variance or a direction to what came in the training split.

    Logs of variances lose their mean and keep their unit: a factor of e is 1 in every series. Log
    odds are taken of (ups + 1) / (windows + 2), which is never 0 or 1 (Laplace's rule).

    Args:
        kind: `volatility` or `direction`.
        actual: Of the training windows (W, 1), as of `outcomes`.

    >>> fit_outcome_scaling("direction", torch.tensor([[1.0], [1.0], [1.0], [0.0]])).offset
    0.6931471805599453
    """
    if kind == "volatility":
        return TargetScaling(kind, float(actual.log().mean()), 1.0)
    ups = float(actual.sum())
    return TargetScaling(kind, float(np.log((ups + 1) / (len(actual) - ups + 1))), 1.0)


class Persistence(NamedTuple):
    """The forecast that needs no model, as a scaled prediction from what a model is shown.

    It is the log of the mean of exp(scale * x + offset) over the latest `bars` of a window; of one
    bar that is scale * x[:, -1, feature] + offset: "tomorrow = today".

    Args:
        feature: The feature that holds the last price, or the log of a bar's variance.
        scale: Its factor; 0 where the target is a change, which persistence predicts as none.
        offset: Added to it; of several steps one for each.
        bars: How many of the latest bars are averaged.
    """

    feature: int
    scale: float
    offset: float | tuple[float, ...]
    bars: int = 1


def persistence_of(
    scaling: TargetScaling, target: Target | None = None, extra: Sequence[Scaling] = ()
) -> Persistence | None:
    """Return the forecast without a model; a price target shares its scaling with the price input.

    Args:
        scaling: Of the target.
        target: What is forecast; None for the following bar.
        extra: Scalings of the last features, the log of a bar's variance the last of all.

    Returns:
        The forecast; None where it is not the same for each of several series.
    """
    steps = target.horizon if target else 1
    several = isinstance(scaling.offset, tuple) or isinstance(scaling.scale, tuple)
    if scaling.kind == "price":
        return Persistence(0, 1.0, 0.0)
    if scaling.kind not in CHANGES:
        if several:
            return None
        _, offset, scale = scaling.numbers()
        if scaling.kind == "direction":
            return Persistence(0, 0.0, offset)
        _, mean, std = extra[-1].numbers()
        return Persistence(-1, std, mean - offset, bars=steps)
    if several:
        assert not any(scaling.offset)  # type: ignore[arg-type]  # not centred
        none = 0.0
    else:
        _, offset, scale = scaling.numbers()
        none = -offset / scale
    return Persistence(0, 0.0, none if steps == 1 else _of_walk(none, steps))


def _of_walk(none: float, steps: int) -> tuple[float, ...]:
    """Return "no change" in the scale of each step."""
    return tuple(float(none * np.sqrt(step)) for step in range(1, steps + 1))
