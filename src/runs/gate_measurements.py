"""What a trained LSTM or GRU says to the claims made of its gates, in numbers.

Shapes: W windows, T days of a window, L layers, D hidden size.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.diagnostics.gates import Trace, trace_gates
from src.diagnostics.memory import LAGS, prediction_memory, retention
from src.models.recurrent import CELLS
from src.reporting.statistics import estimate
from src.training.module import RegressionModule

# The gate that keeps: a GRU's update gate does what an LSTM's forget gate does.
KEEPING = {"lstm": "forget", "gru": "update"}


def trace_run(module: RegressionModule, x_wtf: Tensor) -> tuple[Trace, float]:
    """Trace the gates of a trained regressor.

    Args:
        module: The module, in evaluation mode.
        x_wtf: Model input (W, T, F).

    Returns:
        Every gate and state, (L, W, T, D) each, and how far the last layer's hidden states are off
        the network's own output at most.

    Raises:
        ValueError: If the model has no LSTM or GRU in it, or the trace is not its output.
    """
    rnn = _recurrent_part(module)
    with torch.no_grad():
        normed = module.get_submodule("model.norm")(x_wtf)
        trace, output = trace_gates(rnn, normed), rnn(normed)[0]
    off = float((trace.hidden[-1] - output).abs().max())
    if off > 1e-5:
        raise ValueError(f"the trace is {off:g} off the network's own output: kernels too coarse")
    return trace, off


def answers(module: RegressionModule, x_wtf: Tensor, closes_wt: np.ndarray) -> dict[str, Any]:
    """Measure what is claimed of gates and memory, on windows that share no day.

    Args:
        module: The module, in evaluation mode.
        x_wtf: Model input (W, T, F).
        closes_wt: The same days' closes (W, T), price units.

    Returns:
        Plain values: `keeping` (mean keep gate on rising and falling days, by layer), `kept` (share
        of a cell's content left after some days, by layer), `retention` (influence of an earlier
        day's input on the forecast, as a share of the last day's), `parameters`, `trace_error`.

    Raises:
        ValueError: As `trace_run`.
    """
    trace, off = trace_run(module, x_wtf)
    rnn = _recurrent_part(module)
    kind = "lstm" if isinstance(rnn, nn.LSTM) else "gru"
    keep = getattr(trace, KEEPING[kind]).double().numpy()
    lags = [lag for lag in LAGS if lag < x_wtf.shape[1]]
    memory = retention(prediction_memory(module, module, x_wtf))
    return {
        "cell": kind,
        "gate": KEEPING[kind],
        "windows": len(x_wtf),
        "trace_error": off,
        "keeping": [by_direction(layer, closes_wt) for layer in keep],
        "kept": [{lag: float(layer[:, -lag:].prod(1).mean()) for lag in lags} for layer in keep],
        "retention": {lag: float(memory[lag]) for lag in lags},
        "parameters": parameter_counts(rnn),
    }


def _recurrent_part(module: RegressionModule) -> nn.LSTM | nn.GRU:
    encoder = getattr(module.model, "encoder", None)
    rnn = getattr(encoder, "rnn", None)
    if not isinstance(rnn, nn.LSTM | nn.GRU):
        kind = type(next(part for part in (rnn, encoder, module.model) if part is not None))
        raise ValueError(f"gates are those of model=lstm or model=gru, got a {kind.__name__}")
    return rnn


def by_direction(gate_wtd: np.ndarray, closes_wt: np.ndarray) -> dict[str, list[float]]:
    """Compare a gate on rising and on falling days.

    Args:
        gate_wtd: A gate of one layer (W, T, D).
        closes_wt: Closes (W, T).

    Returns:
        Mean and both ends of its 95% interval over windows, of the gate on `rising` and `falling`
        days and of their `difference` within a window. A day without a move is neither.
    """
    gate = gate_wtd.mean(axis=2)[:, 1:]
    moves = np.diff(closes_wt, axis=1)
    mixed = (moves > 0).any(axis=1) & (moves < 0).any(axis=1)
    gate, moves = gate[mixed], moves[mixed]
    rising = np.array([g[m > 0].mean() for g, m in zip(gate, moves, strict=True)])
    falling = np.array([g[m < 0].mean() for g, m in zip(gate, moves, strict=True)])
    named = {"rising": rising, "falling": falling, "difference": rising - falling}
    done = {name: estimate(values) for name, values in named.items()}
    return {name: [one.mean, one.low, one.high] for name, one in done.items()}


def parameter_counts(rnn: nn.RNNBase) -> dict[str, int]:
    """Return the parameters of rnn, gru and lstm of the same size as a network.

    >>> parameter_counts(nn.LSTM(1, 50, 2))
    {'lstm': 31000, 'gru': 23250, 'rnn': 7750}
    """
    size = (rnn.input_size, rnn.hidden_size, rnn.num_layers)
    with torch.device("meta"):
        return {
            name: sum(p.numel() for p in kind(*size, bias=rnn.bias).parameters())
            for name, kind in CELLS.items()
        }
