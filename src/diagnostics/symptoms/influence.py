"""What outputs depend on: features, steps, padding, the future.

The gradient of an output with respect to an input it must not see is exactly zero, and so is that
with respect to an input it ignores.
Shapes: B samples, T steps, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .masks import padding_steps, tensors_in
from .playback import FILLERS, Call, Playback, play
from .samples import LossFunction, change_tensors, outputs_of, sample_axes

MOST = 0.5
"""Share of the steps without influence from which on a model reads too little of its window."""


@dataclass
class Ignored:
    """Entries of an input that no output depends on.

    Args:
        position: Which tensor of the batch.
        shape: Its shape.
        axis: The axis of features, or of steps.
        indices: Those without influence.
        steps: Whether the axis is that of steps.
        line: Where they are lost, if a call that drops them was seen.
        module: The module in whose forward that is.
        chosen: Whether that call takes the others by a list of their places, which is a choice.
    """

    position: int
    shape: tuple[int, ...]
    axis: int
    indices: tuple[int, ...]
    steps: bool
    line: str = ""
    module: str = ""
    chosen: bool = False


def input_influence(
    model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction
) -> dict[int, Tensor]:
    """Sum the size of random outputs' gradients over samples and batches.

    Returns:
        Position in `tensors_in` -> (rest of the shape without samples,) influence, for the tensors
        on which some output depends.
    """
    found: dict[int, Tensor] = {}
    for batch in batches:
        axes = sample_axes(batch)
        if axes is None:
            return {}
        leaves: dict[int, Tensor] = {}

        def attach(position: int, tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point() or tensor.dim() < 2:
                return tensor
            leaves[position] = tensor.detach().clone().requires_grad_(True)  # noqa: B023
            return leaves[position].view_as(tensor)  # noqa: B023

        with torch.enable_grad():
            attached = change_tensors(batch, attach)
            playback = play(model, attached, loss_fn, functions=False)
            total = _random_sum(outputs_of(playback, axes[0]))
        if total is None or not leaves:
            return {}
        grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        for position, grad in zip(leaves, grads, strict=True):
            axis = axes[1][position]
            if grad is None or axis is None or not bool(torch.isfinite(grad).all()):
                continue
            size = grad.abs().double().sum(axis)
            known = found.get(position)
            if known is None or known.shape == size.shape:
                found[position] = size if known is None else known + size
    return {position: size for position, size in found.items() if bool(size.any())}


def _random_sum(calls: Sequence[Call]) -> Tensor | None:
    generator = torch.Generator().manual_seed(0)
    total = None
    for output in (t for call in calls for t in call.outputs if t.requires_grad):
        weight = 0.5 + torch.rand(output.shape, generator=generator)
        part = (output * weight.to(output)).sum()
        total = part if total is None else total + part
    return total


def find_ignored(model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction) -> list[Ignored]:
    """Find features, and steps in their majority, that no output depends on."""
    influence = input_influence(model, batches, loss_fn)
    found = []
    for position, size in influence.items():
        tensors = [tensors_in(batch)[position] for batch in batches]
        for axis, length in enumerate(size.shape):
            others = [other for other in range(size.dim()) if other != axis]
            silent = ~(size.sum(others) if others else size).bool()
            steps = size.dim() > 1 and axis < size.dim() - 1
            dead = torch.nonzero(silent).flatten().tolist()
            dead = [i for i in dead if _varies(tensors, axis + 1, i)]
            if dead and (not steps or len(dead) > MOST * length):
                shape = tuple(tensors[0].shape)
                found.append(Ignored(position, shape, axis + 1, tuple(dead), steps))
    for ignored in found:
        playback = play(model, batches[0], loss_fn)
        call = _where_lost(playback, ignored)
        if call is not None:
            ignored.module, ignored.line = call.module, call.line
            ignored.chosen = not ignored.steps and _by_list(call)
    return found


def _by_list(call: Call) -> bool:
    """Return whether a call picks by a list of places, [3, 5], and not by a range of them."""
    if call.function == "index_select":
        return True
    places = call.args[1] if call.function == "getitem" and len(call.args) > 1 else None
    last = places[-1] if isinstance(places, tuple) and places else places
    return isinstance(last, list) or (isinstance(last, Tensor) and last.dim() == 1)


def _varies(tensors: Sequence[Tensor], axis: int, index: int) -> bool:
    entries = [t.select(axis, index) for t in tensors if index < t.shape[axis]]
    return any(bool((entry != entry.flatten()[0]).any()) for entry in entries if entry.numel())


def has_flat_entries(batches: Sequence[Any]) -> bool:
    """Return whether some feature or step of the data is the same in all samples, and not 1.

    A mask that hides nothing is 1 throughout, and makes no input of a layer zero.

    >>> has_flat_entries([torch.tensor([[1.0, 2.0], [3.0, 2.0]])]), has_flat_entries([torch.eye(2)])
    (True, False)
    """
    for tensors in zip(*(tensors_in(batch) for batch in batches), strict=False):
        known = [t for t in tensors if t.is_floating_point() and t.dim() > 1 and t.numel()]
        for axis in range(1, min((t.dim() for t in known), default=0)):
            rows = [t.movedim(axis, 0).flatten(1) for t in known]
            first = rows[0][:, :1]
            alike = [((r == f) & (f != 1)).all(1) for r, f in _paired(rows, first)]
            shortest = min(len(flags) for flags in alike)
            if bool(torch.stack([flags[:shortest] for flags in alike]).all(0).any()):
                return True
    return False


def _paired(rows: Sequence[Tensor], first: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(r[: len(first)], first[: len(r)]) for r in rows]


def unfed_modules(playback: Playback, batch: Any) -> frozenset[str]:
    """Return the modules that never get anything computed from the batch; none if none does."""
    data = {id(tensor) for tensor in tensors_in(batch)}
    fed: dict[str, bool] = {}
    for call in playback.calls:
        reached = any(id(tensor) in data for tensor in call.tensors)
        reached = reached and call.function not in FILLERS
        if reached:
            data |= {id(tensor) for tensor in call.results}
        if not call.function and call.tensors:
            fed[call.module] = fed.get(call.module, False) or reached
    if not any(fed.values()):  # it takes another way than that of its tensors
        return frozenset()
    return frozenset(name for name, reached in fed.items() if not reached)


def _where_lost(playback: Playback, ignored: Ignored) -> Call | None:
    """Return the first call that picks from a tensor as long along the axis as the input."""
    length = ignored.shape[ignored.axis]
    for call in playback.calls:
        if call.function not in ("getitem", "select", "narrow", "index_select", "split", "chunk"):
            continue
        source = call.tensors[0] if call.tensors else None
        if source is None or length not in source.shape or not call.outputs:
            continue
        if call.outputs[0].shape.count(length) < source.shape.count(length):
            return call
    return None


@dataclass
class Constant:
    """An output that is the same for all samples."""

    module: str
    shape: tuple[int, ...]
    spread: float
    value: float


def find_constant_output(playback: Playback, batch: Any) -> Constant | None:
    """Find a last output that is the same for all samples though their inputs differ."""
    found = sample_axes(batch)
    if found is None or found[0] < 3:
        return None
    calls = outputs_of(playback, found[0])
    if not calls:
        return None
    output = calls[-1].outputs[0].detach()
    axes = [axis for axis, length in enumerate(output.shape) if length == found[0]]
    if not axes or not bool(torch.isfinite(output).all()):
        return None
    spread = float((output - output.mean(axes[0], keepdim=True)).abs().max())
    size = float(output.abs().max())
    if spread > 1e-6 * size:
        return None
    return Constant(calls[-1].module, tuple(output.shape), spread, float(output.flatten()[0]))


@dataclass
class PaddingRead:
    """Outputs that follow the padding and hardly the real steps.

    Args:
        rows: Samples with padding, of how many.
        change: Change of their outputs when their real steps are exchanged, relative to the change
            when their padding is.
        padded: Share of padding among their steps.
    """

    rows: int
    samples: int
    change: float
    padded: float


def find_padding_read(model: nn.Module, batch: Any, loss_fn: LossFunction) -> PaddingRead | None:
    """Exchange the real steps, then the padding: outputs have to follow the former."""
    padding, found = padding_steps(batch, model), sample_axes(batch)
    if padding is None or found is None or padding.shape[0] != found[0]:
        return None
    rows = padding.any(1) & ~padding.all(1)
    if int(rows.sum()) < 0.5 * found[0] or not _trailing(padding[rows]):
        return None
    if bool((padding == padding[0]).all()) and int(padding[0].sum()) == 1:
        return None  # one step, 0 in all samples: what the others are measured from
    plays = [
        play(model, b, loss_fn, functions=False)
        for b in (batch, *(_exchanged(batch, padding, where) for where in (~padding, padding)))
    ]
    outputs = [_per_sample(p, found[0]) for p in plays]
    if any(o is None for o in outputs):
        return None
    before, real, padded = (o[rows] for o in outputs if o is not None)
    moved, drifted = (float((o - before).abs().mean()) for o in (real, padded))
    if not drifted > 0:
        return None
    share = float(padding[rows].double().mean())
    return PaddingRead(int(rows.sum()), found[0], moved / drifted, share)


def _exchanged(batch: Any, padding: Tensor, where: Tensor) -> Any:
    """Put noise, or tokens of real steps, where a mask (B, T) says."""
    generator = torch.Generator().manual_seed(0)

    def change(_: int, tensor: Tensor) -> Tensor:
        if tensor.shape[:2] != padding.shape or tensor.dim() > 3 or tensor.dtype == torch.bool:
            return tensor
        known = tensor[~padding]
        if tensor.dim() == 2:  # tokens; a mask or per-step targets in floats stay as they are
            drawn = torch.randint(len(known), tensor.shape, generator=generator)
            other = known[drawn.to(known.device)]
            return tensor if tensor.is_floating_point() else torch.where(where, other, tensor)
        if not tensor.is_floating_point():
            return tensor
        noise = torch.randn(tensor.shape, generator=generator).to(tensor) * known.std(0)
        return torch.where(where[..., None], noise, tensor)

    return change_tensors(batch, change)


def _trailing(padding: Tensor) -> bool:
    """Return whether padding comes at the end of most rows."""
    return float(padding[:, -1].double().mean()) > 0.5


def _per_sample(playback: Playback, size: int) -> Tensor | None:
    calls = outputs_of(playback, size)
    if not calls:
        return None
    output = calls[-1].outputs[0].detach()
    return output.double() if output.shape[0] == size else None
