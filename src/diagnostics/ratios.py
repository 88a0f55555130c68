"""Ratios that say whether a layer can still learn: saturation and the size of its updates."""

import torch
from torch import Tensor

FLAT_BEYOND = {"sigmoid": 5.0, "tanh": 2.65}
"""|pre-activation| beyond which the slope is under 0.7% of a sigmoid's and 2% of a tanh's largest:
sigmoid'(5) / sigmoid'(0) = 0.027, tanh'(2.65) = 0.020."""


def saturation(preactivation: Tensor, function: str) -> float:
    """Return the share of pre-activations on the flat part of a sigmoid or a tanh.

    Args:
        preactivation: Tensor of any shape.
        function: `sigmoid` or `tanh`.

    Returns:
        Share in [0, 1].

    Raises:
        ValueError: For any other function.

    >>> saturation(torch.tensor([0.0, 3.0, -20.0, 6.0]), "sigmoid")
    0.5
    """
    if function not in FLAT_BEYOND:
        raise ValueError(f"function must be one of {sorted(FLAT_BEYOND)}, got {function!r}")
    flat = preactivation.detach().abs() > FLAT_BEYOND[function]
    return float(flat.double().mean()) if flat.numel() else 0.0


def update_ratio(before: Tensor, after: Tensor) -> float:
    """Return the size of one step relative to the weight: |after - before| / |before|.

    Args:
        before: Weight before the step.
        after: The same weight after it.

    Returns:
        The ratio of norms; infinite when a zero weight moved, 0 when nothing moved. About 1e-3 is
        usual.

    >>> round(update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.05])), 6)
    0.01
    """
    old, new = before.detach().double(), after.detach().double()
    step, size = (float(torch.linalg.vector_norm(tensor)) for tensor in (new - old, old))
    if step == 0:
        return 0.0
    return step / size if size else float("inf")
