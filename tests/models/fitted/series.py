"""Windows of made-up closes, as data=prices shows them: log closes over the last, one feature."""

from types import SimpleNamespace

import torch
from torch import Tensor

from src.models.fitted.fitted import Windows

T = 30
PLAIN = SimpleNamespace(
    horizon=1,
    log_closes=lambda x_btf: x_btf[:, :, 0].double(),
    scaled=lambda values: values,
    raw=lambda values: values.double(),
)
"""A history whose windows are the log closes themselves, and whose targets are raw."""


def windows_of(returns: Tensor, steps: int = T, horizon: int = 1) -> Windows:
    """Return all windows over a series of log returns, and the sums of those that follow each."""
    closes = torch.cat([torch.zeros(1), returns.cumsum(0)]).double()
    shown = closes.unfold(0, steps, 1)[:-horizon]
    last = closes[steps - 1 : -horizon, None]
    return Windows((shown - last).unsqueeze(-1), closes[steps:].unfold(0, horizon, 1) - last)


def autoregressive(n: int, phi: float, mean: float = 0.0) -> Tensor:
    """Return n values x[t] = mean + phi (x[t-1] - mean) + noise of unit size."""
    noise = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = [mean + noise[0]]
    for surprise in noise[1:]:
        values.append(mean + phi * (values[-1] - mean) + surprise)
    return torch.stack(values)
