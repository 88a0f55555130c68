"""Linear baselines: the mean change, and a ridge regression on the features of the latest steps.

Shapes: W windows, B batch, T time steps, F input features, K numbers that are forecast.
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
MOST_OF_A_LOGIT = 1024
"""The same of a logistic one, which is solved again and again."""


class Drift(FittedRegressor):
    """Predict today's price and the mean change of the training part.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        persistence: How "tomorrow = today" reads in the units of input and target.
        num_outputs: Numbers that are forecast from a window, K.

    Raises:
        ValueError: If the persistence is missing.
    """

    uses = frozenset({"persistence", "num_outputs"})
    name = "drift"
    targets = frozenset({"log_return", "residual", "price"})

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        persistence: Persistence | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__()
        if persistence is None:
            raise ValueError("model=drift needs the persistence of the data, got None")
        self._persistence = persistence
        self.change = learned(num_outputs)

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the mean change over "tomorrow = today", of each bar that is forecast."""
        yield {}, {"change": (train.y.double() - self._today(train.x)).mean(0)}

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K)."""
        return self._today(x_btf) + self.change

    def _today(self, x_btf: Tensor) -> Tensor:
        own = self._persistence
        today_b1 = x_btf[:, -1:, own.feature].double()
        return own.scale * today_b1 + today_b1.new_tensor(own.offset)


class Ridge(FittedRegressor):
    """Predict by a linear map of the features of the latest steps, with a penalty on its size.

    A direction is forecast by a logistic regression with the same penalty.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        alphas: Penalties to try, per window and standardised feature, above 0.
        steps: How many of the latest steps to read, each of them tried; for a direction only those
            that have no more than `MOST_OF_A_LOGIT` features.
        num_outputs: Numbers that are forecast from a window, K.

    Raises:
        ValueError: If an option is out of range or a window is too large.

    Source: Hoerl and Kennard, Technometrics 12 (1970).
    """

    uses = frozenset({"num_outputs"})
    name = "ridge"

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        alphas: Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3),
        steps: Sequence[int] = (1, 5, 20, 60),
        num_outputs: int = 1,
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
        self.weight = learned(context_length, input_size, num_outputs)
        self.bias = learned(num_outputs)

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the solution for each number of steps and each penalty."""
        of_shares = target == "direction"
        path = logistic_path if of_shares else ridge_path
        for steps in self.steps:
            x_wn = train.x[:, -steps:].flatten(1).double()
            if of_shares and x_wn.shape[1] > MOST_OF_A_LOGIT and steps > self.steps[0]:
                continue
            for alpha, weight, bias in path(x_wn, train.y.double(), self.alphas):
                whole = torch.zeros_like(self.weight)
                whole[-steps:] = weight.view(steps, *whole.shape[1:])
                yield {"steps": steps, "alpha": alpha}, {"weight": whole, "bias": bias}

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K)."""
        return x_btf.double().flatten(1) @ self.weight.flatten(0, 1) + self.bias


def ridge_path(
    x_wn: Tensor, y_wk: Tensor, alphas: Sequence[float]
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Solve a ridge regression for each penalty, the features standardised, the mean free.

    Args:
        x_wn: Features (W, N), float64; constant ones get no weight.
        y_wk: Targets (W, K), float64, each for itself.
        alphas: Penalties, each on the mean of the squared errors: minimised is
            mean((y - x w - b)^2) + alpha |w|^2 with x standardised.

    Yields:
        The penalty, weights (N, K) and bias (K,) for the features as they are.

    >>> x, y = torch.tensor([[0.0], [2.0]]).double(), torch.tensor([[1.0], [5.0]]).double()
    >>> [(a, w.tolist(), b.tolist()) for a, w, b in ridge_path(x, y, [1.0])]
    [(1.0, [[1.0]], [2.0])]
    """
    standard, mean, std = _standardised(x_wn)
    middle = y_wk.mean(0)
    values, vectors = torch.linalg.eigh(standard.T @ standard / len(x_wn))
    moment = vectors.T @ (standard.T @ (y_wk - middle)) / len(x_wn)
    for alpha in alphas:
        solution = vectors @ (moment / (values.clamp(min=0.0)[:, None] + alpha))
        weight = solution / std[:, None]
        yield alpha, weight, middle - mean @ weight


def logistic_path(
    x_wn: Tensor, y_w1: Tensor, alphas: Sequence[float], rounds: int = 8
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Solve a logistic regression for each penalty by Newton's method; as `ridge_path`.

    Args:
        x_wn: Features (W, N), float64; constant ones get no weight.
        y_w1: 0 or 1 (W, 1), float64.
        alphas: Penalties: minimised is the mean log loss + alpha / 2 |w|^2 with x standardised.
        rounds: Newton's steps from one penalty's solution to the next one's.

    Yields:
        The penalty, weights (N, 1) and bias (1,) for the features as they are.
    """
    standard, mean, std = _standardised(x_wn)
    design = torch.cat([standard, torch.ones_like(y_w1)], dim=1)
    solution = design.new_zeros(design.shape[1], 1)
    for alpha in sorted(alphas, reverse=True):  # from the simplest on, each near the one before
        penalty = torch.full_like(solution[:, 0], alpha)
        penalty[-1] = 1e-9  # the base rate is free
        for _ in range(rounds):
            share = (design @ solution).sigmoid()
            slope = design.T @ (share - y_w1) / len(y_w1) + penalty[:, None] * solution
            bend = (design * (share * (1 - share))).T @ design / len(y_w1) + penalty.diag()
            solution = solution - torch.linalg.solve(bend, slope)
        weight = solution[:-1] / std[:, None]
        yield alpha, weight, solution[-1] - mean @ weight


def _standardised(x_wn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (W, N) with mean 0 and deviation 1, both; infinite of constant ones."""
    mean, std = x_wn.mean(0), x_wn.std(0, correction=0)
    std = torch.where(std > 1e-12 * mean.abs().clamp(min=1.0), std, torch.inf)
    return (x_wn - mean) / std, mean, std
