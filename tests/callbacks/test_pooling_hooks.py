"""What the hooks take for a pooling and for its input, and its statistics by hand."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from src.callbacks.pooling_hooks import PoolingHooks, is_compiled, is_pooled, pooling_statistics


class Pooled(NamedTuple):
    pooled: Tensor
    weights: Any


class Masked(nn.Module):
    """Adds up what the mask lets through."""

    def forward(self, mask_bt: Tensor, around_bt1: Tensor, hidden_btd: Tensor) -> Pooled:
        return Pooled((mask_bt[..., None] * hidden_btd).sum(1), mask_bt)


def test_the_input_is_the_first_sequence_of_vectors_that_has_a_gradient() -> None:
    module, hidden_btd = Masked(), torch.ones(2, 4, 3, requires_grad=True)
    mask_bt = torch.tensor([[0.0, 1.0, 2.0, 3.0]] * 2)
    hooks = PoolingHooks([("masked", module)])
    module(mask_bt, torch.ones(2, 4, 1), hidden_btd=hidden_btd).pooled.sum().backward()
    caught = hooks.caught["masked"]
    assert hooks.error is None
    assert caught.kind == "Masked"
    assert caught.grad_norm_t is not None
    # Two windows with three numbers a step, each with the gradient that the mask says.
    assert caught.grad_norm_t.tolist() == pytest.approx([6**0.5 * w for w in (0, 1, 2, 3)])
    assert caught.hidden is None, "what has been measured is let go"


def test_a_sequence_longer_than_the_weights_is_not_the_poolings_input() -> None:
    class Shortened(nn.Module):
        def forward(self, hidden_btd: Tensor) -> Pooled:
            return Pooled(hidden_btd[:, 1:].mean(1), torch.full((4,), 0.25))

    module, hidden_btd = Shortened(), torch.ones(2, 5, 4, requires_grad=True)
    hooks = PoolingHooks([("shortened", module)])
    module(hidden_btd).pooled.sum().backward()
    caught = hooks.caught["shortened"]
    assert (caught.hidden, caught.grad_norm_t, hooks.error) == (None, None, None)
    assert caught.weights.tolist() == [0.25] * 4


def test_a_pooling_without_weights_is_none() -> None:
    assert is_pooled(Pooled(torch.ones(2), torch.ones(3)))
    assert not is_pooled(Pooled(torch.ones(2), None))


def test_compiled_is_what_was_compiled_as_a_whole_or_in_part() -> None:
    def model() -> Any:
        return nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))

    whole, called, wrapped = model(), model(), model()
    whole._compiler_ctx = {}  # as torch.compile leaves a LightningModule
    called[1]._compiled_call_impl = called[1]._call_impl  # as module.compile() does
    wrapped[1]._orig_mod = nn.Linear(1, 1)  # as torch.compile(module) wraps it
    assert [is_compiled(m) for m in (model(), whole, called, wrapped)] == [False, True, True, True]


def test_the_spread_of_one_or_two_steps_by_hand() -> None:
    one = pooling_statistics(torch.tensor([1.0]))
    assert (one["std"], one["recent_3_sum"], one["top_3_recent"]) == (0, 1, 1)
    two = pooling_statistics(torch.tensor([0.25, 0.75]))
    assert two["std"] == pytest.approx(0.5 / 2**0.5)


def test_the_largest_three_are_the_latest_three_or_not() -> None:
    assert pooling_statistics(torch.tensor([0.3, 0.1, 0.2, 0.4]))["top_3_recent"] == 0
    assert pooling_statistics(torch.tensor([0.1, 0.3, 0.2, 0.4]))["top_3_recent"] == 1


def test_entropy_is_a_samples_own() -> None:
    weights_bt = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    entropy = pooling_statistics(weights_bt)["entropy"]
    assert entropy == pytest.approx(float(torch.log(torch.tensor(2.0))) / 2)
