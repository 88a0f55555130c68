"""Look inside `nn.LSTM` and `nn.GRU`: every gate and state, from PyTorch's own weights.

Shapes: L layers, B batch, T time steps, F input features, D hidden size.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


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

    Source: the equations of https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html and
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html

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
    run_layer = _run_lstm_layer if isinstance(rnn, nn.LSTM) else _run_gru_layer
    layers = []
    for layer in range(rnn.num_layers):
        layers.append(run_layer(x_btf, *_weights(rnn, layer)))
        x_btf = layers[-1][-1]
    kind = LSTMTrace if isinstance(rnn, nn.LSTM) else GRUTrace
    return kind(*(torch.stack(quantity) for quantity in zip(*layers, strict=True)))


def _weights(rnn: nn.RNNBase, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return input weights, recurrent weights and both biases, zeros where there are none."""
    input_weight = getattr(rnn, f"weight_ih_l{layer}")
    recurrent_weight = getattr(rnn, f"weight_hh_l{layer}")
    none = input_weight.new_zeros(len(input_weight))
    biases = (getattr(rnn, f"bias_{kind}_l{layer}", none) for kind in ("ih", "hh"))
    return input_weight, recurrent_weight, *biases


def _run_lstm_layer(
    x_btf: Tensor, input_weight: Tensor, recurrent_weight: Tensor, b_ih: Tensor, b_hh: Tensor
) -> list[Tensor]:
    """Return input, forget, candidate, output, cell and hidden, (B, T, D) each."""
    hidden = cell = x_btf.new_zeros(len(x_btf), recurrent_weight.shape[1])
    steps = []
    for from_input in (x_btf @ input_weight.T + b_ih + b_hh).unbind(1):
        i, f, g, o = (from_input + hidden @ recurrent_weight.T).chunk(4, dim=1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        cell = f * cell + i * g
        hidden = o * cell.tanh()
        steps.append((i, f, g, o, cell, hidden))
    return [torch.stack(quantity, dim=1) for quantity in zip(*steps, strict=True)]


def _run_gru_layer(
    x_btf: Tensor, input_weight: Tensor, recurrent_weight: Tensor, b_ih: Tensor, b_hh: Tensor
) -> list[Tensor]:
    """Return reset, update, candidate and hidden, (B, T, D) each."""
    hidden = x_btf.new_zeros(len(x_btf), recurrent_weight.shape[1])
    steps = []
    for from_input in (x_btf @ input_weight.T + b_ih).unbind(1):
        r_x, z_x, n_x = from_input.chunk(3, dim=1)
        r_h, z_h, n_h = (hidden @ recurrent_weight.T + b_hh).chunk(3, dim=1)
        r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
        # The reset gate acts on W h + b, not on h as in Cho et al. 2014.
        n = (n_x + r * n_h).tanh()
        hidden = (1 - z) * n + z * hidden
        steps.append((r, z, n, hidden))
    return [torch.stack(quantity, dim=1) for quantity in zip(*steps, strict=True)]
