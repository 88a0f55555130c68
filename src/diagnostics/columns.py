"""What the columns of a matrix have in common: constant, proportional, on different scales.

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


def constant_columns(
    grad_weight: Tensor, grad_bias: Tensor, tolerance: float = 1e-4
) -> dict[int, float]:
    """Find the inputs that were constant in the batch from the gradients alone.

    A constant input c gives G[:, j] = sum_n delta_n c = c * g_bias.

    Args:
        grad_weight: (out, in) gradient of a linear layer's weight.
        grad_bias: (out,) gradient of its bias.
        tolerance: Largest relative residual that still counts as equality.

    Returns:
        Column index -> the constant c. Dead columns (c = 0) are left out; a single output or a zero
        bias gradient tells nothing, and then the result is empty.

    >>> bias = torch.tensor([1.0, -2.0, 1.0])
    >>> grad = torch.stack([3 * bias, torch.tensor([1.0, 1.0, 0.0])], dim=1)
    >>> constant_columns(grad, bias)
    {0: 3.0}
    """
    grad, bias = as_columns(grad_weight), grad_bias.detach().double()
    if grad.shape[0] < 2 or grad.shape[0] != len(bias) or not bias.any():
        return {}
    constants = bias @ grad / (bias @ bias)
    norms = grad.norm(dim=0)
    residuals = (grad - bias[:, None] * constants).norm(dim=0)
    found = (residuals <= tolerance * norms) & (norms > 0)
    return {int(j): float(constants[j]) for j in torch.nonzero(found).flatten()}


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


def misscaled_columns(x: Tensor, ratio: float = 100.0) -> dict[int, float]:
    """Find the features whose typical size is far from that of the others.

    The size of a feature is the root mean square of its non-zero values, so that a rare one-hot
    feature is as large as a common one.

    Args:
        x: (rows, features) finite data.
        ratio: Smallest factor between a feature's size and the median size that is reported.

    Returns:
        Feature index -> its size divided by the median size.

    >>> misscaled_columns(torch.tensor([[1.0, -1.0, 2e4], [-1.0, 1.0, 0.0]]))
    {2: 20000.0}
    """
    values = x.detach().double()
    counts = (values != 0).sum(0)
    return misscaled_sizes((values.square().sum(0) / counts.clamp_min(1)).sqrt(), ratio)


def misscaled_sizes(sizes: Tensor, ratio: float = 100.0) -> dict[int, float]:
    """Do the same for sizes (features,) already measured; features of size zero are left out."""
    alive = sizes > 0
    if int(alive.sum()) < 2:
        return {}
    relative = sizes / sizes[alive].median()
    far = alive & ((relative >= ratio) | (relative <= 1 / ratio))
    return {int(j): float(relative[j]) for j in torch.nonzero(far).flatten()}


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
