"""What a model has to know of the data it was trained on, as plain values for its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data.datamodule import PriceDataModule
from src.data.features.variance import ESTIMATORS, LOG_VARIANCE
from src.data.history import CloseHistory, history_of
from src.data.preparation import FEATURES
from src.data.scaling import INPUTS, InputScaling, Scaling
from src.data.targets import SIGNED, TARGETS, Persistence, Target, TargetScaling, persistence_of

MOST_BARS = 1 << 16
"""More bars are no horizon but a slip, or a checkpoint that is to keep somebody's machine busy."""


@dataclass(frozen=True)
class DataFacts:
    """Sizes, statistics and scalings of the training data; enough to rebuild and use a model.

    Args:
        features: `prices` or `bars`.
        context_length: T, the days that a window shows.
        feature_mean: Mean of each feature over the training split (F,).
        feature_std: Its standard deviation (F,).
        input_scaling: What turns windows of closes into model inputs; None for bars.
        target_scaling: What turns scaled predictions into prices.
        frequency: The usual distance between bars; None in checkpoints of earlier times.
        series: The tickers of several series, whose scalings then hold a number for each.
        extra: What scales each further column, named by its kind.
        horizon: h, the bars that are forecast.
        estimator: What says how much a bar moved, for a target of volatility.
    """

    features: str
    context_length: int
    feature_mean: Tensor
    feature_std: Tensor
    input_scaling: InputScaling | None
    target_scaling: TargetScaling
    frequency: str | None = None
    series: tuple[str, ...] = ()
    extra: tuple[Scaling, ...] = ()
    horizon: int = 1
    estimator: str = "garman_klass"

    @classmethod
    def of(cls, datamodule: PriceDataModule) -> DataFacts:
        """Return the facts of a data module that is set up."""
        return cls(
            datamodule.features,
            datamodule.context_length,
            datamodule.feature_mean,
            datamodule.feature_std,
            datamodule.input_scaling,
            datamodule.target_scaling,
            datamodule.frequency,
            datamodule.series,
            datamodule.extra_scalings,
            datamodule.horizon,
            datamodule.forecast.estimator,
        )

    def of_series(self, ticker: str | None, key: str = "ticker") -> DataFacts:
        """Return the facts of one series; those of a run on one are all there are.

        Args:
            ticker: Which one.
            key: What asks for it, for the message.

        Raises:
            ValueError: If there are several and it is none of them.
        """
        if not self.series:
            return self
        names = [name.casefold() for name in self.series]
        if (ticker or "").casefold() not in names:
            shown = ", ".join(self.series[:20]) + (", ..." if len(self.series) > 20 else "")
            raise ValueError(
                f"this run was trained on several series, each scaled by itself: {shown}; "
                + (f"{ticker} is none of them; " if ticker else "")
                + f"{key}={self.series[0]} takes the prices for those of {self.series[0]}"
            )
        number = names.index((ticker or "").casefold())
        scaling = self.input_scaling
        return replace(
            self,
            input_scaling=scaling.of(number) if scaling else None,
            target_scaling=self.target_scaling.of(number),
            series=(),
            extra=tuple(scaling.of(number) for scaling in self.extra),
        )

    @property
    def num_features(self) -> int:
        """F, the features of a step."""
        return len(self.feature_mean)

    @property
    def target(self) -> Target:
        """What is forecast."""
        return Target(self.target_scaling.kind, self.horizon, self.estimator)

    @property
    def persistence(self) -> Persistence | None:
        """How the forecast that needs no model reads as a scaled prediction, if it does."""
        return persistence_of(self.target_scaling, self.target, self.extra)

    @property
    def history(self) -> CloseHistory | None:
        """How windows show past closes; None where they show none, or those of several series."""
        return history_of(self.input_scaling, self.target_scaling, self.horizon)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """Names of the further columns that a file has to have."""
        own = self.extra[:-1] if self.target.is_volatility else self.extra
        return tuple(scaling.kind for scaling in own)

    @property
    def takes_any_price(self) -> bool:
        """Whether a price may be 0 or negative: nothing takes its logarithm."""
        is_price = self.input_scaling is not None and self.input_scaling.kind == "price"
        return is_price and self.target_scaling.kind in SIGNED

    def to_price(self, preds: Tensor, last_price: Tensor, series: Tensor | None = None) -> Tensor:
        """Turn scaled predictions (B, K) and last prices (B, 1) into what is forecast (B, K)."""
        return self.target_scaling.to_price(preds, last_price, series)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which `from_dict` turns back into the same facts bit for bit."""
        return {
            "features": self.features,
            "context_length": self.context_length,
            "feature_mean": self.feature_mean.tolist(),
            "feature_std": self.feature_std.tolist(),
            "input_scaling": None if self.input_scaling is None else asdict(self.input_scaling),
            "target_scaling": asdict(self.target_scaling),
            "frequency": self.frequency,
            **({"series": list(self.series)} if self.series else {}),
            **({"extra": [asdict(scaling) for scaling in self.extra]} if self.extra else {}),
            **({"horizon": self.horizon} if self.horizon > 1 else {}),
            **({"estimator": self.estimator} if self.target.is_volatility else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataFacts:
        """Return the facts that `to_dict` wrote.

        Raises:
            KeyError: If one is missing.
            ValueError: If one is what no data has.
        """
        scaling = values["input_scaling"]
        facts = cls(
            features=values["features"],
            context_length=values["context_length"],
            feature_mean=torch.tensor(values["feature_mean"], dtype=torch.float32),
            feature_std=torch.tensor(values["feature_std"], dtype=torch.float32),
            input_scaling=None if scaling is None else InputScaling(**_frozen(scaling)),
            target_scaling=TargetScaling(**_frozen(values["target_scaling"])),
            frequency=values.get("frequency"),
            series=tuple(values.get("series", ())),
            extra=tuple(Scaling(**_frozen(own)) for own in values.get("extra", ())),
            horizon=values.get("horizon", 1),
            estimator=values.get("estimator", "garman_klass"),
        )
        for name, is_possible in facts._possible().items():
            if not is_possible:
                raise ValueError(f"{name} is {str(values.get(name))[:60]}")
        return facts

    def _possible(self) -> dict[str, bool]:
        """Say of each fact whether there can be data of which it is true."""
        length, mean, std = self.context_length, self.feature_mean, self.feature_std
        is_price, scaling = self.features == "prices", self.input_scaling
        return {
            "features": self.features in (*FEATURES, "scenario"),
            "context_length": type(length) is int and length >= 1,
            "feature_mean": mean.ndim == 1 and len(mean) > 0 and bool(mean.isfinite().all()),
            "feature_std": std.shape == mean.shape and bool((std.isfinite() & (std >= 0)).all()),
            "input_scaling": is_price == (scaling is not None)
            and (scaling is None or _is_possible(scaling, INPUTS, self.series)),
            "target_scaling": _is_possible(self.target_scaling, TARGETS, self.series),
            "extra": all(_is_possible(own, (str(own.kind),), self.series) for own in self.extra)
            and len(self.extra) < len(mean),
            "horizon": type(self.horizon) is int and 1 <= self.horizon <= MOST_BARS,
            "estimator": self.estimator in ESTIMATORS and self._has_variance,
            "series": all(isinstance(name, str) for name in self.series),
        }

    @property
    def _has_variance(self) -> bool:
        """Whether a model of volatility is shown the variance of each bar."""
        is_volatility = self.target_scaling.kind == "volatility"
        return not is_volatility or (bool(self.extra) and self.extra[-1].kind == LOG_VARIANCE)


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scaling's values, one for each series as a tuple, as a scaling has them."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _is_possible(scaling: Scaling, kinds: Sequence[str], series: Sequence[str]) -> bool:
    if isinstance(scaling.offset, tuple) != bool(series):
        return False
    offsets, scales = np.atleast_1d(scaling.offset), np.atleast_1d(scaling.scale)
    is_finite = bool(np.isfinite(offsets).all() and np.isfinite(scales).all())
    is_whole = len(offsets) == len(scales) == (len(series) or 1)
    return scaling.kind in kinds and is_finite and is_whole and bool((scales > 0).all())
