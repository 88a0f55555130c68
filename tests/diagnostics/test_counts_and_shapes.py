"""Counts and shapes of zeros against hand-computed values and slow, obvious twins."""

import pytest
import torch
from torch import Tensor

from src.diagnostics.counts import count_gradient, touched_rows, zero_fraction
from src.diagnostics.shapes import zero_shape


def slow_counts(grad: Tensor) -> tuple[int, int, int]:
    values = grad.to_dense().flatten().tolist()
    bad = sum(v != v or abs(v) == float("inf") for v in values)
    return len(values), sum(v == 0 for v in values), bad


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


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_slow_twin(seed: int) -> None:
    grad = sparse_grad(6, 5, seed=seed)
    grad[0, 0], grad[1, 1] = float("nan"), float("inf")
    assert tuple(count_gradient(grad)) == slow_counts(grad)


def test_counts_stay_exact_where_float32_sums_do_not() -> None:
    entries = 2**24 + 3
    assert count_gradient(torch.zeros(entries, dtype=torch.int8)).zeros == entries


def test_sparse_gradient_counts_untouched_rows_as_zero_and_repeats_once() -> None:
    indices, values = torch.tensor([[1, 1, 3]]), torch.tensor([[1.0, 2], [3, -2], [0, 5]])
    grad = torch.sparse_coo_tensor(indices, values, (4, 2), check_invariants=True)
    assert tuple(count_gradient(grad)) == slow_counts(grad) == (8, 6, 0)
    assert touched_rows(grad).tolist() == [False, True, False, True]
    assert touched_rows(grad.to_dense()).tolist() == [False, True, False, True]


def test_gradient_without_entries_has_zero_fraction_zero() -> None:
    assert zero_fraction(torch.zeros(0)) == 0.0
