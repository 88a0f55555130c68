"""One row per parameter: how much of its gradient is zero, in which shape, how many directions."""

from typing import NamedTuple

from torch import Tensor, nn

from src.diagnostics.columns import distinct_columns, effective_rank
from src.diagnostics.counts import count_gradient
from src.diagnostics.shapes import zero_shape


class ParameterGradient(NamedTuple):
    """What one gradient looks like.

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
        grad: Its gradient, dense or sparse; None is reported as missing, never as zeros.

    Returns:
        The row; every number of a missing gradient is 0.
    """
    if grad is None:
        return ParameterGradient(name, shape, True, 0.0, 0, 0, 0, 0, 0.0, 0, 0.0)
    grad = grad.detach()
    dense = grad.to_dense() if grad.is_sparse else grad
    counts, zeros = count_gradient(grad), zero_shape(dense)
    measurable = counts.nonfinite == 0 and dense.dim() > 1
    return ParameterGradient(
        name=name,
        shape=shape,
        missing=False,
        zero_fraction=counts.zero_fraction,
        dead_rows=len(zeros.dead_rows),
        dead_columns=len(zeros.dead_columns),
        scattered=zeros.scattered,
        distinct_columns=distinct_columns(dense) if measurable else int(counts.nonfinite == 0),
        effective_rank=effective_rank(dense) if measurable else float(counts.nonfinite == 0),
        nonfinite=counts.nonfinite,
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
