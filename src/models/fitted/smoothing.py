"""Exponential smoothing of log closes: a level, and where it helps a trend that may fade.

Shapes: W windows, B batch, T time steps, F input features, K bars that are forecast.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from src.models.contract import History
from src.models.fitted.fitted import FittedRegressor, State, Windows, learned, need_history, some_of

FORMS = ("simple", "trend", "damped")


class ExponentialSmoothing(FittedRegressor):
    """Predict by a level, and a trend, that every close moves by a share of its surprise.

    The shares are fitted by maximum likelihood (statsmodels) to the training closes. At the start
    of a window the level is its first close, and the trend the mean one of the training part.

    Args:
        input_size: Features per step, F; the first is the close.
        context_length: Steps per window, T.
        forms: Of `simple`, `trend` and `damped`, those to try.
        history: How windows show past closes.
        num_outputs: Bars that are forecast, K.

    Raises:
        ValueError: If windows show none, or there is no such form.

    Source: Hyndman, Koehler, Ord and Snyder 2008, sections 2.5 and 3.4; the forms (A,N,N), (A,A,N)
    and (A,Ad,N).
    """

    uses = frozenset({"history", "num_outputs"})
    name = "exponential_smoothing"
    targets = frozenset({"log_return"})
    packages: ClassVar[Mapping[str, str]] = {"statsmodels": "statsmodels"}

    def __init__(
        self,
        input_size: int,
        context_length: int,
        *,
        forms: Sequence[str] = FORMS,
        history: History | None = None,
        num_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.history = need_history(history, self.name)
        self.bars = num_outputs
        self.forms = some_of(forms, FORMS)
        self.level_share = learned(fill=1.0)
        self.trend_share = learned()
        self.damping = learned(fill=1.0)
        self.first_trend = learned()

    def candidates(
        self, train: Windows, val: Windows, target: str
    ) -> Iterator[tuple[dict[str, Any], State]]:
        """Yield each form."""
        closes = self.history.log_closes(train.x)
        later = closes[1:, -1] - closes[1:, -2]
        series = torch.cat([closes[0], closes[0, -1] + later.cumsum(0)]).numpy()
        for form in self.forms:
            yield {"form": form}, _fit(series, form)

    def predict(self, x_btf: Tensor) -> Tensor:
        """Return scaled predictions (B, K)."""
        closes_bt = self.history.log_closes(x_btf)
        level, trend = smooth(
            closes_bt, self.level_share, self.trend_share, self.damping, self.first_trend
        )
        fades_k = torch.stack([self.damping**k for k in range(1, self.bars + 1)]).cumsum(0)
        change_b = level - closes_bt[:, -1]
        return self.history.scaled(change_b.unsqueeze(1) + fades_k * trend.unsqueeze(1))


def smooth(
    values_bt: Tensor, level_share: Tensor, trend_share: Tensor, damping: Tensor, trend: Tensor
) -> tuple[Tensor, Tensor]:
    """Return level and trend (B,) after series (B, T).

    Args:
        values_bt: Any unit.
        level_share: Share of a surprise that the level takes on, alpha.
        trend_share: Share of a surprise that the trend takes on, alpha times beta*.
        damping: What is left of a trend after a step, phi.
        trend: At the start, per step.

    >>> one, half = torch.tensor(1.0), torch.tensor(0.5)
    >>> smooth(torch.tensor([[0.0, 1.0, 1.0]]), half, 0 * one, one, 0 * one)
    (tensor([0.7500]), tensor([0.]))
    """
    level = values_bt[:, 0]
    trend = trend.expand_as(level)  # no number of windows in it: an export leaves that open
    for value in values_bt[:, 1:].unbind(1):
        expected = level + damping * trend
        surprise = value - expected
        level = expected + level_share * surprise
        trend = damping * trend + trend_share * surprise
    return level, trend


def _fit(series: Any, form: str) -> State:
    """Return the shares, the damping and the mean trend of a form, by maximum likelihood."""
    # Imported here: it takes a second, and only fitting needs it.
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a slow end: what such a fit is worth, validation says
        trend = None if form == "simple" else "add"
        found = ETSModel(series, trend=trend, damped_trend=form == "damped").fit(disp=False)
    own = dict(zip(found.param_names, found.params, strict=True))
    numbers = {
        "level_share": own["smoothing_level"],
        "trend_share": own.get("smoothing_trend", 0.0),
        "damping": own.get("damping_trend", 1.0),
        "first_trend": float(found.slope.mean()) if trend else 0.0,
    }
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
