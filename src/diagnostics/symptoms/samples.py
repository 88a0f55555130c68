"""Do samples stay apart: within a batch, and from one batch to the next.

A sample is played twice, beside other neighbours: in evaluation mode its outputs must be the same.
A batch is played twice: if what came before it matters, a module carries state.

B samples of a batch; an output is looked at along its axis of size B, or along the axis into which
B was merged.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .masks import map_tensors, tensors_in
from .playback import Call, Playback, flatten, play

SAME = 1e-4
"""Difference relative to an output's size up to which it is the same but for rounding."""

PICKS = frozenset({"getitem", "__getitem__", "gather", "index_select", "take_along_dim"})
"""Functions that pick out of a tensor and add nothing up."""

MEETINGS = frozenset({"matmul", "mm", "bmm", "addmm", "einsum", "sparse_mm"})
"""Products in which samples of a batch can meet."""

LossFunction = Callable[[Any, Any], Tensor]


def sample_axes(batch: Any) -> tuple[int, list[int | None]] | None:
    """Find the axis of the samples in every tensor of a batch.

    Returns:
        The number of samples and the axis per tensor (None for a tensor without samples), in the
        order of `tensors_in`; None where shapes do not tell.

    >>> sample_axes((torch.zeros(10, 4, 3), torch.zeros(4)))
    (4, [1, 0])
    """
    shapes = [tuple(tensor.shape) for tensor in tensors_in(batch)]
    shaped = [shape for shape in shapes if shape]
    if not shaped:
        return None
    first = {shape[0] for shape in shaped}
    if len(first) > 1:
        first = {size for size in shaped[0] if all(shape.count(size) == 1 for shape in shaped)}
    if len(first) != 1 or first == {1}:
        return None
    (size,) = first
    return size, [shape.index(size) if size in shape else None for shape in shapes]


def change_tensors(batch: Any, change: Callable[[int, Tensor], Tensor]) -> Any:
    """Rebuild a batch with every tensor changed, by its position in `tensors_in`."""
    position = iter(range(len(tensors_in(batch))))
    return map_tensors(batch, lambda tensor: change(next(position), tensor))


def with_other_neighbours(batch: Any, sample: int) -> Any:
    """Keep one sample where it is and put half of the others, twice, in place of all others."""
    found = sample_axes(batch)
    assert found is not None
    count, axes = found
    others = [i for i in range(count) if i != sample]
    places = torch.arange(count)
    places[others] = torch.tensor([others[(i + len(others)) // 2] for i in range(len(others))])

    def change(position: int, tensor: Tensor) -> Tensor:
        axis = axes[position]
        return tensor if axis is None else tensor.index_select(axis, places.to(tensor.device))

    return change_tensors(batch, change)


def slices(tensor: Tensor, size: int, index: int) -> Iterator[tuple[int, Tensor]]:
    """Yield what may be one of `size` samples: along axes of that size, else in a merged one."""
    whole = [axis for axis, length in enumerate(tensor.shape) if length == size]
    for axis in whole:
        yield axis, tensor.select(axis, index)
    if whole or not tensor.dim() or tensor.shape[0] % size or not tensor.numel():
        return
    merged = tensor.reshape(size, -1, *tensor.shape[1:])
    yield 0, merged[index]
    merged = tensor.reshape(-1, size, *tensor.shape[1:])
    yield 0, merged[:, index]


def stays_apart(before: Tensor, after: Tensor, size: int, index: int) -> bool | None:
    """Return whether some slice of one sample is the same in both; None if no axis fits.

    >>> x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [5.0, 6.0]])
    >>> stays_apart(x, y, 2, 0), stays_apart(x.cumsum(0), y.cumsum(0), 2, 1)
    (True, False)
    """
    if before.shape != after.shape or not before.is_floating_point():
        return None
    pairs = [
        is_same(one, other)
        for (_, one), (_, other) in zip(
            slices(before, size, index), slices(after, size, index), strict=True
        )
    ]
    return any(pairs) if pairs else None


def is_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal but for rounding; NaN equals NaN."""
    one, other = one.detach(), other.detach()
    if one.shape != other.shape:
        return False
    size = torch.nan_to_num(one, 0.0, 0.0, 0.0).abs().max() if one.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=float(SAME * size), equal_nan=True)


def outputs_of(playback: Playback, size: int) -> list[Call]:
    """Return the outermost modules' returns that hold an axis of samples."""
    returns = [
        c for c in playback.calls if not c.function and any(_fits(t, size) for t in c.outputs)
    ]
    least = min((call.depth for call in returns), default=0)
    return [call for call in returns if call.depth == least]


def _fits(tensor: Tensor, size: int) -> bool:
    return bool(tensor.dim()) and any(length % size == 0 and length for length in tensor.shape)


@dataclass
class Mixing:
    """Samples that influence each other.

    Args:
        sample: Which sample was watched, of how many.
        module: The first module at whose output they are mixed, or whose forward mixes them.
        kind: Its class.
        function: The function that does it; empty for the module itself.
        shape: Shape of what it returned.
        dim: The dimension the function worked along, where it has one.
        line: Where it is called.
        change: Largest change of the sample's output relative to the output's size.
        batch_first: The module's setting, where it has one.
    """

    sample: int
    samples: int
    module: str
    kind: str
    function: str
    shape: tuple[int, ...]
    dim: Any
    line: str
    change: float
    batch_first: bool | None = None


def find_mixing(model: nn.Module, batch: Any, loss_fn: LossFunction) -> Mixing | None:
    """Give a sample other neighbours and look for the first call whose result for it changes."""
    found = sample_axes(batch)
    if found is None or found[0] < 3:
        return None
    size, sample = found[0], found[0] // 2
    other = with_other_neighbours(batch, sample)
    before = play(model, batch, loss_fn, functions=False)
    after = play(model, other, loss_fn, functions=False)
    mixed = [
        pair
        for pair in zip(outputs_of(before, size), outputs_of(after, size), strict=False)
        if _mixes(*pair, size, sample)
    ]
    if not mixed or batch_statistics(model):
        return None
    first, second = (play(model, b, loss_fn) for b in (batch, other))
    pairs = list(zip(first.calls, second.calls, strict=False))
    call = next((one for one, two in pairs if _mixes(one, two, size, sample)), mixed[0][0])
    if any(_draws(one, size) for one in _up_to(call, first.calls)):
        return None  # parts are drawn from the samples: from there on none has a place of its own
    if _relates(call, batch, size):
        return None
    module = model.get_submodule(call.module)
    batch_first = getattr(module, "batch_first", None)
    return Mixing(
        sample,
        size,
        call.module,
        type(module).__name__,
        "" if isinstance(batch_first, bool) else call.function,
        tuple(call.outputs[0].shape),
        call.dim,
        call.line,
        _change(*mixed[0], size, sample),
        batch_first if isinstance(batch_first, bool) else None,
    )


def _up_to(last: Call, calls: Sequence[Call]) -> Iterator[Call]:
    for call in calls:
        yield call
        if call is last:
            return


def _relates(call: Call, batch: Any, size: int) -> bool:
    """Return whether samples meet through a matrix of the batch that says which belong together.

    The nodes of a graph come with such a matrix, and are meant to know their neighbours.
    """
    matrices = {id(t) for t in tensors_in(batch) if tuple(t.shape) == (size, size)}
    return call.function in MEETINGS and any(id(t) in matrices for t in call.tensors)


def _draws(call: Call, size: int) -> bool:
    """Return whether a call picks by a tensor of places, and returns what is no longer by sample.

    A library for forecasting draws windows from its series in this way, and then what had been the
    axis of the samples may be one of channels, which mix on purpose.
    """
    places = any(not t.is_floating_point() and t.dim() for t in call.tensors)
    shape = call.outputs[0].shape if call.outputs else ()
    return call.function in PICKS and places and len(shape) > 0 and shape[0] != size


def _mixes(one: Call, two: Call, size: int, sample: int) -> bool:
    """Return whether a call gives a sample something else beside other neighbours."""
    if (one.function, one.module) != (two.function, two.module):
        return False
    apart = [
        stays_apart(a, b, size, sample) for a, b in zip(one.outputs, two.outputs, strict=False)
    ]
    return any(verdict is False for verdict in apart) and not any(apart)


def _change(one: Call, two: Call, size: int, sample: int) -> float:
    a, b = one.outputs[0].detach(), two.outputs[0].detach()
    pairs = zip(slices(a, size, sample), slices(b, size, sample), strict=True)
    least = min(float((x - y).abs().max()) for (_, x), (_, y) in pairs)
    return least / max(float(a.abs().max()), 1e-12)


def batch_statistics(model: nn.Module) -> bool:
    """Return whether a normalisation takes its statistics from the batch even in evaluation."""
    norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return any(norm.running_mean is None for norm in norms)


@dataclass
class Carried:
    """State that one batch leaves for the next.

    Args:
        module: The module that keeps it; empty for the model itself.
        attribute: Name of the attribute.
        kind: Class of the module.
        change: Largest change of an output when a batch is played again, relative to its size; NaN
            where that raises.
        error: What that raised, if it did.
        attached: Whether the state still hangs on the graph of the batch that left it.
        stuck: Whether the model was found with such a state, so that no batch can be replayed
            before it is taken away.
        cured: Whether the change is gone once this attribute is put back in between.
    """

    module: str
    attribute: str
    kind: str
    change: float
    error: str = ""
    attached: bool = False
    cured: bool = False
    stuck: bool = False


Place = tuple[str, str]


def state_of(model: nn.Module) -> dict[Place, tuple[Tensor, ...]]:
    """Return the tensors in every module's attributes that are neither weights nor buffers."""
    return {
        (name, key): tuple(flatten(value))
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in ("_parameters", "_buffers", "_modules")
    }


def find_carried(model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction) -> Carried | None:
    """Play a batch, others after it, and the batch again: its outputs must be the same."""
    start = state_of(model)
    held = {name: dict(vars(module)) for name, module in model.named_modules()}
    try:
        first = _play_back(model, batches[0], loss_fn)
    except RuntimeError as problem:
        return _stuck(model, batches[0], loss_fn, problem)
    moved = [
        place
        for place, tensors in state_of(model).items()
        if [id(t) for t in tensors] != [id(t) for t in start.get(place, ())]
    ]
    if not moved:
        return None
    left = {place: vars(model.get_submodule(place[0]))[place[1]] for place in moved}
    change, error = _compare(first, model, batches, loss_fn)
    if not error and change <= SAME:
        return None
    for module, attribute in moved:
        for (name, key), value in left.items():
            vars(model.get_submodule(name))[key] = value
        vars(model.get_submodule(module))[attribute] = held[module].get(attribute)
        again, raised = _compare(first, model, batches[:1], loss_fn)
        cured = not raised and again <= SAME
        if cured or len(moved) == 1:
            break
    attached = any(t.grad_fn is not None for t in flatten(left[module, attribute]))
    kind = type(model.get_submodule(module)).__name__
    return Carried(module, attribute, kind, change, error, attached, cured)


def _stuck(
    model: nn.Module, batch: Any, loss_fn: LossFunction, problem: RuntimeError
) -> Carried | None:
    """Take away what was left with a graph, or of another batch's size, and try once more."""
    for (name, key), tensors in state_of(model).items():
        if not any(t.grad_fn is not None for t in tensors):
            continue
        module = model.get_submodule(name)
        kept = vars(module)[key]
        vars(module)[key] = None
        try:
            _play_back(model, batch, loss_fn)
        except Exception:
            vars(module)[key] = kept
            continue
        error, kind = str(problem).splitlines()[0][:200], type(module).__name__
        return Carried(name, key, kind, math.nan, error, attached=True, cured=True, stuck=True)
    raise problem


def _play_back(model: nn.Module, batch: Any, loss_fn: LossFunction) -> Playback:
    playback = play(model, batch, loss_fn, functions=False, keep_state=True)
    weights = [p for p in model.parameters() if p.requires_grad]
    if playback.loss is not None and playback.loss.requires_grad and weights:
        torch.autograd.grad(playback.loss.sum(), weights, allow_unused=True)
    return playback


def _compare(
    first: Playback, model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction
) -> tuple[float, str]:
    """Play other batches, and the first again; return how much the first's outputs change."""
    try:
        for batch in batches[1:2]:
            _play_back(model, batch, loss_fn)
        second = _play_back(model, batches[0], loss_fn)
    except RuntimeError as problem:
        return math.nan, str(problem).splitlines()[0][:200]
    returns = [[c for c in p.calls if not c.depth] for p in (first, second)]
    changes = [
        _relative(a, b)
        for one, two in zip(*returns, strict=False)
        for a, b in zip(one.outputs, two.outputs, strict=False)
    ]
    return max(changes, default=0.0), ""


def _relative(one: Tensor, other: Tensor) -> float:
    one, other = one.detach(), other.detach()
    if one.shape != other.shape:
        return math.inf
    if not one.numel() or is_same(one, other):
        return 0.0
    return float((one - other).abs().max()) / max(float(one.abs().max()), 1e-12)
