"""Recognise masks over time steps in the calls of a forward pass."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def hidden_steps(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the masks that a call uses, as tensors that are True where something is hidden."""
    found: list[Any] = []
    if name in ("masked_fill", "masked_fill_") and len(args) > 2 and _is_floor(args[2]):
        found = [args[1]] if args[0].requires_grad else []
    elif name == "where" and len(args) > 2 and _is_floor(args[2]):
        found = [~args[0]] if args[0].dtype == torch.bool else []
    elif name == "multi_head_attention_forward":
        found = [_to_hidden(kwargs.get("key_padding_mask"))]
    elif name == "scaled_dot_product_attention":
        given = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        if isinstance(given, Tensor) and given.dtype == torch.bool:
            found = [~given]
        else:
            found = [_to_hidden(given)]
    elif name in ("mul", "__mul__", "__rmul__", "mul_", "__imul__"):
        found = [~_as_switch(a) for a in args[:2] if _as_switch(a) is not None]  # type: ignore[operator]
    return [mask for mask in found if isinstance(mask, Tensor) and mask.dtype == torch.bool]


def steps_hidden(hidden: Tensor, shape: torch.Size) -> Tensor | None:
    """Bring a mask to (B, T) if it is one over the time steps of each sample, else None.

    Args:
        hidden: (B, T), (B, T, 1), (B, 1, T) or (B, 1, 1, T) bool.
        shape: (B, T).
    """
    if hidden.dim() < 2 or hidden.numel() != shape.numel() or hidden.shape[0] != shape[0]:
        return None
    return hidden.reshape(shape) if shape[1] in hidden.shape[1:] else None


def _is_floor(value: Any) -> bool:
    return (float(value) if not isinstance(value, Tensor) or value.numel() == 1 else 0.0) <= -1e4


def _to_hidden(mask: Any) -> Tensor | None:
    if not isinstance(mask, Tensor) or mask.dtype == torch.bool:
        return mask
    return mask <= -1e4


def _as_switch(value: Any) -> Tensor | None:
    """Return a tensor of zeros and ones as bool, None for anything else."""
    if not isinstance(value, Tensor) or value.requires_grad or value.dim() < 2:
        return None
    if value.dtype == torch.bool:
        return value
    ones = value == 1
    return ones if bool((ones | (value == 0)).all()) else None
