"""The costlier look at gradients, on a sparser schedule.

Rows, columns, directions among the columns, magnitudes, and the size of updates.

R rows (output units), C columns (inputs), K the kernel's entries (1 for a linear layer).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ..gradient import ZeroShape, count_distinct_columns, zero_shape_of_counts
from .async_copy import Pending

LOWEST_EXPONENT, HIGHEST_EXPONENT = -64, 16
NUM_BINS = HIGHEST_EXPONENT - LOWEST_EXPONENT + 3
"""Histogram bins: exact zeros, one per exponent floor(log2 |g|) (the outermost take what lies
beyond), and what is not finite."""
NUM_EXPONENTS = 256
"""Values of the eight exponent bits of a float32."""


@dataclass(frozen=True)
class GradientDetails:
    """One gradient in detail, on the host.

    Args:
        shape: (R, C, K); C is 0 for a vector.
        nonzero: count of entries that are not zero.
        distinct_columns: directions among the columns; None where they were not counted.
        magnitudes: counts per bin of log2 |g|, see `NUM_BINS`.
        row_max: (R,) largest magnitude of each row. Likewise `column_max` (C,).
        row_norm: (R,) L2 norm of each row. Likewise `column_norm` (C,).
    """

    shape: tuple[int, int, int]
    nonzero: int
    distinct_columns: int | None
    magnitudes: tuple[int, ...]
    row_max: Tensor
    column_max: Tensor
    row_norm: Tensor
    column_norm: Tensor

    @cached_property
    def zeros(self) -> ZeroShape:
        """Its zeros by the shape that explains them."""
        rows, columns, kernel = self.shape
        zeros = rows * max(columns, 1) * kernel - self.nonzero
        return zero_shape_of_counts(self.shape, zeros, self.row_max == 0, self.column_max == 0)

    def summary(self) -> dict[str, float | int | None]:
        """Return what its zeros look like, as plain numbers."""
        return {
            "zero_fraction": 1 - self.nonzero / self.zeros.entries,
            **self.zeros.shares,
            "distinct_columns": self.distinct_columns,
            "norm": float(self.row_norm.norm()),
        }


@dataclass(frozen=True)
class DetailMeasurement:
    """Details of all dense gradients of one optimiser step."""

    step: int
    parameters: dict[str, GradientDetails]


def measure_details(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    step: int,
    *,
    scale: Tensor | None = None,
    max_columns: int = 256,
) -> Pending[DetailMeasurement]:
    """Measure rows, columns, distinct directions and magnitudes of every dense gradient.

    A gradient sharded over ranks (DTensor) is gathered first, so all ranks must call this together.

    Args:
        named_parameters: parameters to measure; sparse and missing gradients are left out.
        step: optimiser steps done before this one.
        scale: loss scale that the gradients still carry, one value on the device; None for none.
        max_columns: directions are counted for weights of up to so many columns; the cost grows
            with the square of their number.

    Returns:
        The details, pending.
    """
    names: list[str] = []
    shapes: list[tuple[int, int, int]] = []
    integers: list[Tensor] = []
    floats: list[Tensor] = []
    for name, parameter in named_parameters:
        grad = parameter.grad
        if not parameter.requires_grad or grad is None or grad.is_sparse or not grad.numel():
            continue
        cells, columns = _cells(grad.detach())
        cells = cells if scale is None else cells / scale.to(cells)
        integers += _integers(cells, 0 < columns <= max_columns)
        floats += _rows_and_columns(cells, columns)
        names.append(name)
        shapes.append((cells.shape[0], columns, cells.shape[2]))
    home = integers[0].device if integers else torch.device("cpu")
    return Pending(
        torch.cat([torch.zeros(0, dtype=torch.int64, device=home), *_at(home, integers)]),
        torch.cat([torch.zeros(0, device=home), *_at(home, floats)]),
        partial(_unpack, step, names, shapes),
    )


def _unpack(
    step: int,
    names: list[str],
    shapes: list[tuple[int, int, int]],
    integers: Tensor,
    floats: Tensor,
) -> DetailMeasurement:
    """Turn the packed numbers of one measurement back into its details."""
    counts = integers.view(-1, 2 + NUM_EXPONENTS)
    magnitudes = fold_exponents(counts[:, 2:], counts[:, 0]).tolist()
    sizes = [size for rows, columns, _ in shapes for size in (rows, columns, rows, columns)]
    parts = iter(floats.split(sizes))
    parameters = {}
    for i, (nonzero, distinct) in enumerate(counts[:, :2].tolist()):
        parameters[names[i]] = GradientDetails(
            shapes[i],
            nonzero,
            distinct if distinct >= 0 else None,
            tuple(magnitudes[i]),
            *(next(parts) for _ in range(4)),
        )
    return DetailMeasurement(step, parameters)


def _cells(grad: Tensor) -> tuple[Tensor, int]:
    """View a gradient as (R, max(C, 1), K); return it with C, which is 0 for a vector."""
    if isinstance(grad, DTensor):
        grad = grad.full_tensor()
    grad = torch.view_as_real(grad) if grad.is_complex() else grad
    if grad.dim() < 2:
        return grad.reshape(-1, 1, 1), 0
    return grad.reshape(grad.shape[0], grad.shape[1], -1), grad.shape[1]


def _integers(cells: Tensor, count_directions: bool) -> list[Tensor]:
    """Return the count of non-zero entries, of directions (-1 if not asked), and of exponents."""
    nonzero = torch.count_nonzero(cells)
    if count_directions and cells.device.type != "mps":  # which has no float64
        directions = count_distinct_columns(cells)
    else:
        directions = torch.full_like(nonzero, -1)
    return [nonzero.view(1), directions.view(1), count_exponents(cells)]


def _rows_and_columns(cells: Tensor, columns: int) -> list[Tensor]:
    """Return row maxima (R,), column maxima (C,), row norms (R,) and column norms (C,)."""
    sizes = cells.abs().float()
    squares = sizes.square()
    column_max, column_norm = sizes.amax((0, 2)), squares.sum((0, 2)).sqrt()
    rows = sizes.amax((1, 2)), squares.sum((1, 2)).sqrt()
    return [rows[0], column_max[:columns], rows[1], column_norm[:columns]]


def _at(device: torch.device, tensors: list[Tensor]) -> list[Tensor]:
    return [t if t.device == device else t.to(device, non_blocking=True) for t in tensors]


def count_exponents(values: Tensor) -> Tensor:
    """Count values by the exponent that a float32 stores: one shift and one mask of its bits.

    Args:
        values: floating-point values of any shape.

    Returns:
        (NUM_EXPONENTS,) int64: zeros and denormals at 0, exponent e at e + 127, not finite at 255.
    """
    exponents = (values.flatten().float().view(torch.int32) >> 23) & 255
    if exponents.device.type == "cpu":
        return torch.bincount(exponents, minlength=NUM_EXPONENTS)
    counts = torch.zeros(NUM_EXPONENTS, dtype=torch.int64, device=exponents.device)
    return counts.scatter_add_(0, exponents.long(), torch.ones_like(exponents).long())


def fold_exponents(counts_pe: Tensor, nonzero_p: Tensor) -> Tensor:
    """Turn exponents' counts into histograms of magnitudes.

    Args:
        counts_pe: (P, NUM_EXPONENTS) as of `count_exponents`.
        nonzero_p: (P,) how many of the values are not zero.

    Returns:
        (P, NUM_BINS): exact zeros; exponents from `LOWEST_EXPONENT` to `HIGHEST_EXPONENT`, of which
        the outermost take what lies beyond; infinities and NaN.

    >>> values = torch.tensor([0.0, 1.0, -1.5, 0.25, float("inf")])
    >>> (bins,) = fold_exponents(count_exponents(values)[None], torch.tensor([4]))
    >>> bins[0], bins[1 + 0 - LOWEST_EXPONENT], bins[1 - 2 - LOWEST_EXPONENT], bins[-1]
    (tensor(1), tensor(2), tensor(1), tensor(1))
    """
    low, high = LOWEST_EXPONENT + 127, HIGHEST_EXPONENT + 127
    zeros = counts_pe.sum(1, keepdim=True) - nonzero_p[:, None]
    lowest = counts_pe[:, : low + 1].sum(1, keepdim=True) - zeros
    highest = counts_pe[:, high:255].sum(1, keepdim=True)
    middle = counts_pe[:, low + 1 : high]
    return torch.cat([zeros, lowest, middle, highest, counts_pe[:, 255:]], dim=1)


class UpdateMeter:
    """Measure how far one optimiser step moves every parameter, relative to its size.

    Args:
        named_parameters: parameters to watch; their values are copied until `finish` is called.
    """

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        trained = [(name, p) for name, p in named_parameters if p.requires_grad and p.numel()]
        self._names = [name for name, _ in trained]
        self._after = [_local(p) for _, p in trained]
        self._before = [p.clone() for p in self._after]

    def finish(self) -> Pending[dict[str, float]]:
        """Compare with the values now, after the step.

        Returns:
            |after - before| / |before| by name, pending; a weight that was zero is left out. Of a
            sharded parameter this rank's shard is compared.
        """
        moved = torch._foreach_sub(self._after, self._before)
        norms = [*torch._foreach_norm(moved, 2), *torch._foreach_norm(self._before, 2)]
        names, count = self._names, len(self._names)
        self._after, self._before = [], []

        def ratios(_: Tensor, floats: Tensor) -> dict[str, float]:
            pairs = zip(names, floats[:count].tolist(), floats[count:].tolist(), strict=True)
            return {name: step / size for name, step, size in pairs if size}

        if not norms:
            return Pending(torch.zeros(0, dtype=torch.int64), torch.zeros(0), ratios)
        floats = torch.stack(_at(norms[0].device, norms))
        return Pending(torch.zeros(0, dtype=torch.int64, device=floats.device), floats, ratios)


def _local(parameter: nn.Parameter) -> Tensor:
    values = parameter.detach()
    return values.to_local() if isinstance(values, DTensor) else values
