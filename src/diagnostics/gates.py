"""Pre-activations inside a fused recurrent layer, recomputed from its own weights."""

from typing import Any

import torch
from torch import Tensor, nn

FLAT_BEYOND = {"sigmoid": 5.0, "tanh": 2.65}
"""|pre-activation| beyond which the slope is under 0.7% of a sigmoid's and 2% of a tanh's largest:
sigmoid'(5) / sigmoid'(0) = 0.027, tanh'(2.65) = 0.020."""


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


def gate_saturation(rnn: nn.RNNBase, x: Tensor) -> dict[str, float]:
    """Measure the share of saturated pre-activations of every gate of every layer.

    Args:
        rnn: `nn.RNN`, `nn.GRU` or `nn.LSTM` without projection; of two directions the forward one.
        x: Its input, (B, T, F) or (T, B, F) as `batch_first` says; the state starts at zero.

    Returns:
        `layer0.forget` -> share, and so on; empty where the layer cannot be taken apart.
    """
    if rnn.proj_size or x.dim() != 3:
        return {}
    shares: dict[str, float] = {}
    with torch.no_grad():
        for layer in range(rnn.num_layers):
            hidden, cell = _run_layer(rnn, layer, x)
            for gate, (function, values) in _preactivations(rnn, layer, x, hidden).items():
                shares[f"layer{layer}.{gate}"] = saturation(values, function)
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


def _preactivations(
    rnn: nn.RNNBase, layer: int, x: Tensor, hidden: Tensor
) -> dict[str, tuple[str, Tensor]]:
    """Return gate -> (function, pre-activation) of the forward direction."""
    time = 1 if rnn.batch_first else 0
    states = hidden[..., : rnn.hidden_size]
    previous = states.roll(1, dims=time)
    previous.select(time, 0).zero_()
    weight_x, weight_h = (getattr(rnn, f"weight_{part}_l{layer}") for part in ("ih", "hh"))
    from_x, from_h = x @ weight_x.T, previous @ weight_h.T
    if rnn.bias:
        from_x = from_x + getattr(rnn, f"bias_ih_l{layer}")
        from_h = from_h + getattr(rnn, f"bias_hh_l{layer}")
    if isinstance(rnn, nn.LSTM):
        gates = (from_x + from_h).chunk(4, dim=-1)
        names = ("input", "forget", "candidate", "output")
        return {
            name: ("tanh" if name == "candidate" else "sigmoid", gate)
            for name, gate in zip(names, gates, strict=True)
        }
    if isinstance(rnn, nn.GRU):
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
            part.chunk(3, dim=-1) for part in (from_x, from_h)
        )
        reset = reset_x + reset_h
        return {
            "reset": ("sigmoid", reset),
            "update": ("sigmoid", update_x + update_h),
            "candidate": ("tanh", new_x + reset.sigmoid() * new_h),
        }
    if getattr(rnn, "nonlinearity", "tanh") == "tanh":
        return {"state": ("tanh", from_x + from_h)}
    return {}
