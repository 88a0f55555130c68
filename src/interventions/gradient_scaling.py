"""Scale the gradient of some input columns of one weight, a remedy tried against large features."""

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def feature_columns(features: str | float, num_columns: int, groups: dict[str, slice]) -> slice:
    """Return which columns of a weight belong to some features.

    Args:
        features: name of a feature group; or a share in (0, 1], counted from the last column.
        num_columns: columns of the weight, one for each feature.
        groups: feature columns by group name.

    Raises:
        ValueError: if there is no such group or share.

    >>> feature_columns(0.2, 129, {})
    slice(103, 129, None)
    """
    if isinstance(features, str):
        if features not in groups:
            raise ValueError(f"features must be one of {', '.join(groups)}, got {features}")
        return groups[features]
    if not 0 < features <= 1:
        raise ValueError(f"features must be a group's name or a share in (0, 1], got {features}")
    return slice(num_columns - round(features * num_columns), num_columns)


class GradientScaling(pl.Callback):
    """Multiply the gradient columns of some features by a constant before every optimiser step.

    Works in `on_before_optimizer_step`: on the complete gradient, before it is clipped. Place it
    after callbacks that measure gradients. A factor other than 0 adds and removes no zero. Adam
    divides each entry by its own running size, so there a constant factor cancels but for Adam's
    epsilon and for what clipping sees; under SGD it is a lower learning rate for those columns.

    Args:
        parameter: the end of the weight's name, whole words between dots, of exactly one parameter.
        features: feature group of the DataModule, or the share of columns counted from the last.
        factor: what the gradient is multiplied by, at least 0.

    Raises:
        ValueError: if the factor is negative or not finite.
    """

    def __init__(
        self,
        parameter: str = "temporal_projection.weight",
        features: str | float = "position",
        factor: float = 0.05,
    ) -> None:
        if not 0 <= factor < float("inf"):
            raise ValueError(f"factor must be at least 0 and finite, got {factor}")
        self.parameter = parameter
        self.features = features
        self.factor = factor
        self._weight: nn.Parameter | None = None
        self._columns = slice(0)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the weight and its columns.

        Raises:
            ValueError: if the model has no such weight, or the data no such features.
        """
        weight = _find_weight(pl_module, self.parameter)
        groups = getattr(trainer.datamodule, "feature_groups", {})  # type: ignore[attr-defined]
        self._columns = feature_columns(self.features, weight.shape[1], groups)
        self._weight = weight

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Scale the columns in the optimiser that trains them."""
        weight = self._weight
        assert weight is not None
        trained = any(p is weight for group in optimizer.param_groups for p in group["params"])
        if trained and weight.grad is not None:
            scale_columns(weight.grad, self._columns, self.factor)


def scale_columns(grad: Tensor, columns: slice, factor: float) -> None:
    """Multiply columns of a gradient (rows, columns) by a factor, in place."""
    with torch.no_grad():
        grad[:, columns] *= factor


def _find_weight(module: nn.Module, ending: str) -> nn.Parameter:
    """Return the one matrix whose name ends with whole dotted words `ending`."""
    found = {n: p for n, p in module.named_parameters() if f".{n}".endswith(f".{ending}")}
    if len(found) != 1 or next(iter(found.values())).ndim != 2:
        raise ValueError(
            f"parameter must end the name of exactly one matrix, got {ending}, "
            f"which ends {', '.join(found) or 'none'}"
        )
    return next(iter(found.values()))
