"""The shape of the zeros in a weight's gradient: whole rows, whole columns, or scattered.

For a linear layer the gradient is G = sum_n delta_n x_n^T. A zero column j means that input j was
zero in the whole batch; a zero row i means that nothing flows back into unit i. What neither
explains is scattered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


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


def zero_shape(grad: Tensor) -> ZeroShape:
    """Attribute the zeros of a gradient to dead rows, dead columns, or neither.

    Args:
        grad: (out, in, ...) gradient; trailing kernel dimensions belong to their (out, in) cell.
            A vector has rows only.

    Returns:
        Exact counts and the indices of the dead rows and columns.

    >>> zero_shape(torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0]])).dead_columns
    (0,)
    """
    return zero_shape_of_mask((grad.to_dense() if grad.is_sparse else grad) == 0)


def zero_shape_of_mask(zero: Tensor) -> ZeroShape:
    """Do the same for a mask of zeros, for example one AND-ed over several batches.

    Args:
        zero: (out, in, ...) bool, True where the gradient was zero.

    Returns:
        Exact counts and the indices of the dead rows and columns.
    """
    if zero.dim() == 0:
        zero = zero.reshape(1)
    rows = zero.shape[0]
    columns = zero.shape[1] if zero.dim() > 1 else 0
    cells = zero.reshape(rows, max(columns, 1), -1)
    row_dead = cells.reshape(rows, -1).all(1)
    column_dead = cells.permute(1, 0, 2).reshape(cells.shape[1], -1).all(1)
    dead_rows = tuple(torch.nonzero(row_dead).flatten().tolist())
    dead_columns = tuple(torch.nonzero(column_dead).flatten().tolist()) if columns else ()
    kernel = cells.shape[2]
    return ZeroShape(
        entries=zero.numel(),
        zeros=int(zero.sum()),
        rows=len(dead_rows) * cells.shape[1] * kernel,
        columns=len(dead_columns) * rows * kernel,
        intersections=len(dead_rows) * len(dead_columns) * kernel,
        dead_rows=dead_rows,
        dead_columns=dead_columns,
    )
