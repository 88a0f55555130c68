"""Linear baselines: the mean change, and a ridge regression on the features of the latest steps.

Shapes: W windows, B batch, T time steps, F input features, S latest steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from src.models.contract import Persistence
from src.models.fitted.fitted import FittedRegressor, State, Windows, learned, lengths_within

LARGEST = 1 << 14
"""Features of a window, steps times features, up to which a regression on them is solved."""


class Drift(FittedRegressor):
    """Predict today's price and the mean change of the training part.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        persistence: How "tomorrow = today" reads in the units of input and target.

    Raises:
        ValueError: If the persistence is missing.
    """

    uses = frozenset({"persistence"})

    def __init__(
        self, input_size: int, context_length: int, *, persistence: Persistence | None = None
    ) -> None:
        super().__init__()
        if persistence is None:
            raise ValueError("model=drift needs the persistence of the data, got None")
        self._persistence = persistence
        self.change = learned()

    def candidates(self, train: Windows, val: Windows) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the mean change over "tomorrow = today"."""
        yield {}, {"change": (train.y.double() - self._today(train.x)).mean()}

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, 1)."""
        return self._today(x_btf) + self.change

    def _today(self, x_btf: Tensor) -> Tensor:
        own = self._persistence
        return own.scale * x_btf[:, -1:, own.feature].double() + own.offset


class Ridge(FittedRegressor):
    """Predict by a linear map of the features of the latest steps, with a penalty on its size.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        alphas: Penalties to try, per window and standardised feature, above 0.
        steps: How many of the latest steps to read, each of them tried.

    Raises:
        ValueError: If an option is out of range or a window is too large.

    Source: Hoerl and Kennard, Technometrics 12 (1970).
    """

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3),
        steps: Sequence[int] = (1, 5, 20, 60),
    ) -> None:
        super().__init__()
        if not alphas or any(not 0 < float(alpha) < float("inf") for alpha in alphas):
            raise ValueError(f"alphas must be numbers above 0, got {list(alphas)}")
        self.alphas = [float(alpha) for alpha in alphas]
        self.steps = lengths_within(steps, context_length, "steps")
        if (numbers := self.steps[-1] * input_size) > LARGEST:
            raise ValueError(
                f"{self.steps[-1]} steps of {input_size} features are {numbers:,} numbers, a "
                f"regression takes up to {LARGEST:,}: fewer model.steps"
            )
        self.weight = learned(context_length, input_size)
        self.bias = learned()

    def candidates(self, train: Windows, val: Windows) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the solution for each number of steps and each penalty."""
        for steps in self.steps:
            x_wk = train.x[:, -steps:].flatten(1).double()
            for alpha, weight, bias in ridge_path(x_wk, train.y.double(), self.alphas):
                whole = torch.zeros_like(self.weight)
                whole[-steps:] = weight.view(steps, -1)
                yield {"steps": steps, "alpha": alpha}, {"weight": whole, "bias": bias}

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, 1)."""
        return x_btf.double().flatten(1) @ self.weight.view(-1, 1) + self.bias


def ridge_path(
    x_wk: Tensor, y_w1: Tensor, alphas: Sequence[float]
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Solve a ridge regression for each penalty, the features standardised, the mean free.

    Args:
        x_wk: Features (W, K), float64; constant ones get no weight.
        y_w1: Target (W, 1), float64.
        alphas: Penalties, each on the mean of the squared errors: minimised is
            mean((y - x w - b)²) + alpha |w|² with x standardised.

    Yields:
        The penalty, weights (K,) and bias () for the features as they are.

    >>> x, y = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[1.0], [5.0]]).double()
    >>> [(a, w.tolist(), b.item()) for a, w, b in ridge_path(x, y, [1.0])]
    [(1.0, [1.0], 2.0)]
    """
    mean, std = x_wk.mean(0), x_wk.std(0, correction=0)
    std = torch.where(std > 1e-12 * mean.abs().clamp(min=1.0), std, torch.inf)
    standard, middle = (x_wk - mean) / std, y_w1.mean()
    gram = standard.T @ standard / len(x_wk)
    values, vectors = torch.linalg.eigh(gram)
    moment = vectors.T @ (standard.T @ (y_w1 - middle)) / len(x_wk)
    for alpha in alphas:
        solution = (vectors @ (moment / (values.clamp(min=0.0)[:, None] + alpha)))[:, 0]
        weight = solution / std
        yield alpha, weight, middle - mean @ weight
