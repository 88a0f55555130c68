"""Columns: proportional, distinct; each against a slow, obvious twin."""

import math

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.columns import (
    distinct_columns,
    duplicate_columns,
    effective_rank,
)


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
