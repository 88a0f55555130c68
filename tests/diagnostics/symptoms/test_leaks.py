"""Masks that hold and masks that leak, in modules small enough to follow."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.symptoms.leaks import (
    Collapsed,
    _alike,
    _causal,
    _padding,
    find_collapsed,
    find_leaks,
    triangle,
)
from src.diagnostics.symptoms.playback import Call, play

B, S, D = 3, 6, 4
LOWER = torch.ones(S, S).tril()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def total(model: nn.Module, batch: Any) -> Tensor:
    return model(*batch).square().sum()


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (LOWER, True),
        (LOWER.T, True),
        (LOWER.bool(), True),
        (torch.where(LOWER > 0, 0.0, -math.inf), True),
        (torch.ones(3, 3).tril(), True),
        (torch.ones(2, 2).tril(), False),  # too small to tell
        (torch.ones(S, S), False),
        (torch.ones(S, S + 1).tril(), False),
        (torch.ones(S), False),
        (LOWER.expand(B, 2, S, S), True),
        (torch.ones(S, S).tril().triu(-2), False),  # a band: 9 of 15 below, the others as above
        (torch.ones(S, S).tril().triu(-3), True),  # 12 of 15
    ],
)
def test_a_triangle_tells_before_from_after_but_for_a_few_cells(mask: Tensor, found: bool) -> None:
    assert triangle(mask) is found


class Mixes(nn.Module):
    """Weighs the steps of x (B, S, D) with scores that a causal mask hides, and does more."""

    def __init__(self, more: Callable[[Tensor], Tensor] = lambda x: x, mask: Tensor = LOWER):
        super().__init__()
        self.score, self.more = nn.Linear(D, D), more
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(x) @ x.transpose(1, 2)
        hidden = scores.masked_fill(self.mask == 0, -math.inf)
        return self.more(hidden.softmax(-1) @ x)


class Inside(nn.Module):
    def __init__(self, mixes: nn.Module) -> None:
        super().__init__()
        self.mixes = mixes

    def forward(self, *batch: Tensor) -> Tensor:
        return self.mixes(*batch)


def leaks(model: nn.Module, *batch: Tensor) -> list[Any]:
    torch.manual_seed(0)
    return find_leaks(model, batch, total, play(model, batch, total))


def test_a_causal_mask_that_holds_lets_nothing_of_the_future_through() -> None:
    assert leaks(Inside(Mixes()), drawn(B, S, D)) == []


@pytest.mark.parametrize(
    "more",
    [
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x.flip(1),
        lambda x: x / x.abs().amax(1, keepdim=True),
    ],
)
def test_what_undoes_a_causal_mask_is_told_with_its_place(more: Callable[[Tensor], Tensor]) -> None:
    (found,) = leaks(Inside(Mixes(more)), drawn(B, S, D))
    assert (found.module, found.hides) == ("mixes", "future")
    assert found.place == "mixes"
    assert found.line.startswith("test_leaks.py:")
    assert found.change > 0.01


def test_a_mask_that_hides_the_past_leaves_the_future_to_be_read() -> None:
    (found,) = leaks(Inside(Mixes(mask=LOWER.T.contiguous())), drawn(B, S, D))
    assert (found.hides, found.function) == ("future", "masked_fill")


class Pools(nn.Module):
    """Attends to steps that a padding mask leaves, then reads them."""

    def __init__(self, read: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(D, 1, batch_first=True)
        self.read = read

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        hidden = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        return self.read(hidden, padding)


PADDING = torch.arange(S) >= torch.tensor([6, 4, 3])[:, None]


def real_mean(hidden: Tensor, padding: Tensor) -> Tensor:
    weights = (~padding).float()[..., None]
    return (hidden * weights).sum(1) / weights.sum(1)


def test_a_mean_over_real_steps_holds_and_one_over_all_follows_the_padding() -> None:
    x = drawn(B, S, D)
    assert leaks(Inside(Pools(real_mean)), x, PADDING) == []
    (found,) = leaks(Inside(Pools(lambda hidden, _: hidden.mean(1))), x, PADDING)
    assert (found.module, found.hides) == ("mixes.attention", "padding")
    assert "hidden.mean(1)" in found.line
    assert found.change > 0.01


def call(function: str, *arguments: Any, **named: Any) -> Call:
    trained = drawn(B, S, S).requires_grad_(True)
    return Call(function, "", 1, (trained, *arguments), named, (), "")


@pytest.mark.parametrize(
    ("made", "steps"),
    [
        (call("masked_fill", LOWER.bool(), -math.inf), S),
        (call("add", LOWER), S),
        (call("where", LOWER.bool()), S),
        (call("matmul", LOWER), 0),
        (call("add", torch.ones(S, S)), 0),
        (call("scaled_dot_product_attention", None, None, None, 0.0, True), S),
        (call("scaled_dot_product_attention", None, None, None, 0.0, False), 0),
        (call("multi_head_attention_forward", attn_mask=LOWER.bool()), S),
        (Call("add", "", 1, (LOWER, LOWER), {}, (), ""), 0),  # nothing trained is masked
    ],
)
def test_a_call_is_causal_over_the_steps_of_its_triangle(made: Call, steps: int) -> None:
    assert _causal(made) == steps


LOW = torch.where(PADDING, -math.inf, 0.0)


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (call("multi_head_attention_forward", key_padding_mask=PADDING), True),
        (call("multi_head_attention_forward", key_padding_mask=LOW), True),
        (call("multi_head_attention_forward"), False),
        (call("scaled_dot_product_attention", 0, 0, ~PADDING[:, None, None]), True),
        (call("scaled_dot_product_attention", 0, 0, LOW[:, None, None]), True),
        (call("masked_fill", PADDING, -math.inf), True),
        (call("masked_fill", PADDING, -1e4), True),
        (call("masked_fill", PADDING, -9999.0), False),  # no floor: it fills
        (call("masked_fill", PADDING, 0.0), False),
        (call("masked_fill", PADDING[:2], -math.inf), False),  # of other samples
        (call("masked_fill", PADDING[:, None] & LOWER.bool(), -math.inf), False),  # by query
        (call("masked_fill", torch.zeros(B, S).bool(), -math.inf), False),
        (call("masked_fill", PADDING | (torch.arange(B) == 1)[:, None], -math.inf), False),
        (call("add", LOW), False),
    ],
)
def test_a_call_hides_padding_if_it_hides_keys_of_some_samples_and_all_of_none(
    made: Call, found: bool
) -> None:
    hidden = _padding(made, B)
    assert (hidden is not None) is found
    if hidden is not None:
        assert torch.equal(hidden, PADDING)


@pytest.mark.parametrize(
    ("x", "same"),
    [
        (torch.full((3, 4), 2.0), True),
        (torch.full((2, 4), 2.0), False),  # two rows may agree
        (torch.zeros(3, 4), False),
        (torch.tensor([1.0, 2.0]).repeat(3, 1), True),
        (torch.tensor([[1.0], [1.0], [1.0 + 1e-5]]), False),
        (torch.tensor([[1.0], [1.0], [1.0 + 2e-7]]), True),
        (torch.ones(3), False),
        (torch.ones(3, 4, dtype=torch.long), False),
        (torch.ones(3, 2, 4), True),
        (torch.ones(3, 2, 4) * torch.tensor([1.0, 2.0])[:, None], False),  # steps differ
        (torch.ones(3, 0), False),
    ],
)
def test_rows_are_alike_if_there_are_three_that_are_the_same_and_not_zero(
    x: Tensor, same: bool
) -> None:
    assert _alike(x) is same


class Through(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.change = nn.Linear(D, D), nn.Linear(D, 1), change

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.change(self.first(x)))


def collapsed(change: Callable[[Tensor], Tensor]) -> Collapsed | None:
    model, x = Through(change), drawn(5, D)
    playback = play(model, (x,), total)
    return find_collapsed(model, playback, (x,))


def test_a_layer_that_always_gets_the_same_numbers_is_told_with_the_call_that_makes_them() -> None:
    found = collapsed(lambda x: torch.full_like(x, 3.0))
    assert found is not None
    assert (found.module, found.value, found.function) == ("second", 3.0, "full_like")
    assert "torch.full_like" in found.line
    assert found.place == ""
    assert collapsed(lambda x: x) is None
    assert collapsed(torch.zeros_like) is None, "zeros are another matter"


def test_data_that_are_the_same_everywhere_are_no_collapse() -> None:
    model, x = Through(lambda x: x), torch.full((5, D), 2.0)
    assert find_collapsed(model, play(model, (x,), total), (x,)) is None
