"""What every model of this package returns, baselines included."""

from typing import NamedTuple

from torch import Tensor


class RegressorOutput(NamedTuple):
    """A prediction together with what is worth watching on the way to it.

    Attributes:
        preds: Predictions in scaled target units, shape (B, 1).
        weights: Pooling weights over time, shape (B, T) or (T,); None without a pooling.
        hidden: What went into the pooling, shape (B, T, D); None without an encoder.
    """

    preds: Tensor
    weights: Tensor | None
    hidden: Tensor | None
