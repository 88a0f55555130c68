"""What the columns of a matrix have in common: how many are distinct, which are proportional.

A zero fraction of 0 with k copies of one column carries the information of one column, so these
quantities are reported beside every zero fraction.
"""

import torch
from torch import Tensor


def as_columns(matrix: Tensor) -> Tensor:
    """View a weight or gradient (out, in, ...) as float64 (out * kernel, in)."""
    dense = matrix.to_dense() if matrix.is_sparse else matrix
    if dense.dim() < 2:
        dense = dense.reshape(-1, 1)
    columns = dense.shape[1]
    return dense.detach().double().transpose(0, 1).reshape(columns, -1).transpose(0, 1)


def duplicate_columns(matrix: Tensor, tolerance: float = 1e-5) -> tuple[tuple[int, ...], ...]:
    """Group the columns that are proportional to one another (zero columns belong to no group).

    Args:
        matrix: (rows, columns, ...) data, weight or gradient.
        tolerance: Largest sine of the angle between two columns that count as one direction.

    Returns:
        Groups of two or more column indices, in ascending order.

    >>> duplicate_columns(torch.tensor([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 6.0, -1.0]]))
    ((0, 2),)
    """
    groups: dict[int, list[int]] = {}
    for column, leader in enumerate(_leaders(as_columns(matrix), tolerance)):
        if leader >= 0:
            groups.setdefault(leader, []).append(column)
    return tuple(tuple(members) for members in groups.values() if len(members) > 1)


def distinct_columns(matrix: Tensor, tolerance: float = 1e-5) -> int:
    """Count the directions among the columns: zero columns count 0, proportional ones count 1.

    Args:
        matrix: (rows, columns, ...) data, weight or gradient.
        tolerance: Largest sine of the angle between two columns that count as one direction.

    Returns:
        Number of distinct column directions.

    >>> distinct_columns(torch.tensor([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 6.0, -1.0]]))
    2
    """
    leaders = _leaders(as_columns(matrix), tolerance)
    return sum(leader == column for column, leader in enumerate(leaders))


def _leaders(columns: Tensor, tolerance: float) -> list[int]:
    """Return for every column the first one it is proportional to (else itself), -1 if zero."""
    norms = columns.norm(dim=0)
    unit = columns / norms.clamp_min(torch.finfo(columns.dtype).tiny)
    cosine = (unit.T @ unit).abs()
    parallel = (1 - cosine**2).clamp_min(0).sqrt() <= max(tolerance, 1e-7)
    parallel &= (norms > 0)[:, None] & (norms > 0)
    leaders = torch.where(norms > 0, parallel.int().argmax(dim=0), -1)
    return leaders.tolist()


def effective_rank(matrix: Tensor) -> float:
    """Return exp(entropy of the normalised singular values) (Roy & Vetterli, EUSIPCO 2007).

    Args:
        matrix: (rows, columns, ...) matrix.

    Returns:
        A number between 1 and min(rows, columns); 0 for a zero matrix.

    >>> round(effective_rank(torch.eye(4)), 6)
    4.0
    """
    singular = torch.linalg.svdvals(as_columns(matrix))
    total = singular.sum()
    if total == 0:
        return 0.0
    share = singular / total
    return float(torch.special.entr(share).sum().exp())
