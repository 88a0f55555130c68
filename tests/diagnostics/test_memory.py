"""Memory over time, gradient shares, saturation and update ratios by hand and by slow twins."""

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes.experiment import update_ratio
from src.diagnostics.gates import gate_saturation, saturation
from src.diagnostics.memory import gradient_share, memory_over_time, reach


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


def test_mean_pooling_gives_every_step_the_same_share() -> None:
    hidden = torch.randn(4, 20, 8, requires_grad=True)
    (grad,) = torch.autograd.grad(hidden.mean(1).square().sum(), hidden)
    torch.testing.assert_close(gradient_share(grad), torch.full((20,), 0.05, dtype=torch.float64))


def test_last_pooling_gives_all_to_the_last_step_and_nothing_is_shared_as_zeros() -> None:
    grad = torch.zeros(2, 4, 3)
    assert gradient_share(grad).tolist() == [0, 0, 0, 0]
    grad[:, -1] = 1
    assert gradient_share(grad).tolist() == [0, 0, 0, 1]


def test_reach_counts_back_to_the_earliest_step_that_matters() -> None:
    assert reach(torch.tensor([1.0, 0.0, 0.0, 1.0])) == 4
    assert reach(torch.tensor([0.0, 1e-7, 1e-5, 1.0])) == 2
    assert reach(torch.zeros(3)) == 0


def test_saturation_counts_the_flat_part() -> None:
    assert saturation(torch.tensor([-3.0, 0.0, 2.0, 3.0]), "tanh") == 0.5
    with pytest.raises(ValueError, match="got 'relu'"):
        saturation(torch.zeros(2), "relu")


def test_update_ratio_of_zero_weights_and_of_no_step() -> None:
    assert update_ratio(torch.ones(3), torch.ones(3)) == 0.0
    assert update_ratio(torch.zeros(3), torch.ones(3)) == float("inf")


def slow_lstm_gates(rnn: nn.LSTM, x: Tensor) -> dict[str, float]:
    """Run the cell step by step and collect pre-activations of the first layer."""
    h = c = torch.zeros(len(x), rnn.hidden_size)
    gates: dict[str, list[Tensor]] = {"input": [], "forget": [], "candidate": [], "output": []}
    for t in range(x.shape[1]):
        pre = x[:, t] @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
        parts = (pre + h @ rnn.weight_hh_l0.T + rnn.bias_hh_l0).chunk(4, dim=-1)
        for name, part in zip(gates, parts, strict=True):
            gates[name].append(part)
        i, f, g, o = parts[0].sigmoid(), parts[1].sigmoid(), parts[2].tanh(), parts[3].sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
    return {
        f"layer0.{name}": saturation(torch.stack(v), "tanh" if name == "candidate" else "sigmoid")
        for name, v in gates.items()
    }


@pytest.mark.parametrize("layers", [1, 2])
def test_lstm_gate_saturation_equals_step_by_step_twin(layers: int) -> None:
    torch.manual_seed(0)
    rnn = nn.LSTM(3, 5, num_layers=layers, batch_first=True)
    x = 10 * torch.randn(4, 6, 3)
    with torch.no_grad():
        slow = slow_lstm_gates(rnn, x)
    fast = gate_saturation(rnn, x)
    assert {key: fast[key] for key in slow} == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_twenty_times_too_large_are_saturated(kind: type, bidirectional: bool) -> None:
    torch.manual_seed(0)
    rnn = kind(3, 8, batch_first=True, bidirectional=bidirectional, num_layers=2)
    healthy = gate_saturation(rnn, torch.randn(4, 6, 3))
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.mul_(20)
    scaled = gate_saturation(rnn, torch.randn(4, 6, 3))
    assert max(healthy.values()) < 0.1
    assert min(share for gate, share in scaled.items() if "cell" not in gate) > 0.3
