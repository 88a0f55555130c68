"""What one gradient looks like: how much of it is zero, in which shape, in how many directions.

For a linear layer the gradient is G = sum_n delta_n x_n^T. A zero column j means that input j was
zero in the whole batch; a zero row i means that nothing flows back into unit i. What neither
explains is scattered. A zero fraction of 0 with k copies of one column carries the information of
one column, so the number of distinct columns is reported beside every zero fraction.

R rows (output units), C columns (inputs), K the kernel's entries (1 for a linear layer).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ZeroShape:
    """Exact counts of zero entries by the shape that explains them.

    `zeros = rows + columns - intersections + scattered`, where `intersections` are the entries that
    lie in a dead row and in a dead column.
    """

    entries: int
    zeros: int
    rows: int
    columns: int
    intersections: int
    dead_rows: tuple[int, ...]
    dead_columns: tuple[int, ...]

    @property
    def scattered(self) -> int:
        """Zero entries that lie in no dead row and in no dead column."""
        return self.zeros - self.rows - self.columns + self.intersections

    @property
    def fraction(self) -> float:
        """Share of all entries that are zero."""
        return self.zeros / self.entries if self.entries else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Share of all entries in dead rows, in dead columns, and that are zero in neither."""
        counts = {"rows": self.rows, "columns": self.columns, "scattered": self.scattered}
        return {name: count / max(self.entries, 1) for name, count in counts.items()}


def zero_shape(grad: Tensor) -> ZeroShape:
    """Attribute the zeros of a gradient to dead rows, dead columns, or neither.

    Args:
        grad: (R, C, ...) gradient; trailing kernel dimensions belong to their (R, C) cell. A vector
            has rows only.

    Returns:
        Exact counts and the indices of the dead rows and columns.

    >>> zero_shape(torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0]])).dead_columns
    (0,)
    """
    zero = (grad.to_dense() if grad.is_sparse else grad) == 0
    rows = zero.shape[0] if zero.dim() else 1
    columns = zero.shape[1] if zero.dim() > 1 else 0
    kernel = zero.numel() // max(rows * max(columns, 1), 1)
    cells = zero.reshape(rows, max(columns, 1), kernel)
    dead_columns = cells.transpose(0, 1).flatten(1).all(1)[:columns]
    dead_rows = cells.flatten(1).all(1)
    return zero_shape_of_counts((rows, columns, kernel), int(zero.sum()), dead_rows, dead_columns)


def zero_shape_of_counts(
    shape: tuple[int, int, int], zeros: int, dead_rows: Tensor, dead_columns: Tensor
) -> ZeroShape:
    """Attribute zeros that are counted already.

    Args:
        shape: (R, C, K); C is 0 for a vector.
        zeros: Number of entries that are zero.
        dead_rows: (R,) bool, rows that are zero throughout.
        dead_columns: (C,) bool, likewise.
    """
    rows, columns, kernel = shape
    in_rows, in_columns = (
        tuple(torch.nonzero(dead).flatten().tolist()) for dead in (dead_rows, dead_columns)
    )
    return ZeroShape(
        entries=rows * max(columns, 1) * kernel,
        zeros=zeros,
        rows=len(in_rows) * max(columns, 1) * kernel,
        columns=len(in_columns) * rows * kernel,
        intersections=len(in_rows) * len(in_columns) * kernel,
        dead_rows=in_rows,
        dead_columns=in_columns,
    )


def as_columns(matrix: Tensor) -> Tensor:
    """View a weight or gradient (R, C, ...) as float64 (R * K, C)."""
    dense = matrix.to_dense() if matrix.is_sparse else matrix
    if dense.dim() < 2:
        dense = dense.reshape(-1, 1)
    columns = dense.shape[1]
    return dense.detach().double().transpose(0, 1).reshape(columns, -1).transpose(0, 1)


def count_distinct_columns(matrix: Tensor, tolerance: float = 1e-5) -> Tensor:
    """Count the directions among the columns without waiting for the device.

    Args:
        matrix: (R, C, ...) data, weight or gradient.
        tolerance: Largest sine of the angle between two columns that count as one direction.

    Returns:
        int64 scalar: zero columns count 0, proportional ones count 1.
    """
    parallel, alive = _parallel(as_columns(matrix), tolerance)
    return (alive & ~parallel.triu(1).any(0)).sum()


def distinct_columns(matrix: Tensor, tolerance: float = 1e-5) -> int:
    """Do the same, and wait for the number.

    >>> distinct_columns(torch.tensor([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 6.0, -1.0]]))
    2
    """
    return int(count_distinct_columns(matrix, tolerance))


def duplicate_columns(matrix: Tensor, tolerance: float = 1e-5) -> tuple[tuple[int, ...], ...]:
    """Group the columns that are proportional to one another (zero columns belong to no group).

    Args:
        matrix: (R, C, ...) data, weight or gradient.
        tolerance: Largest sine of the angle between two columns that count as one direction.

    Returns:
        Groups of two or more column indices, in ascending order.

    >>> duplicate_columns(torch.tensor([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 6.0, -1.0]]))
    ((0, 2),)
    """
    parallel, alive = _parallel(as_columns(matrix), tolerance)
    first = torch.where(alive, parallel.int().argmax(dim=0), -1)  # each column's first like it
    groups: dict[int, list[int]] = {}
    for column, leader in enumerate(first.tolist()):
        if leader >= 0:
            groups.setdefault(leader, []).append(column)
    return tuple(tuple(members) for members in groups.values() if len(members) > 1)


def _parallel(columns: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return which columns that are not zero are proportional (C, C), and which those are (C,)."""
    norms = columns.norm(dim=0)
    alive = norms > 0
    unit = columns / norms.clamp_min(torch.finfo(columns.dtype).tiny)
    cosine = unit.T @ unit
    parallel = (1 - cosine.square()).clamp_min(0).sqrt() <= max(tolerance, 1e-7)
    return parallel & alive[:, None] & alive, alive


def effective_rank(matrix: Tensor) -> float:
    """Return exp(entropy of the normalised singular values) (Roy & Vetterli, EUSIPCO 2007).

    Args:
        matrix: (R, C, ...) matrix.

    Returns:
        A number between 1 and min(R, C); 0 for a zero matrix.

    >>> round(effective_rank(torch.eye(4)), 6)
    4.0
    """
    singular = torch.linalg.svdvals(as_columns(matrix))
    total = singular.sum()
    if total == 0:
        return 0.0
    share = singular / total
    return float(torch.special.entr(share).sum().exp())


class ParameterGradient(NamedTuple):
    """What one parameter's gradient looks like.

    `distinct_columns` belongs beside `zero_fraction`: a normalisation can turn zero columns into
    copies of one column, which lowers the zero fraction and adds no information.
    """

    name: str
    shape: tuple[int, ...]
    missing: bool
    zero_fraction: float
    dead_rows: int
    dead_columns: int
    scattered: int
    distinct_columns: int
    effective_rank: float
    nonfinite: int
    norm: float


def summarize_gradient(name: str, shape: tuple[int, ...], grad: Tensor | None) -> ParameterGradient:
    """Describe one gradient.

    Args:
        name: Qualified name of the parameter.
        shape: Its shape.
        grad: Its gradient, dense or sparse (untouched rows count as zero); None is reported as
            missing, never as zeros.

    Returns:
        The row; every number of a missing gradient is 0.
    """
    if grad is None:
        return ParameterGradient(name, shape, True, 0.0, 0, 0, 0, 0, 0.0, 0, 0.0)
    dense = (grad.to_dense() if grad.is_sparse else grad).detach()
    zeros, nonfinite = zero_shape(dense), int((~torch.isfinite(dense)).sum())
    measurable = nonfinite == 0 and dense.dim() > 1
    return ParameterGradient(
        name=name,
        shape=shape,
        missing=False,
        zero_fraction=zeros.fraction,
        dead_rows=len(zeros.dead_rows),
        dead_columns=len(zeros.dead_columns),
        scattered=zeros.scattered,
        distinct_columns=distinct_columns(dense) if measurable else int(nonfinite == 0),
        effective_rank=effective_rank(dense) if measurable else float(nonfinite == 0),
        nonfinite=nonfinite,
        norm=float(dense.double().norm()),
    )


def summarize_gradients(model: nn.Module) -> list[ParameterGradient]:
    """Describe the gradient that every parameter of a model holds now in `.grad`.

    Args:
        model: Any module after a backward pass; shared parameters appear once.

    Returns:
        One row per parameter, in the model's order.
    """
    return [
        summarize_gradient(name, tuple(parameter.shape), parameter.grad)
        for name, parameter in model.named_parameters()
    ]
