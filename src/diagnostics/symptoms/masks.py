"""Which steps are not real: padding in batches of any make, masks in calls of a forward pass."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
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
    if is_dataclass(batch) and not isinstance(batch, type):
        rebuilt = copy.copy(batch)
        for item in fields(batch):
            value = map_tensors(getattr(batch, item.name), function)
            object.__setattr__(rebuilt, item.name, value)  # it may be frozen
        return rebuilt
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
