"""Batches of any make: nested tuples, lists, mappings and named tuples of tensors."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Rebuild a batch with `function` applied to every tensor in it."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(value, function) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, function) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map_tensors(value, function) for value in batch)
    return batch


def tensors_in(batch: Any) -> list[Tensor]:
    """List the tensors of a batch in order.

    >>> [t.shape[0] for t in tensors_in({"x": torch.zeros(3), "rest": (torch.zeros(2), None)})]
    [3, 2]
    """
    found: list[Tensor] = []
    map_tensors(batch, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def padding_steps(batch: Any, model: nn.Module) -> Tensor | None:
    """Find the padding of a batch in its content.

    Args:
        batch: Any batch.
        model: Its embeddings say which token is padding.

    Returns:
        (B, T) bool, True where all features of a step are zero or its token is padding; None for
        a batch without sequences.
    """
    tensors = tensors_in(batch)
    for tensor in tensors:
        if tensor.dim() == 3 and tensor.is_floating_point():
            return (tensor == 0).all(-1)
    pads = [m.padding_idx for m in model.modules() if isinstance(m, nn.Embedding)]
    for tensor in tensors:
        if tensor.dim() == 2 and tensor.dtype == torch.long and pads and pads[0] is not None:
            return tensor == pads[0]
    return None
