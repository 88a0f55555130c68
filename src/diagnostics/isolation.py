"""Leave a model exactly as found, whatever is done to it in between."""

import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_CONTAINERS = (dict, list, tuple, set, deque)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Restore a model and every random generator on exit, also when the body raises.

    Attributes of all modules (hooks, buffers, train/eval mode and what `forward` caches on itself),
    the lists, deques, dicts and sets among them with all that these hold in turn, the values of
    tensors, `requires_grad` and `.grad` come back bitwise. What objects of other kinds keep, and
    what a loss function keeps in its closure, is not known here and stays as the body leaves it.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    containers, cached = _held([module.__dict__ for module in model.modules()])
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers(), *cached]}.values()
    grads = {id(t): t.grad for t in tensors if t.is_leaf}
    saved = [
        (t, t.detach().clone(), t.requires_grad, grads.get(id(t)), _clone(grads.get(id(t))))
        for t in tensors
    ]
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
        for container, items in containers:
            _refill(container, items)
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


def _held(attributes: Sequence[dict[str, Any]]) -> tuple[list[tuple[Any, list]], list[Tensor]]:
    """Find all containers and tensors that modules hold, however deep.

    Args:
        attributes: Each module's `__dict__`.

    Returns:
        Containers with their present items, and tensors, each once.
    """
    containers, tensors, seen = [], [], set()
    waiting: list[Any] = list(attributes)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, _CONTAINERS):
            items = _items(value)
            waiting += (
                [part for item in items for part in item] if isinstance(value, dict) else items
            )
            if not isinstance(value, tuple):
                containers.append((value, items))
    return containers, tensors


def _items(container: Any) -> list[Any]:
    return list(container.items() if isinstance(container, dict) else container)


def _refill(container: Any, items: list[Any]) -> None:
    """Put the very objects back that a container held, and touch it only if it holds others."""
    now = _items(container)
    pairs = zip(now, items, strict=False)
    if isinstance(container, dict):
        same = all(k is key and v is value for (k, v), (key, value) in pairs)
    else:
        same = all(one is other for one, other in pairs)
    if not same or len(now) != len(items):
        container.clear()
        if isinstance(container, list | deque):
            container.extend(items)
        else:  # a Counter takes pairs for things to count
            container.update(dict(items) if isinstance(container, dict) else items)
