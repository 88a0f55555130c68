"""Zeros, their shape and the columns of a gradient, by hand and by slow, obvious twins."""

import math

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.gradient import (
    distinct_columns,
    duplicate_columns,
    effective_rank,
    summarize_gradient,
    zero_shape,
)


def slow_shape(grad: Tensor) -> tuple[int, int, int, int]:
    """Return zeros, entries in dead rows, entries in dead columns, and scattered ones."""
    out, into = grad.shape[:2]
    rows = {i for i in range(out) if not grad[i].any()}
    columns = {j for j in range(into) if not grad[:, j].any()}
    zeros = scattered = in_rows = in_columns = 0
    for i in range(out):
        for j in range(into):
            for value in grad[i, j].flatten().tolist():
                zeros += value == 0
                scattered += value == 0 and i not in rows and j not in columns
                in_rows += i in rows
                in_columns += j in columns
    return zeros, in_rows, in_columns, scattered


def sparse_grad(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(*shape, generator=generator)
    grad *= torch.rand(shape, generator=generator) > 0.3
    grad[torch.randint(shape[0], (2,), generator=generator)] = 0
    grad[:, torch.randint(shape[1], (3,), generator=generator)] = 0
    return grad


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3), (3, 5, 2, 2)])
def test_zero_shape_equals_slow_twin(shape: tuple[int, ...], seed: int) -> None:
    grad = sparse_grad(*shape, seed=seed)
    fast = zero_shape(grad)
    assert (fast.zeros, fast.rows, fast.columns, fast.scattered) == slow_shape(grad)


def test_one_dead_row_and_one_dead_column_share_one_entry() -> None:
    grad = torch.ones(3, 4)
    grad[1], grad[:, 2] = 0, 0
    shape = zero_shape(grad)
    assert (shape.zeros, shape.rows, shape.columns, shape.intersections) == (6, 4, 3, 1)
    assert (shape.scattered, shape.dead_rows, shape.dead_columns) == (0, (1,), (2,))


def test_86_of_129_dead_columns_give_the_observed_plateau() -> None:
    grad = torch.randn(128, 129)
    grad[:, 43:] = 0
    shape = zero_shape(grad)
    assert round(shape.fraction, 3) == 0.667
    assert shape.scattered == 0
    assert shape.dead_columns == tuple(range(43, 129))


def test_zero_gradient_is_all_rows_and_all_columns_and_nothing_scattered() -> None:
    shape = zero_shape(torch.zeros(3, 4))
    assert (shape.rows, shape.columns, shape.scattered, shape.fraction) == (12, 12, 0, 1.0)


def test_vector_has_rows_only() -> None:
    shape = zero_shape(torch.tensor([0.0, 1.0, 0.0]))
    assert (shape.rows, shape.columns, shape.dead_columns) == (2, 0, ())


def test_counts_stay_exact_where_float32_sums_do_not() -> None:
    entries = 2**24 + 3
    assert zero_shape(torch.zeros(entries, dtype=torch.int8)).zeros == entries


def test_sparse_gradient_counts_untouched_rows_as_zero_and_repeats_once() -> None:
    indices, values = torch.tensor([[1, 1, 3]]), torch.tensor([[1.0, 2], [3, -2], [0, 5]])
    grad = torch.sparse_coo_tensor(indices, values, (4, 2), check_invariants=True)
    row = summarize_gradient("embed.weight", (4, 2), grad)
    assert (row.zero_fraction, row.dead_rows, row.nonfinite) == (6 / 8, 2, 0)


def test_values_that_are_not_finite_are_counted_and_have_no_directions() -> None:
    grad = torch.tensor([[0.0, 1.0], [float("nan"), float("inf")]])
    row = summarize_gradient("weight", (2, 2), grad)
    assert (row.nonfinite, row.zero_fraction, row.distinct_columns) == (2, 0.25, 0)


def test_gradient_without_entries_has_zero_fraction_zero() -> None:
    assert zero_shape(torch.zeros(0)).fraction == 0.0


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[-1], 6)
    layer(x).pow(3).mean().backward()
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None
    return layer.weight.grad, layer.bias.grad


def slow_duplicates(matrix: Tensor) -> set[tuple[int, int]]:
    """Return all pairs of columns with a ratio that is the same in every row."""
    pairs = set()
    for i in range(matrix.shape[1]):
        for j in range(i + 1, matrix.shape[1]):
            a, b = matrix[:, i].double(), matrix[:, j].double()
            if a.any() and b.any():
                factor = float(a @ b / (a @ a))
                if float((b - factor * a).norm()) <= 1e-5 * float(b.norm()):
                    pairs.add((i, j))
    return pairs


@pytest.mark.parametrize("seed", range(5))
def test_duplicate_columns_equal_slow_twin(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(7, 9, generator=generator)
    for target, source in torch.randint(9, (4, 2), generator=generator).tolist():
        matrix[:, target] = -0.5 * matrix[:, source]
    matrix[:, seed] = 0
    groups = duplicate_columns(matrix)
    pairs = {(i, j) for g in groups for i in g for j in g if i < j}
    assert pairs == slow_duplicates(matrix)
    in_groups = sum(len(group) - 1 for group in groups)
    assert distinct_columns(matrix) == int(matrix.any(0).sum()) - in_groups


def test_layer_norm_turns_dead_columns_into_copies_of_one() -> None:
    x = torch.randn(64, 129)
    x[:, 43:] = 0
    grad, _ = gradients(nn.functional.layer_norm(x, (129,)))
    assert int((grad == 0).sum()) == 0
    assert distinct_columns(grad) == 44
    assert [len(group) for group in duplicate_columns(grad)] == [86]


def test_gradient_of_one_sample_has_one_direction() -> None:
    grad, _ = gradients(torch.randn(1, 5))
    assert distinct_columns(grad) == 1
    assert effective_rank(grad) == pytest.approx(1.0, abs=1e-4)


def test_distinct_columns_of_a_convolution_are_its_input_channels() -> None:
    weight = torch.randn(3, 4, 5)
    weight[:, 3] = 2 * weight[:, 0]
    assert distinct_columns(weight) == 3


def test_effective_rank_equals_the_entropy_of_singular_values() -> None:
    matrix = torch.diag(torch.tensor([3.0, 1.0, 0.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(matrix) == pytest.approx(math.exp(entropy))
    assert effective_rank(torch.zeros(3, 3)) == 0.0
