"""Leave a model exactly as found, whatever is done to it in between."""

import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.checkpoint as checkpoint
from torch import Tensor, nn

_CONTAINERS = (dict, list, tuple, set, deque)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Restore a model and every random generator on exit, also when the body raises.

    Attributes of all modules (hooks, buffers, train/eval mode and what `forward` caches on itself),
    the lists, deques, dicts and sets among them with all that these hold in turn, the values of
    tensors, `requires_grad` and `.grad` come back bitwise. What objects of other kinds keep, and
    what a loss function keeps in its closure, is not known here and stays as the body leaves it.
    Nothing is checkpointed in the body.

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
    try:
        with same_generators(), without_checkpoints():
            yield
    finally:
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
def without_checkpoints() -> Iterator[None]:
    """Let `torch.utils.checkpoint` keep activations in the body: it saves memory, changes no value.

    What is computed again on the way back would be seen twice, and no gradient of single tensors
    can be asked for through a checkpoint that is made with `use_reentrant=True`.

    Yields:
        Nothing.
    """

    def call(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)

    def keep(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield

    reentrant: Any = checkpoint.CheckpointFunction
    name = "_checkpoint_without_reentrant_generator"
    inherited, kept = "apply" not in vars(reentrant), getattr(checkpoint, name, None)
    if not inherited or kept is None:  # within another body, or another version of torch
        yield
        return
    reentrant.apply = staticmethod(call)
    setattr(checkpoint, name, keep)
    try:
        yield
    finally:
        del reentrant.apply
        setattr(checkpoint, name, kept)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the same random numbers in the body every time, and leave the generators as found.

    Args:
        seed: Seed of the generators of torch (CPU and CUDA), NumPy and Python inside the body.

    Yields:
        Nothing.
    """
    with same_generators():
        _seed_torch(seed)
        random.seed(seed)
        numpy: Any = sys.modules.get("numpy")
        if numpy:
            numpy.random.seed(seed)
        yield


def _seed_torch(seed: int) -> None:
    """Seed the generators in use; `torch.manual_seed` keeps a call in mind for those that are not.

    On a machine without a GPU that call, with its stack, is kept for ever, each time.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def same_generators() -> Iterator[None]:
    """Leave the generators of torch (CPU and CUDA), NumPy and Python as they were.

    Yields:
        Nothing.
    """
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


@contextmanager
def same_attributes(model: nn.Module) -> Iterator[None]:
    """Restore what modules hold, but for the values of their weights.

    It is what a play leaves behind that is taken away again: caches, counters, hooks, the mode.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    containers, cached = _held([module.__dict__ for module in model.modules()])
    weights = {id(parameter) for parameter in model.parameters()}
    saved = [(t, t.detach().clone()) for t in cached if id(t) not in weights]
    try:
        yield
    finally:
        for container, items in containers:
            _refill(container, items)
        for tensor, value in saved:
            _write_back(tensor, value)


def copyable(model: nn.Module) -> dict[int, Any]:
    """Return a memo with which `deepcopy` copies a model that keeps results of its forward pass.

    A tensor with a graph has no deep copy; its value is copied instead.

    Args:
        model: Any module.
    """
    _, cached = _held([module.__dict__ for module in model.modules()])
    return {id(t): t.detach().clone() for t in cached if not t.is_leaf}


def redraw(model: nn.Module) -> None:
    """Draw all weights afresh, as their modules do when they are made.

    The entries of a matrix that no module can reset change places, which keeps their size; what is
    not finite becomes small noise.

    Args:
        model: Changed in place.
    """
    with seeded(0), torch.no_grad():
        for module in model.modules():
            reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                if parameter.dim() > 1:
                    order = torch.randperm(parameter.numel()).to(parameter.device)
                    parameter.copy_(parameter.flatten()[order].view_as(parameter))
        for parameter in model.parameters():
            if not bool(torch.isfinite(parameter).all()):
                parameter.copy_(0.02 * torch.randn(parameter.shape).to(parameter))


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
