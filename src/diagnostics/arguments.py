"""What a program has to be to be looked at; what it is instead is said in one line."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .symptoms.masks import tensors_in

Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None


def take(batches: Iterable[Any], at_least: int, at_most: int, what_for: str = "") -> list[Any]:
    """Return the first batches.

    Args:
        batches: Batches of any make.
        at_least: So many are needed.
        at_most: So many are taken.
        what_for: Why so many are needed.

    Raises:
        ValueError: These are no batches, too few, or one holds no samples.

    >>> take(iter("abc"), 1, 2)
    ['a', 'b']
    """
    if not isinstance(batches, Iterable):
        raise ValueError(f"batches must be a list of batches or the like, got {batches!r}")
    taken = list(islice(batches, max(at_most, 0)))
    if len(taken) < at_least:
        needed = "one batch" if at_least == 1 else f"{at_least} batches"
        raise ValueError(
            f"batches must hold at least {needed}{what_for}, got {len(taken) or taken}"
        )
    for number, batch in enumerate(taken):
        shapes = [tuple(tensor.shape) for tensor in tensors_in(batch)]
        if shapes and all(0 in shape for shape in shapes):
            raise ValueError(f"batches[{number}] holds no samples, only tensors of shape {shapes}")
    return taken


def check_model(model: Any) -> None:
    """Refuse what cannot be replayed with hooks and gradients.

    Raises:
        ValueError: With what it is, and what to do.
    """
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        what = "must be a torch.nn.Module that runs in Python"
        raise ValueError(f"model {what}, got {type(model).__name__}")
    if torch.is_inference_mode_enabled():
        raise ValueError("torch.inference_mode() is on, which leaves no gradients: call it outside")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if is_lazy(tensor):
            raise ValueError(f"{name} of the model has no shape yet: call the model on a batch")
        if tensor.is_meta:
            what = "is on the meta device, which holds no numbers: load the weights"
            raise ValueError(f"{name} of the model {what}")


def as_list(optimizer: Optimizers) -> list[torch.optim.Optimizer]:
    """Return one optimiser, several or none as a list.

    Raises:
        ValueError: It is something else.
    """
    if optimizer is None:
        return []
    optimizers = list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]
    for one in optimizers:
        if not hasattr(one, "param_groups"):  # wrappers of optimisers have them as well
            what = "optimizer must be a torch.optim.Optimizer or a list of them"
            raise ValueError(f"{what}, got {type(one).__name__}")
    return optimizers
