"""Skill: how much of the targets predictions explain, whatever the loss.

0 is what the best constant reaches and 1 is all; below 0 a constant does better. Unlike a loss it
can be compared when the loss, or the scale of the targets, is changed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LEARNED = 0.8
"""Skill from which on a model has learned: what then looks odd inside of it did not stop it."""


def skill(function: str, preds: Tensor, target: Tensor) -> float | None:
    """Return the skill of predictions as they entered a loss function.

    Args:
        function: Name of the loss function.
        preds: (N, C) predictions; logits where the loss takes logits.
        target: (N,) classes or (N * C,) numbers.

    Returns:
        At most 1; None where targets do not vary or do not match in number.

    >>> skill("mse_loss", torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0.0, 1.0, 2.0]))
    1.0
    >>> skill("mse_loss", torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([0.0, 1.0, 2.0]))
    0.0
    """
    if function in ("cross_entropy", "nll_loss") and not target.is_floating_point():
        return _of_classes(function, preds.double(), target)
    numbers, wanted = preds.double().flatten(), target.double().flatten()
    if len(numbers) != len(wanted) or len(wanted) < 2:
        return None
    if function.startswith("binary_cross_entropy"):
        numbers = numbers.sigmoid() if function.endswith("logits") else numbers
    spread = (wanted - wanted.mean()).square().mean()
    if not spread > 0:
        return None
    return float(1 - (numbers - wanted).square().mean() / spread)


def _of_classes(function: str, preds: Tensor, target: Tensor) -> float | None:
    """Compare the cross entropy with that of the classes' frequencies."""
    valid = (target >= 0) & (target < preds.shape[1]) if len(preds) == len(target) else None
    if valid is None or not bool(valid.any()):
        return None
    preds, target = preds[valid], target[valid]
    share = torch.bincount(target, minlength=preds.shape[1]).double() / len(target)
    entropy = float(torch.special.entr(share).sum())
    if entropy == 0:
        return None
    logs = preds.log_softmax(1) if function == "cross_entropy" else preds
    return 1 - float(F.nll_loss(logs, target)) / entropy
