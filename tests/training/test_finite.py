import math

import pytest
import torch
from torch import nn

from src.diagnostics.measuring.async_copy import Pending
from src.training.finite import FiniteGradients


class Queue(nn.Module):
    """Two weights; `step` is what an optimiser of rate 1 does to them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.full((3,), size)) for size in (1.0, 2.0))

    def grads(self, first, second):
        self.first.grad, self.second.grad = (torch.full((3,), g) for g in (first, second))
        return self.parameters()

    def step(self):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter -= parameter.grad


@pytest.fixture
def late(monkeypatch):
    """Answers that come a step later, as from a GPU, whichever the machine."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: self.requires_grad is False))
    original = Pending.__init__

    def on_the_way(self, integers, floats, finish):
        monkeypatch.setattr(torch.Tensor, "is_cuda", False)
        original(self, integers, floats, finish)
        monkeypatch.setattr(torch.Tensor, "is_cuda", True)

    monkeypatch.setattr(Pending, "__init__", on_the_way)
    monkeypatch.setattr(Pending, "arrived", False)


def test_a_gradient_of_nan_is_refused_before_the_step():
    model = Queue()
    check = FiniteGradients(model)
    check.check(model.grads(0.5, 0.5), 0)
    with pytest.raises(FloatingPointError, match=r"gradient of second is not finite at step 1: st"):
        check.check(model.grads(0.5, math.inf), 1)


def test_a_gradient_whose_norm_overflows_is_finite():
    model = Queue()
    FiniteGradients(model).check(model.grads(3e38, 1.0), 0)


def test_from_a_gpu_the_answer_comes_a_step_later_and_the_weights_go_back(late):
    model = Queue()
    check = FiniteGradients(model)
    check.check(model.grads(0.5, 0.5), 0)
    model.step()
    check.check(model.grads(math.nan, 0.25), 1)
    model.step()
    assert model.first.isnan().all()
    with pytest.raises(
        FloatingPointError, match=r"of first is not finite at step 1: .*as they wer"
    ):
        check.check(model.grads(0.5, 0.5), 2)
    assert model.first.tolist() == [0.5, 0.5, 0.5]
    assert model.second.tolist() == [1.5, 1.5, 1.5]


def test_before_weights_are_scored_or_written_the_last_answer_is_waited_for(late):
    model = Queue()
    check = FiniteGradients(model)
    check.check(model.grads(0.5, math.inf), 7)
    model.step()
    with pytest.raises(FloatingPointError, match="second is not finite at step 7"):
        check.settle()
    assert model.second.tolist() == [2.0, 2.0, 2.0]
    check.settle()


def test_on_a_gpu_too_an_overflowing_norm_is_finite(late):
    model = Queue()
    check = FiniteGradients(model)
    check.check(model.grads(3e38, 1.0), 0)
    check.settle()
