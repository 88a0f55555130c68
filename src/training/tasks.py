"""What a kind of target is trained by, scored by, and called: prices, a variance, a direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from src.training.metrics import DirectionMetrics, PriceMetrics, VolatilityMetrics


class Metrics(Protocol):
    """The scores of a forecast beside those of the one that needs no model."""

    def update(self, preds: Tensor, reference: Tensor, actual: Tensor) -> None:
        """Add one batch: what was forecast (B, K), without a model (B, 1), and what came (B, K)."""
        ...

    def compute(self) -> dict[str, dict[str, float]]:
        """Return the scores of the `model` and of the `baseline`."""
        ...

    def reset(self) -> None:
        """Forget all batches."""
        ...


@dataclass(frozen=True)
class Task:
    """How the forecasts of one kind of target are learnt and judged.

    Args:
        loss: From scaled predictions and targets (B, K), reduced as torch's losses are.
        metrics: Makes the scores.
        scores: Names of the scores.
        error: The one whose ratio to the baseline's is the skill.
        columns: What the forecast without a model, what came and the model's forecast are called.
    """

    loss: Callable[..., Tensor]
    metrics: Callable[[], Metrics]
    scores: tuple[str, ...]
    error: str
    columns: tuple[str, str, str]


def qlike_loss(preds: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the loss of a log variance that is least where its exponential is the mean variance.

    Args:
        preds: Forecasts of the log (B, K).
        target: Log of the variance that came (B, K).
        reduction: `mean` or `none`.

    Returns:
        v / f - log(v / f) - 1 of variance v and forecast f, from 0.

    Source: Patton, Journal of Econometrics 160 (2011), section 3.

    >>> import torch
    >>> qlike_loss(torch.tensor([0.0]), torch.tensor([2.0]).log())
    tensor(0.3069)
    """
    off = target - preds
    loss = off.exp() - off - 1
    return loss.mean() if reduction == "mean" else loss


PRICE = Task(
    F.mse_loss,
    PriceMetrics,
    ("rmse", "mae", "mape", "directional_accuracy"),
    "rmse",
    ("last_price", "price", "predicted_price"),
)
TASKS = {
    **dict.fromkeys(("log_return", "residual", "price"), PRICE),
    "volatility": Task(
        qlike_loss,
        VolatilityMetrics,
        ("qlike", "log_mse"),
        "qlike",
        ("last_variance", "variance", "predicted_variance"),
    ),
    "direction": Task(
        F.binary_cross_entropy_with_logits,
        DirectionMetrics,
        ("accuracy", "brier", "log_loss"),
        "log_loss",
        ("base_rate", "rose", "predicted_probability"),
    ),
}
"""By the kind of target."""
