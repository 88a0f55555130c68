"""What every fitted baseline is: candidates fitted to the training part, of which one is kept.

Nothing here takes gradient steps. What is learned are plain arrays of a size that the options
alone decide: they lie in a checkpoint as any weights do, and nothing in it is ever run.

Shapes: W windows, B batch, T time steps, F input features, K numbers that are forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.contract import History, RegressorOutput

State = Mapping[str, Tensor]
"""What a candidate learned, by the name of the array."""


class Windows(NamedTuple):
    """All windows of one part of the data, in order of time.

    Attributes:
        x: Model input (W, T, F).
        y: Scaled target (W, K); of a variance its log, of a direction 0 or 1.
    """

    x: Tensor
    y: Tensor


def _qlike(preds: Tensor, y: Tensor) -> Tensor:
    off = y - preds
    return (off.exp() - off - 1).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "volatility": _qlike,
    "direction": F.binary_cross_entropy_with_logits,
}
"""What the validation part is judged by where it is not the mean squared error, by target."""


class Fit(NamedTuple):
    """How a model was fitted.

    Attributes:
        chosen: The options of the candidate that is kept; empty where there is nothing to choose.
        tried: The options of each candidate, with its `val_loss`: that of training a network.
    """

    chosen: dict[str, Any]
    tried: list[dict[str, Any]]


class FittedRegressor(nn.Module):
    """Predict with what was fitted; a subclass says how its candidates are, and how they predict.

    A squared error of the log of a variance puts its forecast too low for QLIKE: the forecasts of
    every candidate are shifted by what the training part asks for.

    Attributes:
        name: The option of `model=`.
        targets: What of data.target it forecasts; None for all.
        packages: What has to be installed to fit it, by module name; to predict, nothing is.
    """

    uses: frozenset[str] = frozenset()
    name: ClassVar[str] = ""
    targets: ClassVar[frozenset[str] | None] = None
    packages: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.shift = learned()

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the options and the arrays of each candidate, fitted to the training part alone.

        Args:
            train: What is fitted to.
            val: For a choice that is made on the way, such as the number of trees.
            target: What data.target is.
        """
        raise TypeError(f"{type(self).__name__} does not say how it is fitted")

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K), before the shift, of whole windows (B, T, F)."""
        raise TypeError(f"{type(self).__name__} does not say how it predicts")

    def fit(self, train: Windows, val: Windows, target: str = "log_return") -> Fit:
        """Keep the candidate with the smallest loss on the validation part.

        Args:
            train: What is fitted to.
            val: What the choice is made on.
            target: What data.target is.

        Raises:
            ValueError: If no candidate's loss is a finite number.
        """
        best: tuple[float, dict[str, Any], State] = (math.inf, {}, {})
        tried, loss_of = [], LOSSES.get(target, F.mse_loss)
        for options, fitted in self.candidates(train, val, target):
            self.take(fitted)
            state = {**fitted, "shift": self._shift_for(train, target)}
            self.take(state)
            loss = float(loss_of(self(val.x).preds, val.y.double()))
            tried.append({**options, "val_loss": loss})
            if loss < best[0]:
                best = loss, options, {name: value.clone() for name, value in state.items()}
        if not math.isfinite(best[0]):
            raise ValueError(f"none of {len(tried)} candidates has a finite validation loss")
        self.take(best[2])
        return Fit(dict(best[1]), tried)

    def _shift_for(self, train: Windows, target: str) -> Tensor:
        """Return what to add to forecasts of a log variance so that their ratio to it is 1."""
        if target != "volatility":
            return torch.zeros_like(self.shift)
        off = train.y.double() - self.predict(train.x)
        return off.flatten().logsumexp(0) - math.log(off.numel())

    def take(self, state: State) -> None:
        """Put the arrays of a candidate in place; those it does not name stay."""
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        for name, value in state.items():
            own[name].data.copy_(value)

    def forward(self, x_btf: Tensor, mask_bt: Tensor | None = None) -> RegressorOutput:
        """Predict every window.

        Args:
            x_btf: Input windows, shape (B, T, F).
            mask_bt: None: a fitted model knows whole windows only.

        Returns:
            Predictions (B, K) in scaled target units, without weights and hidden states.

        Raises:
            ValueError: If there is a mask.
        """
        if mask_bt is not None:
            raise ValueError(f"{type(self).__name__} is fitted to whole windows: it takes no mask")
        return RegressorOutput(self.predict(x_btf) + self.shift, None, None)

    def refuse(self, target: str) -> None:
        """Refuse to be fitted to a target that is none of its own, or without what fits it.

        Args:
            target: What data.target is.

        Raises:
            ValueError: With the command that installs a package, or the targets there are.
        """
        if self.targets is not None and target not in self.targets:
            own = " or ".join(sorted(self.targets))
            raise ValueError(f"model={self.name} needs data.target={own}, got {target}")
        for module, package in self.packages.items():
            if find_spec(module) is None:
                raise ValueError(f"this model is fitted with {package}: pip install {package}")


def learned(*size: int, fill: float = 0.0) -> nn.Parameter:
    """Return an array of numbers that fitting sets and no gradient moves, float64."""
    return nn.Parameter(torch.full(size, fill, dtype=torch.float64), requires_grad=False)


def lengths_within(lengths: Sequence[int], most: int, name: str) -> list[int]:
    """Return the lengths to try, none above what a window has, ascending.

    Raises:
        ValueError: If one is no whole number above 0.

    >>> lengths_within([60, 1, 20, 5], 20, "steps")
    [1, 5, 20]
    """
    if not lengths or any(type(n) is not int or n < 1 for n in lengths):
        raise ValueError(f"{name} must be whole numbers above 0, got {list(lengths)}")
    return sorted({min(n, most) for n in lengths})


def need_history(history: History | None, name: str) -> History:
    """Return what tells the closes of a window.

    Args:
        history: As the data has it.
        name: The option of `model=`, for the message.

    Raises:
        ValueError: If the data has no windows of closes of one series.
    """
    if history is None:
        raise ValueError(
            f"model={name} reads past closes: it needs data=prices, of one series, and the target "
            "log_return or volatility"
        )
    return history


def some_of(forms: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the forms of a model that are to be tried.

    Args:
        forms: What is asked for.
        known: What there is.

    Raises:
        ValueError: If none is asked for, or one that there is not.
    """
    if not forms or any(form not in known for form in forms):
        raise ValueError(f"forms must be of {', '.join(known)}, got {list(forms)}")
    return list(forms)


def returns_of(log_closes: Tensor) -> Tensor:
    """Return the log returns from bar to bar (..., T - 1) of log closes (..., T)."""
    return log_closes.diff(dim=-1)


def one_series(log_closes: Tensor) -> Tensor:
    """Return the log returns that overlapping windows (W, T) show, each once, in order of time.

    >>> one_series(torch.tensor([[-3.0, -1.0, 0.0], [-1.0, 0.0, 4.0]])).tolist()
    [2.0, 1.0, 4.0]
    """
    returns = returns_of(log_closes)
    return torch.cat([returns[0], returns[1:, -1]])
