"""Attention that has nothing to look at: told and proved whatever form its mask has."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from src.diagnostics import diagnose
from src.diagnostics.causes import CAUSES
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.symptoms.symptoms import Symptoms

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


@pytest.mark.parametrize(
    ("name", "mask", "shown"),
    [
        ("key_padding_mask", EMPTY, False),  # True hides
        ("attn_mask", BLIND, False),
        ("attn_mask", low(BLIND), 0.0),
    ],
)
def test_only_rows_that_see_nothing_are_shown_a_key(name: str, mask: Tensor, shown: Any) -> None:
    given = mask.clone()
    given[0, 1] = True if mask.dtype == torch.bool else -math.inf  # a row that sees something
    got = rewritten("multi_head_attention_forward", lambda **kwargs: kwargs, (), {name: given})
    rows = given.all(-1) if mask.dtype == torch.bool else given.isneginf().all(-1)
    assert bool((got[name][rows] == shown).all())
    assert torch.equal(got[name][~rows], given[~rows])
    assert rows.sum() == 1


def test_where_true_shows_a_key_it_is_set_true() -> None:
    function, kwargs = "scaled_dot_product_attention", {"attn_mask": ~EMPTY}
    got = rewritten(function, lambda **kwargs: kwargs, (), kwargs)
    assert bool(got["attn_mask"].all())
    none = rewritten(function, lambda **kwargs: kwargs, (), {"attn_mask": None})
    assert none == {"attn_mask": None}


def test_scores_of_a_softmax_are_shown_as_well_and_other_calls_left_alone() -> None:
    scores = low(EMPTY)
    got = rewritten("softmax", lambda x, dim: x, (scores, -1), {})
    assert bool((got == 0).all())
    assert rewritten("relu", torch.relu, (scores,), {}) is NotImplemented


def rewritten(name: str, function: Any, args: Any, kwargs: Any) -> Any:
    """Return what the proof makes of a call."""
    returned = []

    def replay(model: Any, mode: Any = None, batch: int = 0) -> Any:
        if mode is not None:
            returned.append(mode.rewrite(name, function, args, kwargs))
        return SimpleNamespace(norm=1.0)

    experiment: Any = SimpleNamespace(symptoms=Symptoms(), model=None, replay=replay)
    assert CAUSES["fully_masked"].prove is not None
    assert CAUSES["fully_masked"].prove(experiment, Candidate())[0] is True
    return returned[0]
