"""Exact counts over one gradient: entries, zeros, non-finite values.

Counts are integers throughout: a float32 sum of ones is exact only below 2**24.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class GradientCounts(NamedTuple):
    """How many entries a gradient has, and how many of them are zero or not finite."""

    entries: int
    zeros: int
    nonfinite: int

    @property
    def zero_fraction(self) -> float:
        """Share of entries that are exactly zero; 0 for a gradient without entries."""
        return self.zeros / self.entries if self.entries else 0.0


def count_gradient(grad: Tensor) -> GradientCounts:
    """Count the entries, exact zeros and non-finite values of a gradient.

    Args:
        grad: Gradient of any shape; a sparse one counts its untouched rows as zero.

    Returns:
        Exact integer counts.

    >>> count_gradient(torch.tensor([[0.0, 1.0], [0.0, float("nan")]]))
    GradientCounts(entries=4, zeros=2, nonfinite=1)
    """
    values = grad.coalesce().values() if grad.is_sparse else grad
    nonzero = int(torch.count_nonzero(values))
    nonfinite = values.numel() - int(torch.isfinite(values).sum())
    return GradientCounts(grad.numel(), grad.numel() - nonzero, nonfinite)


def zero_fraction(grad: Tensor) -> float:
    """Return the share of a gradient's entries that are exactly zero.

    >>> zero_fraction(torch.tensor([0.0, 1.0, 2.0, 0.0]))
    0.5
    """
    return count_gradient(grad).zero_fraction


def touched_rows(grad: Tensor) -> Tensor:
    """Return which rows of a gradient hold anything but zeros.

    Args:
        grad: (rows, ...) dense or sparse gradient.

    Returns:
        (rows,) bool.
    """
    if not grad.is_sparse:
        return (grad != 0).reshape(grad.shape[0], -1).any(1)
    coalesced = grad.coalesce()
    touched = torch.zeros(grad.shape[0], dtype=torch.bool, device=grad.device)
    rows = coalesced.indices()[0]
    touched[rows] = (coalesced.values() != 0).reshape(len(rows), -1).any(1)
    return touched
