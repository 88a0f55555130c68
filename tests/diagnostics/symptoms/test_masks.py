"""Which steps are padding, and which calls hide steps: by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.symptoms.masks import hidden_steps, padding_steps, steps_hidden

X = torch.ones(2, 3, 4)
X[0, 2], X[1, 1:] = 0.0, 0.0
X[0, 0, 1] = 0.0  # a zero among others is no padding
PADDING = torch.tensor([[False, False, True], [False, True, True]])
TOKENS = torch.tensor([[3, 2, 0], [1, 0, 0]])
TRAINED = torch.ones(2, 3, requires_grad=True)
LOW = torch.where(PADDING, -math.inf, 0.0)


def test_padding_is_where_all_features_of_a_step_are_zero() -> None:
    assert torch.equal(padding_steps(X, nn.Linear(4, 1)), PADDING)
    assert torch.equal(padding_steps((torch.ones(2), X), nn.Linear(4, 1)), PADDING)
    assert padding_steps(torch.ones(2, 3), nn.Linear(3, 1)) is None


def test_padding_is_the_token_that_the_embedding_names() -> None:
    assert torch.equal(padding_steps(TOKENS, nn.Embedding(4, 2, padding_idx=0)), PADDING)
    assert padding_steps(TOKENS, nn.Embedding(4, 2)) is None
    assert padding_steps(TOKENS.float(), nn.Embedding(4, 2, padding_idx=0)) is None
    assert padding_steps(TOKENS, nn.Linear(3, 1)) is None


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "hides"),
    [
        ("masked_fill", (TRAINED, PADDING, -math.inf), {}, True),
        ("masked_fill_", (TRAINED, PADDING, -1e4), {}, True),
        ("masked_fill", (TRAINED, PADDING, -9999.0), {}, False),
        ("masked_fill", (TRAINED, PADDING, torch.tensor(-1e9)), {}, True),
        ("masked_fill", (X, PADDING, -math.inf), {}, False),  # nothing trained is hidden
        ("masked_fill", (TRAINED, PADDING), {}, False),
        ("where", (~PADDING, TRAINED, -1e9), {}, True),
        ("where", (~PADDING, TRAINED, 0.0), {}, False),
        ("where", (~PADDING, TRAINED, LOW), {}, False),  # many values are no floor
        ("where", ((~PADDING).float(), TRAINED, -1e9), {}, False),
        ("multi_head_attention_forward", (), {"key_padding_mask": PADDING}, True),
        ("multi_head_attention_forward", (), {"key_padding_mask": LOW}, True),
        ("multi_head_attention_forward", (), {}, False),
        ("scaled_dot_product_attention", (), {"attn_mask": ~PADDING}, True),
        ("scaled_dot_product_attention", (0, 0, 0, ~PADDING), {}, True),
        ("scaled_dot_product_attention", (0, 0, 0, LOW), {}, True),
        ("scaled_dot_product_attention", (0, 0, 0), {}, False),
        ("mul", (TRAINED, (~PADDING).float()), {}, True),
        ("__rmul__", ((~PADDING).float(), TRAINED), {}, True),
        ("mul", (TRAINED, ~PADDING), {}, True),
        ("mul", (TRAINED, 0.5 * (~PADDING).float()), {}, False),  # it scales
        ("mul", (TRAINED, torch.ones(3)), {}, False),
        ("mul", (TRAINED, 2.0), {}, False),
        ("add", (TRAINED, LOW), {}, False),
    ],
)
def test_a_call_hides_steps_by_a_floor_a_mask_or_zeros_to_multiply_with(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], hides: bool
) -> None:
    found = hidden_steps(name, args, kwargs)
    assert len(found) == hides
    assert all(torch.equal(mask, PADDING) for mask in found)


@pytest.mark.parametrize(
    ("mask", "fits"),
    [
        (PADDING, True),
        (PADDING[..., None], True),
        (PADDING[:, None], True),
        (PADDING[:, None, None], True),
        (PADDING[:1], False),
        (PADDING.T, False),
        (PADDING.flatten(), False),
        (PADDING[:, None] & torch.ones(3, 3).bool(), False),
    ],
)
def test_a_mask_over_the_steps_of_each_sample_is_brought_to_two_dimensions(
    mask: Tensor, fits: bool
) -> None:
    found = steps_hidden(mask, torch.Size([2, 3]))
    assert (found is not None) is fits
    assert found is None or torch.equal(found, PADDING)
