"""Measure the gradients of all parameters at once, without waiting for the device.

Gradients are measured as they lie in `.grad`. Under distributed data parallelism they are already
averaged. Sharded ones (DTensor, or the flat shards of FSDP) are counted where they lie, then counts
are summed and maxima maxed over the ranks that hold the shards. A fused optimiser under fp16 mixed
precision unscales inside its step, so its gradients still carry the loss scale here and have to be
divided by it (`unscale`).

On a CPU with a small model the number of kernel calls is the cost, on a GPU it would be waiting:
hence multi-tensor kernels, and one packed copy for everything.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .async_copy import Pending

ProcessGroups = tuple[Any, ...]


class GradientStats(NamedTuple):
    """One measured gradient; a sparse one counts only the entries of the rows it touched."""

    entries: int
    nonzero: int
    nonfinite: int
    norm: float
    max_abs: float
    touched_rows: int | None = None

    @property
    def zero_fraction(self) -> float:
        """Share of the entries that are exactly zero."""
        return 1 - self.nonzero / self.entries if self.entries else 0.0


@dataclass(frozen=True)
class Measurement:
    """All gradients of one optimiser step; `missing` names the parameters whose `grad` is None."""

    step: int
    parameters: dict[str, GradientStats]
    missing: tuple[str, ...] = ()
    loss_scale: float | None = None

    @property
    def total_norm(self) -> float:
        """L2 norm of all gradients taken together."""
        return sum(stats.norm**2 for stats in self.parameters.values()) ** 0.5


class _Slot(NamedTuple):
    """The part of one gradient that lies on this rank; `entries` counts this part only."""

    name: str
    values: Tensor
    entries: int
    touched_rows: int | None = None
    shards: ProcessGroups = ()


@dataclass(frozen=True)
class _Reader:
    """Turns the packed numbers of one measurement back into a `Measurement`."""

    step: int
    slots: Sequence[_Slot]
    missing: tuple[str, ...]
    has_scale: bool
    unscale: bool

    def __call__(self, integers_packed: Tensor, floats_packed: Tensor) -> Measurement:
        integers, floats = integers_packed.tolist(), floats_packed.tolist()
        count = len(self.slots)
        loss_scale = floats[-1] if self.has_scale else None
        divisor = loss_scale if self.unscale and loss_scale else 1.0
        sharded_entries = iter(integers[2 * count :])
        parameters, missing = {}, list(self.missing)
        for i, slot in enumerate(self.slots):
            entries = next(sharded_entries) if slot.shards else slot.entries
            if entries:
                norm, max_abs = floats[i] / divisor, floats[count + i] / divisor
                parameters[slot.name] = GradientStats(
                    entries, integers[i], integers[count + i], norm, max_abs, slot.touched_rows
                )
            else:
                missing.append(slot.name)
        return Measurement(self.step, parameters, tuple(missing), loss_scale)


def measure_gradients(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    step: int,
    *,
    scale: Tensor | None = None,
    unscale: bool = False,
    shard_group: Any = None,
) -> Pending[Measurement]:
    """Count, sum and max every gradient, in one asynchronous copy.

    Args:
        named_parameters: parameters to measure; those that do not require a gradient are left out.
        step: optimiser steps done before this one.
        scale: the gradient scaler's scale, one value on the device, reported with the measurement.
        unscale: whether the gradients still carry that scale.
        shard_group: process group over which every gradient is a flat shard (FSDP with flat
            parameters); DTensor gradients name theirs themselves.

    Returns:
        The measurement, pending.
    """
    slots: list[_Slot] = []
    missing: list[str] = []
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        if shard_group is not None:
            slots.append(_flat_shard(name, parameter, shard_group))
        elif parameter.grad is None:
            missing.append(name)
        else:
            slots.append(_slot(name, parameter.grad.detach()))
    # Gradients that are reduced over the same ranks lie side by side.
    slots.sort(key=lambda slot: [id(group) for group in slot.shards])
    integers, floats = (
        _pack(slots) if slots else (torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    )
    if scale is not None:
        floats = torch.cat([floats.to(scale.device), scale.detach().to(floats.dtype).flatten()])
        integers = integers.to(scale.device)
    reader = _Reader(step, slots, tuple(missing), scale is not None, unscale)
    return Pending(integers, floats, reader)


def _slot(name: str, grad: Tensor) -> _Slot:
    """Return the values that a gradient has on this rank."""
    if isinstance(grad, DTensor):
        mesh, local = grad.device_mesh, grad.to_local()
        shards = [mesh.get_group(i) for i, p in enumerate(grad.placements) if p.is_shard()]
        return _Slot(name, _never_empty(local), local.numel(), shards=tuple(shards))
    if grad.is_sparse:
        values = grad.coalesce().values()
        return _Slot(name, _never_empty(values), values.numel(), len(values))
    values = torch.view_as_real(grad) if grad.is_complex() else grad
    return _Slot(name, _never_empty(values), values.numel())


def _flat_shard(name: str, parameter: nn.Parameter, group: Any) -> _Slot:
    grad = parameter.grad
    values = torch.zeros(0, device=parameter.device) if grad is None else grad.detach()
    return _Slot(name, _never_empty(values), values.numel(), shards=(group,))


def _never_empty(values: Tensor) -> Tensor:
    """Put a zero where there is nothing: kernels for maxima refuse empty tensors."""
    return values if values.numel() else values.new_zeros(1)


def _pack(slots: list[_Slot]) -> tuple[Tensor, Tensor]:
    """Return counts (2 P, then one of entries per sharded gradient) and norms and maxima (2 P)."""
    counts, floats, entries = [], [], []
    for shards, group in itertools.groupby(slots, key=lambda slot: slot.shards):
        members = list(group)
        values = [slot.values for slot in members]
        group_counts, group_floats = _statistics(values)
        if shards:
            sizes = torch.stack([torch.full_like(group_counts[0, 0], s.entries) for s in members])
            entries.append(_sum_over(sizes, shards))
            group_counts = _sum_over(group_counts, shards)
            squares = _sum_over(group_floats[0].double().square(), shards)
            for shard in shards:
                dist.all_reduce(group_floats[1], dist.ReduceOp.MAX, shard)
            group_floats = torch.stack([squares.sqrt().float(), group_floats[1]])
        counts.append(group_counts)
        floats.append(group_floats)
    both = torch.cat(counts, dim=1).flatten(), torch.cat(floats, dim=1).flatten()
    return torch.cat([both[0], *entries]), both[1]


def _statistics(values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return (2, P) counts of non-zero and non-finite entries, and (2, P) norms and maxima."""
    on_cpu = values[0].device.type == "cpu"
    half = any(v.dtype in (torch.float16, torch.bfloat16) for v in values)
    norms = torch._foreach_norm(values, 2, dtype=torch.float32 if half else None)
    if on_cpu:  # the infinity norm has no vectorised CPU kernel
        maxima = torch._foreach_max(torch._foreach_abs(values))
    else:
        maxima = torch._foreach_norm(values, float("inf"))
    floats = _stack([*norms, *maxima])
    counts = [torch.count_nonzero(v) for v in values]
    if on_cpu and bool(floats[1].isfinite().all()):
        return torch.stack(
            [torch.stack(counts), torch.zeros(len(values), dtype=torch.int64)]
        ), floats
    # g * 0 is zero where g is finite and NaN elsewhere, and NaN counts as non-zero.
    nonfinite = [torch.count_nonzero(v) for v in torch._foreach_mul(values, 0.0)]
    return _stack([*counts, *nonfinite]), floats


def _stack(scalars: list[Tensor]) -> Tensor:
    """Stack two rows of scalars, from several devices where the model lies on several."""
    home = scalars[0].device
    return torch.stack(
        [s if s.device == home else s.to(home, non_blocking=True) for s in scalars]
    ).view(2, -1)


def _sum_over(values: Tensor, groups: ProcessGroups) -> Tensor:
    for group in groups:
        dist.all_reduce(values, group=group)
    return values
