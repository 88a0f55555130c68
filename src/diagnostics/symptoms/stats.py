"""Running statistics of the features (columns) of a tensor over several batches."""

import torch
from torch import Tensor

SAMPLE_ROWS = 512
"""Rows kept for questions that need values, such as which features are copies of one another."""
RESOLUTION = 1e-6
"""Relative difference below which two float32 values count as one."""


def rows_of(tensor: Tensor, axis: int) -> Tensor:
    """View a tensor as (rows, features) with the features on `axis`.

    >>> rows_of(torch.zeros(2, 3, 5), axis=1).shape
    torch.Size([10, 3])
    """
    if tensor.dim() < 2:
        return tensor.reshape(-1, 1)
    moved = tensor.movedim(axis, -1)
    return moved.reshape(-1, moved.shape[-1])


def all_finite(x: Tensor) -> bool:
    """Return whether no value is NaN or infinite; a twentieth of the time of `isfinite().all()`.

    Any such value makes the sum one, too; finite values do so only where they overflow.

    >>> all_finite(torch.tensor([3e38, 3e38])), all_finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def any_nonzero(x: Tensor) -> bool:
    """Return whether any value is not zero; NaN is not. A tenth of the time of `(x != 0).any()`.

    >>> any_nonzero(torch.tensor([0.0, -1e-45])), any_nonzero(torch.zeros(3))
    (True, False)
    """
    if not x.is_floating_point():
        return bool((x != 0).any())
    return bool(x.numel()) and (bool(x.amax() != 0) or bool(x.amin() != 0))


class FeatureStats:
    """Counts, extremes and moments of each feature, exact over all rows seen.

    Args:
        features: Number of features.
    """

    def __init__(self, features: int) -> None:
        self.features = features
        self.rows = 0
        self.nonzero = torch.zeros(features, dtype=torch.long)
        self.nonfinite = torch.zeros(features, dtype=torch.long)
        self.total = torch.zeros(features, dtype=torch.double)
        self.squares = torch.zeros(features, dtype=torch.double)
        self.minimum = torch.full((features,), float("inf"), dtype=torch.double)
        self.maximum = torch.full((features,), -float("inf"), dtype=torch.double)
        self.sample = torch.zeros(0, features)

    def add(self, x: Tensor) -> None:
        """Count rows (rows, features) in; non-finite values count as such and else as zero."""
        if x.shape[-1] != self.features or not x.numel():
            return
        x = x.detach()
        values = x.float()
        self.rows += len(x)
        self.nonzero += (x != 0).sum(0).cpu()
        if not all_finite(x):
            finite = torch.isfinite(x)
            values = torch.where(finite, values, 0)
            self.nonfinite += (~finite).sum(0).cpu()
        self.total += values.sum(0, dtype=torch.double).cpu()
        self.squares += values.double().square().sum(0).cpu()
        self.minimum = torch.minimum(self.minimum, values.amin(0).double().cpu())
        self.maximum = torch.maximum(self.maximum, values.amax(0).double().cpu())
        room = SAMPLE_ROWS - len(self.sample)
        if room > 0:
            step = max(1, len(values) * 4 // SAMPLE_ROWS)
            self.sample = torch.cat([self.sample, values[::step][:room].cpu()])

    @property
    def dead(self) -> Tensor:
        """(features,) bool: zero in every row."""
        return self.nonzero == 0

    @property
    def constant(self) -> Tensor:
        """(features,) bool: one value other than zero in every row, to float32 resolution."""
        spread = self.maximum - self.minimum
        size = torch.maximum(self.minimum.abs(), self.maximum.abs())
        return ~self.dead & (self.nonfinite == 0) & (spread <= RESOLUTION * size)

    @property
    def departures(self) -> Tensor:
        """(features,) in how many rows of the sample a feature leaves its resting value.

        That is the median: zero for a rare feature, or whatever a normalisation made of zero.
        """
        if not len(self.sample):
            return torch.zeros(self.features, dtype=torch.long)
        away = (self.sample - self.sample.median(0).values).abs()
        return (away > RESOLUTION * self.sample.abs().amax(0)).sum(0)

    @property
    def sizes(self) -> Tensor:
        """(features,) root mean square of the non-zero values."""
        return (self.squares / self.nonzero.clamp_min(1)).sqrt()

    @property
    def rare(self) -> Tensor:
        """(features,) bool: 0 or one other value, and 0 in at least 80% of the rows."""
        alive = self.nonzero > 0
        one_value = torch.where(self.maximum > 0, self.minimum == 0, self.maximum == 0)
        mean_size = self.total.abs() / self.nonzero.clamp_min(1)
        binary = one_value & ((mean_size - self.sizes).abs() <= 1e-5 * self.sizes)
        return alive & binary & (self.nonzero <= 0.2 * self.rows)


class FlowStats:
    """How much gradient arrives at each unit (column) of an output, over all batches.

    Args:
        features: Number of units.
    """

    def __init__(self, features: int) -> None:
        self.features = features
        self.rows = 0
        self.dead = torch.ones(features, dtype=torch.bool)
        self.square = 0.0

    def add(self, grad: Tensor) -> None:
        """Count rows (rows, features) of gradients in."""
        if grad.shape[-1] != self.features:
            return
        self.rows += len(grad)
        self.dead &= ((grad.amin(0) == 0) & (grad.amax(0) == 0)).cpu()
        self.square += float(torch.linalg.vector_norm(grad, dtype=torch.double)) ** 2

    @property
    def norm(self) -> float:
        """Norm of the gradient over all rows and units."""
        return self.square**0.5


def nonfinite_columns(x: Tensor) -> Tensor | None:
    """Count the NaN and infinite values per column of (rows, features); None if there are none."""
    return None if all_finite(x) else (~torch.isfinite(x)).sum(0).cpu()
