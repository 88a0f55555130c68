"""The yardstick: how much of the targets predictions explain, whatever loss they enter.

0 is the best constant, 1 is all. Numbers are judged by their squared errors, each column against
its own mean; classes likewise, by the probabilities against 0 and 1 (the skill of Brier's score).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .pairs import Pair


def skill(pairs: Sequence[Pair]) -> float:
    """Return the skill of predictions over some batches.

    Args:
        pairs: What one loss compared, one pair a batch.

    Returns:
        At most 1; NaN where predictions are not finite, targets do not vary or do not match.

    >>> target = torch.tensor([0.0, 1.0, 2.0])
    >>> skill([Pair("mse_loss", torch.tensor([0.0, 1.0, 2.0]), target)])
    1.0
    >>> skill([Pair("mse_loss", torch.tensor([1.0, 1.0, 1.0]), target)])
    0.0
    """
    rows = [_rows(pair) for pair in pairs]
    if not rows or any(row is None for row in rows):
        return math.nan
    if len({row[0].shape[1] for row in rows if row}) > 1:  # sequences of different lengths
        rows = [(p.reshape(-1, 1), t.reshape(-1, 1)) for p, t in filter(None, rows)]
    preds, target = (torch.cat(part) for part in zip(*filter(None, rows), strict=True))
    spread = (target - target.mean(0)).square().sum()
    if not spread > 0 or not bool(preds.isfinite().all()):
        return math.nan
    return float(1 - (preds - target).square().sum() / spread)


def mean_skill(plays: Sequence[Sequence[Pair]]) -> float:
    """Return the mean skill of the losses that can be judged; NaN where there is none.

    Args:
        plays: The pairs of each batch, in the order of the losses.
    """
    count = min((len(play) for play in plays), default=0)
    values = [skill([play[i] for play in plays]) for i in range(count)]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _rows(pair: Pair) -> tuple[Tensor, Tensor] | None:
    """Return predictions and targets as numbers (N, C), a column for each class."""
    preds, target = pair.preds.detach().double(), pair.target.detach()
    if pair.function in ("cross_entropy", "nll_loss", "multi_margin_loss"):
        return _of_classes(pair.function, preds, target)
    if preds.numel() != target.numel() or not preds.numel():
        return None
    if pair.function == "binary_cross_entropy_with_logits":
        preds = preds.sigmoid()
    if pair.function == "poisson_nll_loss":  # its default is the logarithm of the rate
        preds = preds.exp()
    columns = preds.shape[-1] if preds.dim() > 1 else 1
    return preds.reshape(-1, columns), target.double().reshape(-1, columns)


def _of_classes(function: str, preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return probabilities and the classes as 0 and 1; entries outside of the classes are left."""
    if preds.dim() < 2:
        return None
    scores = preds.movedim(1, -1).flatten(0, -2)
    chances = scores.exp() if function == "nll_loss" else scores.softmax(1)
    if target.shape == preds.shape:
        return chances, target.double().movedim(1, -1).flatten(0, -2)
    labels, classes = target.flatten().long(), chances.shape[1]
    if len(labels) != len(chances):
        return None
    valid = (labels >= 0) & (labels < classes)
    return chances[valid], F.one_hot(labels[valid], classes).double()
