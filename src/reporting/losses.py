"""What the metrics average: the loss of each forecast, by the kind of what is forecast."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TODAY = "tomorrow = today"
ALWAYS_UP = "always up"
AS_BEFORE = "as before"
BASE_RATE = "base rate"

PRICE, VOLATILITY, DIRECTION = "price", "volatility", "direction"
COLUMNS: Mapping[str, tuple[str, str, str]] = {
    PRICE: ("last_price", "price", "predicted_price"),
    VOLATILITY: ("last_variance", "variance", "predicted_variance"),
    DIRECTION: ("base_rate", "rose", "predicted_probability"),
}
"""What forecasts.csv calls the forecast without a model, what came, and the model's, by kind."""


@dataclass(frozen=True)
class Loss:
    """What a metric averages.

    Args:
        daily: loss (n,) from what was forecast, what is without a model, and what came (n,); NaN:
            the day does not count.
        unit: of the daily loss.
        baseline: the forecast that needs no model.
        higher_is_better: whether the metric counts successes; the daily loss counts failures.
        is_rooted: whether the metric is the root of the mean loss.
        kind: of what is forecast.
    """

    daily: Callable[[NDArray, NDArray, NDArray], NDArray]
    unit: str
    baseline: str = TODAY
    higher_is_better: bool = False
    is_rooted: bool = False
    kind: str = PRICE

    def without_model(self, reference: NDArray) -> NDArray:
        """Return the forecast (n,) that needs no model, from the one in forecasts.csv."""
        # "Always up" predicts any price above the last one.
        return reference + (self.baseline == ALWAYS_UP)

    def metric(self, daily: NDArray) -> float:
        """Return the metric of daily losses (n,), NaN where no day counts."""
        counted = daily[np.isfinite(daily)]
        mean = float(counted.mean()) if len(counted) else math.nan
        mean = math.sqrt(mean) if self.is_rooted else mean
        return 1 - mean if self.higher_is_better else mean


def _squared(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return (predicted - actual) ** 2


def _absolute(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return np.abs(predicted - actual)


def _percentage(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    return 100 * np.abs((predicted - actual) / actual)


def _missed(predicted: NDArray, last: NDArray, actual: NDArray) -> NDArray:
    missed = np.sign(predicted - last) != np.sign(actual - last)
    return np.where(actual == last, math.nan, missed.astype(float))


def _qlike(predicted: NDArray, before: NDArray, actual: NDArray) -> NDArray:
    ratio = actual / predicted
    return ratio - np.log(ratio) - 1


def _log_squared(predicted: NDArray, before: NDArray, actual: NDArray) -> NDArray:
    return np.log(actual / predicted) ** 2


def _log_loss(predicted: NDArray, rate: NDArray, actual: NDArray) -> NDArray:
    sure = np.clip(predicted, 1e-12, 1 - 1e-12)
    return -(actual * np.log(sure) + (1 - actual) * np.log(1 - sure))


def _wrong(predicted: NDArray, rate: NDArray, actual: NDArray) -> NDArray:
    return ((predicted > 0.5) != (actual > 0.5)).astype(float)


METRICS: Mapping[str, Loss] = {
    "test/rmse": Loss(_squared, "squared error, price²", is_rooted=True),
    "test/mae": Loss(_absolute, "absolute error, price"),
    "test/mape": Loss(_percentage, "absolute error, %"),
    "test/directional_accuracy": Loss(_missed, "missed directions", ALWAYS_UP, True),
    "val/loss": Loss(_squared, "squared error, price²", is_rooted=True),
    "test/qlike": Loss(_qlike, "QLIKE", AS_BEFORE, kind=VOLATILITY),
    "test/log_mse": Loss(_log_squared, "squared error of the log", AS_BEFORE, kind=VOLATILITY),
    "test/log_loss": Loss(_log_loss, "log loss, nats", BASE_RATE, kind=DIRECTION),
    "test/brier": Loss(_squared, "Brier score", BASE_RATE, kind=DIRECTION),
    "test/accuracy": Loss(_wrong, "missed directions", BASE_RATE, True, kind=DIRECTION),
}
"""The metrics runs can be compared by, and what each loses a day of the test part."""

FIRST: Mapping[str, str] = {
    PRICE: "test/rmse",
    VOLATILITY: "test/qlike",
    DIRECTION: "test/log_loss",
}
"""By which metric runs of each kind are compared if nothing is said."""
