"""How a price forecast is scored, beside the forecast that needs no model: tomorrow = today.

Every metric is in price units (percent where it says so), whatever the model was trained on.
"""

import torch
from torch import Tensor
from torchmetrics import (
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    MetricCollection,
)


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
            preds: predicted prices (B, 1).
            last_price: the last known prices (B, 1).
            price: the prices that came (B, 1).
        """
        preds, last_price, price = (t.cpu().double() for t in (preds, last_price, price))
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
