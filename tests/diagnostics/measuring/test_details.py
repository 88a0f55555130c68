"""Rows, columns, directions, magnitudes and updates against slow, obvious twins."""

import math

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes.courses import update_ratio
from src.diagnostics.gradient import zero_shape
from src.diagnostics.measuring.details import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    NUM_BINS,
    GradientDetails,
    UpdateMeter,
    measure_details,
)


def details_of(grad: Tensor, **options: object) -> GradientDetails:
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros_like(grad))
    module.weight.grad = grad
    pending = measure_details(module.named_parameters(), 3, **options)  # type: ignore[arg-type]
    return pending.result().parameters["weight"]


def holed(shape: tuple[int, ...], seed: int) -> Tensor:
    """A gradient with dead rows, dead columns and scattered zeros."""
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(shape, generator=generator)
    grad = grad * (torch.rand(shape, generator=generator) < 0.6)
    grad[torch.randint(shape[0], (2,), generator=generator)] = 0
    grad[:, torch.randint(shape[1], (2,), generator=generator)] = 0
    return grad


def test_hand_computed_zeros_are_told_apart_by_shape() -> None:
    # Row 1 is dead (3 entries), column 0 is dead (3 entries), one more zero is scattered.
    grad = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    shares = details_of(grad).zeros.shares
    assert shares == {"rows": 3 / 9, "columns": 3 / 9, "scattered": 1 / 9}


@pytest.mark.parametrize("shape", [(6, 5), (4, 7, 3), (5, 4, 2, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_zero_shapes_match_the_slow_twin(shape: tuple[int, ...], seed: int) -> None:
    grad = holed(shape, seed)
    twin, details = zero_shape(grad), details_of(grad)
    assert details.nonzero == twin.entries - twin.zeros
    assert details.zeros.shares == {
        "rows": twin.rows / twin.entries,
        "columns": twin.columns / twin.entries,
        "scattered": twin.scattered / twin.entries,
    }


@pytest.mark.parametrize("shape", [(6, 5), (4, 7, 3)])
def test_row_and_column_sizes_match_the_slow_twin(shape: tuple[int, ...]) -> None:
    grad = holed(shape, 9)
    details = details_of(grad)
    for i, row in enumerate(grad):
        assert details.row_max[i] == row.abs().max()
        assert details.row_norm[i] == pytest.approx(float(row.double().norm()), rel=1e-6)
    for j in range(shape[1]):
        column = grad[:, j]
        assert details.column_max[j] == column.abs().max()
        assert details.column_norm[j] == pytest.approx(float(column.double().norm()), rel=1e-6)


def test_a_vector_has_rows_and_no_columns() -> None:
    details = details_of(torch.tensor([0.0, 2.0, 0.0, 1.0]))
    assert details.shape == (4, 0, 1)
    assert details.distinct_columns is None
    assert details.zeros.shares == {"rows": 0.5, "columns": 0.0, "scattered": 0.0}


@pytest.mark.parametrize("seed", range(5))
def test_directions_are_counted_like_the_slow_twin(seed: int) -> None:
    grad = holed((8, 6), seed)
    copies = torch.cat([grad, -3 * grad[:, :2], torch.zeros(8, 1)], dim=1)
    apart: list[Tensor] = []
    for column in copies.T:
        ranks = [torch.linalg.matrix_rank(torch.stack([column, other])) for other in apart]
        if column.any() and all(rank == 2 for rank in ranks):
            apart.append(column)
    assert details_of(copies).distinct_columns == len(apart)


def test_directions_of_too_wide_a_weight_are_not_counted() -> None:
    assert details_of(torch.ones(2, 5), max_columns=4).distinct_columns is None


def test_magnitudes_match_a_count_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(500, generator=generator) * 10.0 ** torch.randint(
        -25, 8, (500,), generator=generator
    )
    values[:20] = 0
    values[20:23] = torch.tensor([math.inf, -math.inf, math.nan])
    twin = [0] * NUM_BINS
    for value in values.tolist():
        if value == 0:
            twin[0] += 1
        elif not math.isfinite(value):
            twin[-1] += 1
        else:
            exponent = math.floor(math.log2(abs(value)))
            clipped = min(max(exponent, LOWEST_EXPONENT), HIGHEST_EXPONENT)
            twin[1 + clipped - LOWEST_EXPONENT] += 1
    assert list(details_of(values).magnitudes) == twin


def test_details_divide_by_the_loss_scale_that_gradients_still_carry() -> None:
    details = details_of(torch.tensor([[8.0]]), scale=torch.tensor(4.0))
    assert details.row_max.tolist() == [2.0]


def test_sparse_missing_and_frozen_gradients_have_no_details() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    frozen = nn.Linear(2, 2).requires_grad_(False)
    model = nn.ModuleList([table, frozen, nn.Linear(2, 2)])
    assert measure_details(model.named_parameters(), 0).result().parameters == {}


def test_updates_match_the_slow_twin() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    nn.init.zeros_(model[1].bias)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    meter = UpdateMeter(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    ratios = meter.finish().result()
    assert set(ratios) == set(before) - {"1.bias"}  # nothing is relative to zero
    for name, ratio in ratios.items():
        after = dict(model.named_parameters())[name]
        assert ratio == pytest.approx(update_ratio(before[name], after), rel=1e-5)
