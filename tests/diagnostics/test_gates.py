"""Gates against hand-computed steps, PyTorch's cells and PyTorch's networks."""

import math

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.gates import gate_saturation, saturation, trace_gates


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_an_lstm_of_one_unit_is_traced_as_by_hand():
    rnn = nn.LSTM(1, 1, batch_first=True)
    with torch.no_grad():
        rnn.weight_ih_l0[:] = torch.tensor([[0.5], [-1.0], [2.0], [0.1]])
        rnn.weight_hh_l0[:] = torch.tensor([[1.0], [0.3], [-0.5], [0.7]])
        rnn.bias_ih_l0[:] = torch.tensor([0.0, 1.0, 0.0, 0.2])
        rnn.bias_hh_l0[:] = torch.tensor([0.1, 0.0, 0.0, 0.0])
    trace = trace_gates(rnn, torch.tensor([[[1.0], [-2.0]]]))
    hidden = cell = 0.0
    for step, x in enumerate((1.0, -2.0)):
        i = sigmoid(0.5 * x + 1.0 * hidden + 0.1)
        f = sigmoid(-1.0 * x + 0.3 * hidden + 1.0)
        g = math.tanh(2.0 * x - 0.5 * hidden)
        o = sigmoid(0.1 * x + 0.7 * hidden + 0.2)
        cell = f * cell + i * g
        hidden = o * math.tanh(cell)
        traced = [quantity[0, 0, step, 0].item() for quantity in trace]
        assert traced == pytest.approx([i, f, g, o, cell, hidden], abs=1e-6)


def test_a_gru_of_one_unit_is_traced_as_by_hand():
    rnn = nn.GRU(1, 1, batch_first=True)
    with torch.no_grad():
        rnn.weight_ih_l0[:] = torch.tensor([[0.5], [-1.0], [2.0]])
        rnn.weight_hh_l0[:] = torch.tensor([[1.0], [0.3], [-0.5]])
        rnn.bias_ih_l0[:] = torch.tensor([0.0, 1.0, 0.2])
        rnn.bias_hh_l0[:] = torch.tensor([0.1, 0.0, 0.4])
    trace = trace_gates(rnn, torch.tensor([[[1.0], [-2.0]]]))
    hidden = 0.0
    for step, x in enumerate((1.0, -2.0)):
        r = sigmoid(0.5 * x + 1.0 * hidden + 0.1)
        z = sigmoid(-1.0 * x + 0.3 * hidden + 1.0)
        n = math.tanh(2.0 * x + 0.2 + r * (-0.5 * hidden + 0.4))
        hidden = (1 - z) * n + z * hidden
        traced = [quantity[0, 0, step, 0].item() for quantity in trace]
        assert traced == pytest.approx([r, z, n, hidden], abs=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_last_layer_is_the_networks_output_and_the_last_steps_its_states(kind, bias, layers):
    torch.manual_seed(0)
    rnn = kind(4, 7, layers, bias=bias, batch_first=True, dropout=0.5 if layers > 1 else 0)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.mul_(3)
    x = 2 * torch.randn(5, 60, 4)
    trace = trace_gates(rnn, x)
    output, states = rnn.eval()(x)
    torch.testing.assert_close(trace.hidden[-1], output, rtol=0, atol=1e-5)
    hidden, *cell = states if kind is nn.LSTM else (states,)
    torch.testing.assert_close(trace.hidden[:, :, -1], hidden, rtol=0, atol=1e-5)
    for last_cell in cell:
        torch.testing.assert_close(trace.cell[:, :, -1], last_cell, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "cell"), [(nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell)])
def test_the_first_layer_equals_pytorchs_cell_step_by_step(kind, cell):
    torch.manual_seed(0)
    rnn, twin = kind(3, 6, 2, batch_first=True), cell(3, 6)
    twin.load_state_dict({name: getattr(rnn, f"{name}_l0") for name in twin.state_dict()})
    x = torch.randn(4, 9, 3)
    trace = trace_gates(rnn, x)
    state = None
    for step in range(9):
        state = twin(x[:, step], state)
        hidden, *cells = state if kind is nn.LSTM else (state,)
        torch.testing.assert_close(trace.hidden[0, :, step], hidden)
        for one in cells:
            torch.testing.assert_close(trace.cell[0, :, step], one)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_are_shares_and_candidates_lie_between_minus_one_and_one(kind):
    trace = trace_gates(kind(1, 5, 2, batch_first=True), 10 * torch.randn(3, 8, 1))._asdict()
    for gate in trace.keys() - {"candidate", "cell", "hidden"}:
        assert ((trace[gate] >= 0) & (trace[gate] <= 1)).all()
    assert (trace["candidate"].abs() <= 1).all()


@pytest.mark.parametrize(
    ("rnn", "message"),
    [
        (nn.RNN(1, 2, batch_first=True), "got RNN"),
        (nn.LSTM(1, 2, batch_first=True, bidirectional=True), "True, True and 0"),
        (nn.LSTM(1, 4, batch_first=True, proj_size=2), "True, False and 2"),
        (nn.GRU(1, 2), "False, False and 0"),
    ],
)
def test_what_cannot_be_traced_is_refused(rnn, message):
    with pytest.raises(ValueError, match=message):
        trace_gates(rnn, torch.zeros(1, 3, 1))


def test_saturation_counts_the_flat_part() -> None:
    assert saturation(torch.tensor([-3.0, 0.0, 2.0, 3.0]), "tanh") == 0.5
    with pytest.raises(ValueError, match="got 'relu'"):
        saturation(torch.zeros(2), "relu")


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


@pytest.mark.parametrize(("function", "bound"), [("sigmoid", 5.0), ("tanh", 2.65)])
def test_the_flat_part_begins_beyond_its_bound_on_either_side(function: str, bound: float) -> None:
    values = torch.tensor([bound, -bound, bound + 0.01, -bound - 0.01, 0.0], dtype=torch.float64)
    assert saturation(values, function) == 0.4
    assert saturation(values[:0], function) == 0.0


def test_gates_are_the_same_whichever_axis_is_time() -> None:
    torch.manual_seed(0)
    first, x = nn.GRU(3, 5, batch_first=True), 10 * torch.randn(4, 6, 3)
    second = nn.GRU(3, 5)
    second.load_state_dict(first.state_dict())
    shares = gate_saturation(first, x)
    assert gate_saturation(second, x.transpose(0, 1)) == pytest.approx(shares, abs=1e-6)
    assert set(shares) == {"layer0.reset", "layer0.update", "layer0.candidate"}
    assert any(0 < share < 1 for share in shares.values())


def test_what_cannot_be_taken_apart_has_no_gates() -> None:
    assert gate_saturation(nn.LSTM(3, 5, proj_size=2, batch_first=True), torch.ones(4, 6, 3)) == {}
    assert gate_saturation(nn.GRU(3, 5, batch_first=True), torch.ones(6, 3)) == {}
    rectified = nn.RNN(3, 5, nonlinearity="relu", batch_first=True)
    assert gate_saturation(rectified, torch.ones(4, 6, 3)) == {}
