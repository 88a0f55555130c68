"""Memory over time by hand and by slow twins, and models left exactly as found."""

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.memory import (
    half_life,
    memory_over_time,
    prediction_memory,
    reach,
    retention,
)


def test_linear_recurrence_forgets_by_its_factor() -> None:
    rnn = nn.RNN(1, 1, batch_first=True, bias=False)
    with torch.no_grad():
        rnn.weight_ih_l0.fill_(1e-3)
        rnn.weight_hh_l0.fill_(0.8)
    memory = memory_over_time(lambda x: rnn(x)[0], torch.randn(2, 6, 1))
    expected = torch.tensor([1e-3 * 0.8 ** (5 - t) for t in range(6)], dtype=torch.float64)
    torch.testing.assert_close(memory, expected, rtol=1e-3, atol=0)


def test_memory_equals_jacobian_row_by_row() -> None:
    torch.manual_seed(0)
    gru, head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)
    x = torch.randn(2, 5, 3)

    def function(values: Tensor) -> Tensor:
        return head(gru(values)[0][:, -1])

    jacobian = torch.autograd.functional.jacobian(function, x)
    slow = torch.stack(
        [torch.stack([jacobian[b, 0, b, t].norm() for t in range(5)]) for b in (0, 1)]
    )
    torch.testing.assert_close(memory_over_time(function, x), slow.mean(0).double())


def test_memory_over_time_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    memory_over_time(lambda x: nn.functional.pad(x, (0, 1)), torch.ones(1, 3, 2), probes=3)
    assert torch.equal(before, torch.get_rng_state())


def test_of_several_outputs_one_direction_is_drawn_unless_more_are_asked_for() -> None:
    def function(x: Tensor) -> Tensor:
        return x.flatten(1)

    x = torch.ones(1, 3, 2)
    one, two = (memory_over_time(function, x, probes=n) for n in (1, 2))
    assert torch.equal(memory_over_time(function, x), one)
    assert not torch.equal(one, two)
    many = memory_over_time(function, x, probes=4000)
    torch.testing.assert_close(many, torch.full((3,), 2**0.5).double(), rtol=0.05, atol=0)
    assert not torch.equal(one, memory_over_time(function, x, seed=1))


def test_of_a_time_axis_the_last_step_is_taken_and_of_another_all() -> None:
    def steps(x: Tensor) -> Tensor:
        return x[..., :1].cumsum(1)

    found = memory_over_time(lambda x: x[..., :1] * 2, torch.ones(1, 3, 2))
    assert found.tolist() == pytest.approx([0.0, 0.0, float(found[-1])])
    assert float(found[-1]) > 0
    assert (memory_over_time(steps, torch.ones(1, 3, 2)) > 0).all()
    assert (memory_over_time(lambda x: x[:, :2], torch.ones(1, 3, 2))[:2] > 0).all()


def test_reach_counts_back_to_the_earliest_step_that_matters() -> None:
    assert reach(torch.tensor([1.0, 0.0, 0.0, 1.0])) == 4
    assert reach(torch.tensor([0.0, 1e-7, 1e-5, 1.0])) == 2
    assert reach(torch.zeros(3)) == 0


def test_retention_is_latest_first_and_relative_to_the_latest():
    assert retention(torch.tensor([0.25, 3.0, 2.0])).tolist() == [1.0, 1.5, 0.125]


def test_without_influence_of_the_latest_day_nothing_is_kept():
    assert retention(torch.tensor([1.0, 0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("kept", "days"), [([1.0, 0.4], 1), ([1.0, 0.4, 0.6, 0.1], 3), ([1.0, 0.5], 2), ([0.0], 0)]
)
def test_half_life_is_the_first_lag_after_the_last_half(kept, days):
    assert half_life(torch.tensor(kept)) == days


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 1, bias=False, batch_first=True)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.rnn(x)[0])[:, -1]


def test_a_factor_of_0_8_leaves_0_8_to_the_power_of_days_with_dropout_off():
    model = Recurrent()
    with torch.no_grad():
        model.rnn.weight_ih_l0.fill_(1e-3)
        model.rnn.weight_hh_l0.fill_(0.8)
    kept = retention(prediction_memory(model, model, torch.randn(2, 101, 1)))
    torch.testing.assert_close(kept[100].item(), 0.8**100, rtol=1e-2, atol=0)
    assert half_life(kept) == 4


def test_mode_gradients_and_random_numbers_stay_as_they_were():
    model = Recurrent().train()
    model(torch.randn(2, 5, 1)).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    x, state = torch.randn(2, 5, 1), torch.get_rng_state()
    prediction_memory(model, model, x)
    assert model.training
    assert model.dropout.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, (p.grad for p in model.parameters())))


def test_memory_is_measured_in_evaluation_mode() -> None:
    model = Recurrent().train()
    x = torch.randn(4, 5, 1)
    measured = prediction_memory(model, model, x)
    model.eval()
    assert torch.equal(measured, memory_over_time(model, x))


@pytest.mark.parametrize(("share", "steps"), [(1.1e-6, 3), (1e-6, 3), (0.9e-6, 1)])
def test_a_millionth_of_the_strongest_influence_is_remembered(share: float, steps: int) -> None:
    norms = torch.tensor([2 * share, 0.0, 2.0], dtype=torch.float64)
    assert reach(norms) == steps
    assert reach(norms, threshold=0.5) == 1
    assert reach(torch.zeros(3)) == 0
