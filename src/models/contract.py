"""What the parts of a regressor agree on: what it returns, where dropout acts, what a model uses.

Shapes: B batch, T time steps, F input features, D hidden size, K numbers that are forecast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

from torch import Tensor

PARTS = frozenset({"pooling", "norm", "dropout", "output"})
"""What a regressor can be composed of besides its model, each a group of conf/."""


def parts_used(model: Any) -> frozenset[str]:
    """Return which parts a model says it uses, in its attribute `uses`.

    Args:
        model: A model, its class, or a `functools.partial` of the class.

    Returns:
        Names of `PARTS`, and `persistence` or `history` for a model that has to know it.
    """
    return getattr(model, "func", model).uses


class RegressorOutput(NamedTuple):
    """A prediction together with what is worth watching on the way to it.

    Attributes:
        preds: Predictions in scaled target units, shape (B, K); of a distribution the parameters of
            each, shape (B, K * P).
        weights: Pooling weights over time, shape (B, T) or (T,); None without a pooling.
        hidden: What went into the pooling, shape (B, T, D); None without an encoder.
    """

    preds: Tensor
    weights: Tensor | None
    hidden: Tensor | None


class Persistence(Protocol):
    """The map from the input to scaled targets under which tomorrow equals today.

    A scaled prediction is the log of the mean of exp(scale * x + offset) over the latest `bars`; of
    one bar that is `scale * x[:, -1, feature] + offset`. The scale is 0 where the target is a
    difference or a return.
    """

    @property
    def feature(self) -> int:
        """Index of the price, or of the log of a bar's variance, among the features."""

    @property
    def scale(self) -> float:
        """Target units per input unit."""

    @property
    def offset(self) -> Any:
        """Target value of an input of 0; of several targets one for each."""

    @property
    def bars(self) -> int:
        """How many of the latest bars are averaged."""


class History(Protocol):
    """How windows show past closes, and how a forecast's logarithm is scaled."""

    @property
    def horizon(self) -> int:
        """How many bars are forecast."""

    def log_closes(self, x_btf: Tensor) -> Tensor:
        """Return log closes (B, T), float64, over the window's last, of windows (B, T, F)."""

    def scaled(self, logs_bk: Tensor) -> Tensor:
        """Return log returns, or logs of variances, as scaled targets, of the same shape."""

    def raw(self, scaled_bk: Tensor) -> Tensor:
        """Return scaled targets as log returns, or logs of variances, of the same shape."""


@dataclass(frozen=True)
class DropoutRates:
    """Dropout rates by place; all act in training only.

    Args:
        input: On the features of every step, after the norm and before the encoder.
        projection: After the transformer's `temporal_projection`.
        encoder: Inside the encoder: between recurrent layers, or on the transformer's branches.

    Raises:
        ValueError: If a rate lies outside [0, 1).

    >>> DropoutRates(projection=0.1)
    DropoutRates(input=0.0, projection=0.1, encoder=0.0)
    """

    input: float = 0.0
    projection: float = 0.0
    encoder: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"dropout.{field.name} must be in [0, 1), got {rate}")

    @classmethod
    def from_mapping(cls, rates: Mapping[str, Any]) -> "DropoutRates":
        """Read the rates from a plain mapping such as a config group.

        Args:
            rates: Rates by place; a missing place means 0.

        Returns:
            The validated rates.

        Raises:
            ValueError: If a place is unknown or a rate lies outside [0, 1).
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(rates) - set(known))
        if unknown:
            raise ValueError(f"dropout acts in {known}, got {unknown}")
        return cls(**{place: float(rate) for place, rate in rates.items()})
