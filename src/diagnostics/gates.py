"""Look inside `nn.RNN`, `nn.LSTM` and `nn.GRU`: gates and states, from PyTorch's own weights.

Shapes: L layers, B batch, T time steps, F input features, D hidden size.

Source: the equations of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html and
https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FLAT_BEYOND = {"sigmoid": 5.0, "tanh": 2.65}
"""|pre-activation| beyond which the slope is under 0.7% of a sigmoid's and 2% of a tanh's largest:
sigmoid'(5) / sigmoid'(0) = 0.027, tanh'(2.65) = 0.020."""
FUNCTIONS = {
    "input": "sigmoid",
    "forget": "sigmoid",
    "output": "sigmoid",
    "reset": "sigmoid",
    "update": "sigmoid",
    "candidate": "tanh",
    "state": "tanh",
}
"""What squashes each gate."""


class LSTMTrace(NamedTuple):
    """What an LSTM computes on its way, each of shape (L, B, T, D).

    Attributes:
        input: Gate i, the share of the candidate that is written, in (0, 1).
        forget: Gate f, the share of the cell that is kept, in (0, 1).
        candidate: g, what may be written, in (-1, 1).
        output: Gate o, the share of the cell that is shown, in (0, 1).
        cell: c' = f * c + i * g, after the step.
        hidden: h' = o * tanh(c'), after the step.
    """

    input: Tensor
    forget: Tensor
    candidate: Tensor
    output: Tensor
    cell: Tensor
    hidden: Tensor


class GRUTrace(NamedTuple):
    """What a GRU computes on its way, each of shape (L, B, T, D).

    Attributes:
        reset: Gate r, the share of the past that the candidate sees, in (0, 1).
        update: Gate z, the share of the hidden state that is kept, in (0, 1).
        candidate: n, what may be written, in (-1, 1).
        hidden: h' = (1 - z) * n + z * h, after the step.
    """

    reset: Tensor
    update: Tensor
    candidate: Tensor
    hidden: Tensor


Trace = LSTMTrace | GRUTrace


def preactivations(rnn: nn.RNNBase, from_input: Tensor, from_hidden: Tensor) -> dict[str, Tensor]:
    """Return what the gates of a layer squash.

    Args:
        rnn: It says which equations hold.
        from_input: W x + b of one or more steps, all gates side by side in the last dimension.
        from_hidden: The same of the hidden states before these steps.

    Returns:
        Gate -> pre-activation (..., D), in the order of the weights; empty for `nonlinearity=relu`.
    """
    if isinstance(rnn, nn.LSTM):
        names = ("input", "forget", "candidate", "output")
        return dict(zip(names, (from_input + from_hidden).chunk(4, dim=-1), strict=True))
    if isinstance(rnn, nn.GRU):
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
            part.chunk(3, dim=-1) for part in (from_input, from_hidden)
        )
        reset = reset_x + reset_h
        # The reset gate acts on W h + b, not on h as in Cho et al. 2014.
        candidate = new_x + reset.sigmoid() * new_h
        return {"reset": reset, "update": update_x + update_h, "candidate": candidate}
    if getattr(rnn, "nonlinearity", "tanh") == "tanh":
        return {"state": from_input + from_hidden}
    return {}


def _project(rnn: nn.RNNBase, layer: int, part: str, x: Tensor) -> Tensor:
    """Return W x + b of one layer's `ih` or `hh` weights."""
    projected = x @ getattr(rnn, f"weight_{part}_l{layer}").T
    return projected + getattr(rnn, f"bias_{part}_l{layer}") if rnn.bias else projected


@torch.no_grad()
def trace_gates(rnn: nn.RNNBase, x_btf: Tensor) -> Trace:
    """Run a recurrent network step by step from zero states and keep all it computes.

    Args:
        rnn: An `nn.LSTM` or `nn.GRU` with `batch_first=True`; read, not run. Dropout between its
            layers is left out, as in evaluation.
        x_btf: Input windows, shape (B, T, F).

    Returns:
        Gates, candidates and states of every layer and step; the last layer's `hidden` is the
        network's own output up to rounding.

    Raises:
        ValueError: If it is another kind of network, bidirectional, projected or time first.

    >>> trace = trace_gates(nn.LSTM(1, 50, num_layers=2, batch_first=True), torch.zeros(32, 60, 1))
    >>> trace.forget.shape
    torch.Size([2, 32, 60, 50])
    """
    if not isinstance(rnn, nn.LSTM | nn.GRU):
        raise ValueError(f"gates are those of an nn.LSTM or nn.GRU, got {type(rnn).__name__}")
    if rnn.bidirectional or rnn.proj_size or not rnn.batch_first:
        raise ValueError(
            "gates are traced with batch_first=True, bidirectional=False and proj_size=0, got "
            f"{rnn.batch_first}, {rnn.bidirectional} and {rnn.proj_size}"
        )
    layers = []
    for layer in range(rnn.num_layers):
        layers.append(_trace_layer(rnn, layer, x_btf))
        x_btf = layers[-1][-1]
    kind = LSTMTrace if isinstance(rnn, nn.LSTM) else GRUTrace
    return kind(*(torch.stack(quantity) for quantity in zip(*layers, strict=True)))


def _trace_layer(rnn: nn.RNNBase, layer: int, x_btf: Tensor) -> list[Tensor]:
    """Return the gates of one layer, then the cell of an LSTM, then hidden, (B, T, D) each."""
    hidden = cell = x_btf.new_zeros(len(x_btf), rnn.hidden_size)
    steps = []
    for from_input in _project(rnn, layer, "ih", x_btf).unbind(1):
        before = preactivations(rnn, from_input, _project(rnn, layer, "hh", hidden))
        gates = {name: getattr(torch, FUNCTIONS[name])(value) for name, value in before.items()}
        if isinstance(rnn, nn.LSTM):
            cell = gates["forget"] * cell + gates["input"] * gates["candidate"]
            hidden = gates["output"] * cell.tanh()
            steps.append((*gates.values(), cell, hidden))
        else:
            hidden = (1 - gates["update"]) * gates["candidate"] + gates["update"] * hidden
            steps.append((*gates.values(), hidden))
    return [torch.stack(quantity, dim=1) for quantity in zip(*steps, strict=True)]


def saturation(preactivation: Tensor, function: str) -> float:
    """Return the share of pre-activations on the flat part of a sigmoid or a tanh.

    Args:
        preactivation: Tensor of any shape.
        function: `sigmoid` or `tanh`.

    Returns:
        Share in [0, 1].

    Raises:
        ValueError: For any other function.

    >>> saturation(torch.tensor([0.0, 3.0, -20.0, 6.0]), "sigmoid")
    0.5
    """
    if function not in FLAT_BEYOND:
        raise ValueError(f"function must be one of {sorted(FLAT_BEYOND)}, got {function!r}")
    flat = preactivation.detach().abs() > FLAT_BEYOND[function]
    return float(flat.double().mean()) if flat.numel() else 0.0


@torch.no_grad()
def gate_saturation(rnn: nn.RNNBase, x: Tensor) -> dict[str, float]:
    """Measure the share of saturated pre-activations of every gate of every layer.

    The layer's own fast kernel gives the states, so all steps' gates follow from one product.

    Args:
        rnn: `nn.RNN`, `nn.GRU` or `nn.LSTM` without projection; of two directions the forward one.
        x: Its input, (B, T, F) or (T, B, F) as `batch_first` says; the state starts at zero.

    Returns:
        `layer0.forget` -> share, and so on; empty where the layer cannot be taken apart.
    """
    if rnn.proj_size or x.dim() != 3:
        return {}
    shares: dict[str, float] = {}
    time = 1 if rnn.batch_first else 0
    for layer in range(rnn.num_layers):
        hidden, cell = _run_layer(rnn, layer, x)
        previous = hidden[..., : rnn.hidden_size].roll(1, dims=time)
        previous.select(time, 0).zero_()
        projected = _project(rnn, layer, "ih", x), _project(rnn, layer, "hh", previous)
        for gate, values in preactivations(rnn, *projected).items():
            shares[f"layer{layer}.{gate}"] = saturation(values, FUNCTIONS[gate])
        if cell is not None:
            shares[f"layer{layer}.cell"] = saturation(cell, "tanh")
        x = hidden
    return shares


def _run_layer(rnn: nn.RNNBase, layer: int, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run one layer on its own: the states of all directions, (B, T, D), and the last cell."""
    options = {"nonlinearity": rnn.nonlinearity} if isinstance(rnn, nn.RNN) else {}
    kind: Any = type(rnn)
    single = kind(
        x.shape[-1],
        rnn.hidden_size,
        bias=rnn.bias,
        batch_first=rnn.batch_first,
        bidirectional=rnn.bidirectional,
        **options,
    ).to(x)
    for name, parameter in single.named_parameters():
        parameter.copy_(getattr(rnn, name.replace("_l0", f"_l{layer}")))
    hidden, state = single(x)
    return hidden, state[1] if isinstance(rnn, nn.LSTM) else None
