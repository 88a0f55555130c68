"""Leave a model exactly as found, whatever is done to it in between."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Restore a model and every random generator on exit, also when the body raises.

    Attributes of all modules (hooks, buffers, train/eval mode and what `forward` caches on itself),
    the values of parameters and buffers, `requires_grad` and `.grad` come back bitwise.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    attributes = [(module.__dict__, _shallow_copy(module.__dict__)) for module in model.modules()]
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}.values()
    saved = [(t, t.detach().clone(), t.requires_grad, t.grad, _clone(t.grad)) for t in tensors]
    python_state = random.getstate()
    numpy: Any = sys.modules.get("numpy")  # whoever has not loaded it draws nothing from it
    numpy_state = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(devices=_cuda_devices()):
            yield
    finally:
        if numpy_state is not None:
            numpy.random.set_state(numpy_state)
        random.setstate(python_state)
        for state, copy in attributes:
            _restore(state, copy)
        for tensor, value, requires_grad, grad, grad_value in saved:
            _write_back(tensor, value)
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)
            if grad is not None and grad_value is not None:
                _write_back(grad, grad_value)
            if tensor.is_leaf and tensor.grad is not grad:
                tensor.grad = grad


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the same random numbers in the body every time, and leave the generators as found.

    Args:
        seed: Seed of the CPU and CUDA generators inside the body.

    Yields:
        Nothing.
    """
    with torch.random.fork_rng(devices=_cuda_devices()):
        torch.manual_seed(seed)
        yield


def _cuda_devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []


def _clone(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _write_back(tensor: Tensor, value: Tensor) -> None:
    """Restore a value without a version bump, and only if it changed."""
    if tensor.is_sparse or tensor.shape != value.shape or not torch.equal(tensor, value):
        tensor.data = value if tensor.is_sparse or tensor.shape != value.shape else tensor.data
        if not tensor.is_sparse:
            tensor.data.copy_(value)


def _shallow_copy(attributes: dict[str, Any]) -> dict[str, Any]:
    """Copy a module's attributes one level deep: its registries are changed in place."""
    return {
        key: type(value)(value) if isinstance(value, dict | set) else value
        for key, value in attributes.items()
    }


def _restore(attributes: dict[str, Any], copy: dict[str, Any]) -> None:
    for key in [key for key in attributes if key not in copy]:
        del attributes[key]
    for key, value in copy.items():
        current: Any = attributes.get(key)
        if isinstance(value, dict | set) and type(current) is type(value):
            if current != value or list(current) != list(value):
                current.clear()
                current.update(value)
        else:
            attributes[key] = value
