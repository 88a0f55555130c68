"""Baselines of volatility: HAR on the variance of past bars, GARCH on past returns.

Shapes: W windows, B batch, T time steps, F input features, L lengths that are averaged over.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from src.models.contract import History, Persistence
from src.models.fitted.fitted import (
    FittedRegressor,
    State,
    Windows,
    learned,
    lengths_within,
    need_history,
    one_series,
    returns_of,
    some_of,
)

FORMS = ("garch", "gjr")
_AS_LOG = 1e-6
"""The power that stands for the logarithm: the map of Box and Cox is that within 1e-5."""


class Har(FittedRegressor):
    """Predict a variance by its mean over the latest day, week and month: the HAR model.

    A regression of the log of the variance, of its root, or of itself.

    Args:
        input_size: Features per step, F.
        context_length: Steps per window, T.
        lengths: Bars of each mean; none is longer than a window.
        powers: Of the variance, from 0 for its logarithm to 1; each is tried.
        persistence: Which feature is the log variance of a bar, and how it reads as a target.

    Raises:
        ValueError: If an option is out of range.

    Source: Corsi, Journal of Financial Econometrics 7 (2009), equation 10; powers: Box and Cox,
    Journal of the Royal Statistical Society B 26 (1964).
    """

    uses = frozenset({"persistence"})
    name = "har"
    targets = frozenset({"volatility"})

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        lengths: Sequence[int] = (1, 5, 22),
        powers: Sequence[float] = (0.0, 0.5, 1.0),
        persistence: Persistence | None = None,
    ) -> None:
        super().__init__()
        if persistence is None:
            raise ValueError("model=har needs one series: variances of several have no one scale")
        if not powers or any(not 0 <= float(power) <= 1 for power in powers):
            raise ValueError(f"powers must be from 0 to 1, got {list(powers)}")
        self._persistence = persistence
        self.lengths = lengths_within(lengths, context_length, "lengths")
        self.powers = [float(power) for power in powers]
        self.power = learned(fill=_AS_LOG)
        self.weight = learned(len(self.lengths))
        self.bias = learned()
        self.lowest = learned()

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the regression of each power."""
        means_wl = log_means(self._log_variances(train.x), self.lengths)
        y_w1, lowest = train.y.double(), train.y.double().min()
        for power in self.powers:
            own = torch.tensor(max(power, _AS_LOG), dtype=torch.float64)
            design = torch.cat([_boxed(means_wl, own), torch.ones_like(y_w1)], dim=1)
            solution = torch.linalg.lstsq(design, _boxed(y_w1, own)).solution[:, 0]
            state = {"power": own, "weight": solution[:-1], "bias": solution[-1], "lowest": lowest}
            yield {"power": power}, state

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled log variances (B, 1), none below the lowest that was ever seen."""
        means_bl = log_means(self._log_variances(x_btf), self.lengths)
        boxed_b1 = _boxed(means_bl, self.power) @ self.weight.unsqueeze(1) + self.bias
        least = (self.power * self.lowest).exp()
        return (self.power * boxed_b1 + 1).clamp(min=least).log() / self.power

    def _log_variances(self, x_btf: Tensor) -> Tensor:
        """Return the log variance of each bar shown (B, T), in the scale of the target."""
        own = self._persistence
        return own.scale * x_btf[:, :, own.feature].double() + torch.as_tensor(own.offset)


def log_means(log_variance_bt: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the logs of the mean variances over the latest bars (B, L).

    Args:
        log_variance_bt: Log variance of each bar, oldest first (B, T).
        lengths: Bars of each mean.

    >>> log_means(torch.tensor([[4.0, 1.0, 3.0]]).log(), [1, 2]).exp().round(decimals=3)
    tensor([[3., 2.]])
    """
    means = [log_variance_bt[:, -n:].logsumexp(1) - math.log(n) for n in lengths]
    return torch.stack(means, dim=1)


def _boxed(logs: Tensor, power: Tensor) -> Tensor:
    """Return the map of Box and Cox of numbers from their logs; near a power of 0 the logs."""
    return torch.expm1(power * logs) / power


class Garch(FittedRegressor):
    """Predict the variance that a GARCH(1, 1) model of the returns expects of the bars to come.

    Fitted by maximum likelihood with Student's t (arch). In a window its variance starts at the
    mean one of the training part. What is expected is that of returns from close to close; where
    the target is another estimate, the shift brings it to its level.

    Args:
        input_size: Features per step, F; the first is the close.
        context_length: Steps per window, T.
        forms: `garch`, or `gjr`, to which falls matter more than rises; each is tried.
        history: How windows show past closes.

    Raises:
        ValueError: If windows show none, or there is no such form.

    Source: Bollerslev, Journal of Econometrics 31 (1986); Glosten, Jagannathan and Runkle, Journal
    of Finance 48 (1993).
    """

    uses = frozenset({"history"})
    name = "garch"
    targets = frozenset({"volatility"})
    packages: ClassVar[Mapping[str, str]] = {"arch": "arch"}

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        forms: Sequence[str] = FORMS,
        history: History | None = None,
    ) -> None:
        super().__init__()
        self.history = need_history(history, self.name)
        self.forms = some_of(forms, FORMS)
        self.mean, self.constant, self.start = learned(), learned(fill=1.0), learned(fill=1.0)
        self.surprise, self.fall, self.memory = learned(), learned(), learned()

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield the model of each form."""
        returns = one_series(self.history.log_closes(train.x)).numpy()
        for form in self.forms:
            yield {"form": form}, _fit_garch(returns, form)

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled log variances (B, 1)."""
        returns_br = returns_of(self.history.log_closes(x_btf))
        variance_b = garch_filter(
            returns_br - self.mean, self.start, self.constant, self.surprise, self.fall, self.memory
        )
        lasts = self.surprise + self.fall / 2 + self.memory
        total_b = torch.zeros_like(variance_b)
        for _ in range(self.history.horizon):
            total_b = total_b + variance_b
            variance_b = self.constant + lasts * variance_b
        return self.history.scaled((total_b / self.history.horizon).log().unsqueeze(1))


def garch_filter(
    off_br: Tensor, start: Tensor, constant: Tensor, surprise: Tensor, fall: Tensor, memory: Tensor
) -> Tensor:
    """Return the variance that is expected of the bar after each window (B,).

    Args:
        off_br: Returns less their mean (B, R), oldest first.
        start: Variance of the first of them.
        constant: omega.
        surprise: alpha, weight of a squared return.
        fall: gamma, further weight of one below the mean.
        memory: beta, weight of the variance before.

    >>> one = torch.tensor(1.0)
    >>> garch_filter(torch.tensor([[2.0, -1.0]]), one, 0.1 * one, 0.2 * one, 0.3 * one, 0.5 * one)
    tensor([1.3000])
    """
    variance_b = start.expand(len(off_br))
    for off_b in off_br.unbind(1):
        weight_b = surprise + fall * (off_b < 0)
        variance_b = constant + weight_b * off_b.square() + memory * variance_b
    return variance_b


def _fit_garch(returns: np.ndarray, form: str) -> State:
    """Return a form's parameters for log returns, by maximum likelihood."""
    # Imported here: it takes a second, and only fitting needs it.
    from arch import arch_model

    size = float(returns.std()) or 1.0  # the search wants numbers about 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a slow end: what such a fit is worth, validation says
        model = arch_model(returns / size, mean="Constant", o=int(form == "gjr"), dist="t")
        found = model.fit(disp="off", show_warning=False)
    own = found.params
    numbers = {
        "mean": own["mu"] * size,
        "constant": own["omega"] * size**2,
        "start": float(np.mean(found.conditional_volatility**2)) * size**2,
        "surprise": own["alpha[1]"],
        "fall": own.get("gamma[1]", 0.0),
        "memory": own["beta[1]"],
    }
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
