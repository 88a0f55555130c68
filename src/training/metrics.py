"""How forecasts are scored beside the forecast that needs no model: tomorrow = today.

Metrics of prices are in price units (percent where it says so), whatever the model was trained on.
"""

import math

import torch
from torch import Tensor
from torchmetrics import (
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    MetricCollection,
)

SURE = 1e-7
"""A probability of 0 or 1 that does not come true would cost more than any other score is worth."""


class DirectionalAccuracy(Metric):
    """Share of the days that moved on which the predicted move had the right sign.

    Days whose price did not change are left out: neither direction was right.
    """

    full_state_update = False
    higher_is_better = True
    correct: Tensor
    moved: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("moved", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count the days of one batch.

        Args:
            preds: predicted moves (B, 1), any unit.
            target: actual moves (B, 1), any unit.
        """
        moved = target != 0
        self.moved += moved.sum()
        self.correct += ((preds.sign() == target.sign()) & moved).sum()

    def compute(self) -> Tensor:
        """Share in [0, 1]; NaN where no day moved."""
        return self.correct / self.moved


class AbsolutePercentageError(Metric):
    """Mean of |forecast - price| / |price|, for prices of any size.

    torchmetrics' own divides by 1.17e-6 at least: for smaller prices its error is too small.
    A price of 0 has no such error and is left out.
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add one batch.

        Args:
            preds: predicted prices (B, 1).
            target: the prices that came (B, 1), the same unit.
        """
        is_price = target != 0
        share = (preds - target).abs() / target.abs().where(is_price, 1.0)
        self.total += share.where(is_price, 0.0).sum()
        self.count += is_price.sum()

    def compute(self) -> Tensor:
        """Share, from 0; NaN where there is no price but 0."""
        return self.total / self.count


class PriceMetrics:
    """RMSE, MAE, MAPE and directional accuracy of a forecast and of "tomorrow = today".

    Summed in float64 on the CPU, wherever and in whatever precision the layers run: the square of a
    price of 1e19 is none in float32, and not every accelerator has float64. Each process scores all
    windows, so nothing is summed over processes.

    "Tomorrow = today" predicts no direction, so the directional baseline is "always up".
    """

    def __init__(self) -> None:
        self.model = _errors()
        self.persistence = _errors()
        self.model_direction = DirectionalAccuracy()
        self.always_up = DirectionalAccuracy()

    def update(self, preds: Tensor, last_price: Tensor, price: Tensor) -> None:
        """Add one batch.

        Args:
            preds: predicted prices (B, K).
            last_price: the last known prices (B, 1).
            price: the prices that came (B, K).
        """
        preds, last_price, price = (t.cpu().double() for t in (preds, last_price, price))
        last_price = last_price.expand_as(price).contiguous()
        self.model.update(preds, price)
        self.persistence.update(last_price, price)
        move = price - last_price
        self.model_direction.update(preds - last_price, move)
        self.always_up.update(torch.ones_like(move), move)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return {"model": ..., "baseline": ...}: RMSE and MAE in price units, MAPE in percent."""
        return {
            "model": _values(self.model, self.model_direction),
            "baseline": _values(self.persistence, self.always_up),
        }

    def reset(self) -> None:
        """Forget all batches."""
        for metric in (self.model, self.persistence, self.model_direction, self.always_up):
            metric.reset()


class _Sums:
    """Means of losses over all windows, summed in float64 on the CPU, of a model and of a baseline.

    What it derives for says what a forecast loses; as with prices, each process scores all windows.
    """

    def __init__(self) -> None:
        self.reset()

    def losses(self, preds: Tensor, actual: Tensor) -> dict[str, Tensor]:
        """Return what each forecast loses, or scores, by the name of the metric."""
        raise AssertionError("a score says what it averages")

    def update(self, preds: Tensor, reference: Tensor, actual: Tensor) -> None:
        """Add one batch.

        Args:
            preds: what was forecast (B, K).
            reference: the forecast without a model (B, 1).
            actual: what came (B, K).
        """
        preds, reference, actual = (t.cpu().double() for t in (preds, reference, actual))
        self.count += actual.numel()
        for part, shown in (("model", preds), ("baseline", reference.expand_as(actual))):
            for name, values in self.losses(shown, actual).items():
                self.sums[part][name] = self.sums[part].get(name, 0.0) + float(values.sum())

    def compute(self) -> dict[str, dict[str, float]]:
        """Return {"model": ..., "baseline": ...}; NaN where there was no window."""
        count = self.count or math.nan
        return {
            part: {name: total / count for name, total in sums.items()}
            for part, sums in self.sums.items()
        }

    def reset(self) -> None:
        """Forget all batches."""
        self.count = 0
        self.sums: dict[str, dict[str, float]] = {"model": {}, "baseline": {}}


class VolatilityMetrics(_Sums):
    """QLIKE and the mean squared error of the log of a variance, and of persistence.

    QLIKE is v / f - log(v / f) - 1 for a variance v and its forecast f: 0 for a perfect forecast,
    the same for every unit, and robust to noise in v (Patton, Journal of Econometrics 160, 2011).
    """

    def losses(self, preds: Tensor, actual: Tensor) -> dict[str, Tensor]:
        """Return both losses of variances (B, K)."""
        ratio = actual / preds
        log_ratio = ratio.log()
        return {"qlike": ratio - log_ratio - 1, "log_mse": log_ratio.square()}


class DirectionMetrics(_Sums):
    """Accuracy, Brier score and log loss of a probability, and of the training part's base rate.

    Source: Brier, Monthly Weather Review 78 (1950); Gneiting and Raftery, Journal of the American
    Statistical Association 102 (2007), section 3.
    """

    def losses(self, preds: Tensor, actual: Tensor) -> dict[str, Tensor]:
        """Return the scores of probabilities (B, 1) of what is 0 or 1."""
        hit = ((preds > 0.5) == (actual > 0.5)).double()
        safe = preds.clamp(SURE, 1 - SURE)
        log_loss = -(actual * safe.log() + (1 - actual) * (1 - safe).log())
        return {"accuracy": hit, "brier": (preds - actual).square(), "log_loss": log_loss}


def skill_score(error: float, baseline_error: float) -> float:
    """Share of the baseline's error that the model removes.

    Args:
        error: the model's error, any unit.
        baseline_error: the baseline's error, the same unit.

    Returns:
        1 for a perfect forecast, 0 for one no better than the baseline, negative for a worse one.
        Source: Murphy, Monthly Weather Review 116 (1988).

    >>> skill_score(error=10.0, baseline_error=20.0)
    0.5
    """
    return 1.0 - error / baseline_error if baseline_error else float("nan")


def _errors() -> MetricCollection:
    errors = MetricCollection(
        {
            "rmse": MeanSquaredError(squared=False, sync_on_compute=False),
            "mae": MeanAbsoluteError(sync_on_compute=False),
            "mape": AbsolutePercentageError(),
        },
        compute_groups=False,
    )
    return errors.set_dtype(torch.float64)


def _values(errors: MetricCollection, direction: DirectionalAccuracy) -> dict[str, float]:
    values = {name: float(value) for name, value in errors.compute().items()}
    values["mape"] *= 100.0
    values["directional_accuracy"] = float(direction.compute())
    return values
