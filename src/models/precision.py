"""What is computed in float32 though autocast is on: forecasts, and all that follows an encoder."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute in the type of the weights for a while; outside of autocast that changes nothing.

    Args:
        device: Of what is computed.

    Returns:
        A context manager.
    """
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(values: Tensor) -> Tensor:
    """Return half precision as float32: what is rounded to 8 bits is no price and no loss.

    Args:
        values: Of any shape and floating-point type.

    Returns:
        The same, float32 or float64.

    >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values if values.dtype == torch.float64 else values.float()
