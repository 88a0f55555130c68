"""Attention that has nothing to look at: told and proved whatever form its mask has."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from src.diagnostics import diagnose

B, S, D = 8, 5, 4
EMPTY = torch.zeros(B, S, dtype=torch.bool)
EMPTY[2] = True  # of the third sample nothing is left
BLIND = torch.zeros(S, S, dtype=torch.bool)
BLIND[1] = True  # the second step may look at none


def low(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(mask, -math.inf)


class Attends(nn.Module):
    def __init__(self, masks: dict[str, Tensor], by_hand: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(D, 1, batch_first=True)
        self.head, self.masks, self.by_hand = nn.Linear(D, 1), masks, by_hand

    def forward(self, x: Tensor) -> Tensor:
        if self.by_hand:
            scores = self.head(x) @ self.head(x).transpose(1, 2) + low(EMPTY)[:, None]
            hidden = scores.softmax(-1) @ x
        else:
            hidden = self.attention(x, x, x, **self.masks)[0]
        return self.head(hidden.mean(1))


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize(
    ("make", "rows", "of"),
    [
        (lambda: Attends({"key_padding_mask": EMPTY}), 1, B),
        (lambda: Attends({"key_padding_mask": low(EMPTY)}), 1, B),
        (lambda: Attends({"attn_mask": BLIND}), 1, S),
        (lambda: Attends({"attn_mask": low(BLIND)}), 1, S),
        (lambda: Attends({}, by_hand=True), S, B * S),
    ],
    ids=["padding", "padding in numbers", "steps", "steps in numbers", "softmax by hand"],
)
def test_rows_that_see_no_key_are_counted_and_shown_one(
    make: Callable[[], nn.Module], rows: int, of: int
) -> None:
    torch.manual_seed(0)
    model, batches = make(), [(torch.randn(B, S, D), torch.randn(B, 1)) for _ in range(2)]
    optimizer = torch.optim.Adam(model.parameters())

    def loss_fn(m: nn.Module, batch: Any) -> Tensor:
        return mse_loss(m(batch[0]), batch[1])

    worst = diagnose(model, batches, loss_fn, optimizer).worst
    assert worst is not None
    assert (worst.cause, worst.confirmed) == ("fully_masked", True)
    assert (worst.evidence["rows"], worst.evidence["of"]) == (rows, of)
    assert math.isfinite(worst.evidence["after"])
    assert worst.remedy.startswith(f"{rows} of {of} rows have every key masked")
