"""What a head says of each number that is forecast: the number, its quantiles, or a distribution.

Each option turns raw outputs of the last layer into parameters in the scale of the target, knows
the loss that is least for the true distribution, and reads quantiles out of its parameters.

Shapes: B batch, K numbers that are forecast, P parameters of each, L levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

Undo = Callable[[Tensor], Tensor]
"""Brings locations (B, N) from a norm's scale back to that of the target."""

LN2 = math.log(2.0)
MIN_SCALE = 1e-3
MOST_LEVELS = 999
MIN_DF = 2.0
"""Of a Student-t: above it there is a variance."""


class PointOutput:
    """One number for each that is forecast, judged by the loss of its kind of target."""

    size = 1
    levels: tuple[float, ...] = ()

    def __call__(self, raw: Tensor, undo: Undo) -> Tensor:
        """Return parameters (B, K * P) of raw outputs (B, K * P)."""
        return undo(raw)

    def loss(self, params: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Return the loss of parameters (B, K * P), given what came (B, K).

        Args:
            params: What `__call__` returned, float32 or better.
            target: Scaled.
            reduction: `mean`, a scalar, or `none`, one a number (B, K).
        """
        raise AssertionError("a point has the loss of its kind of target")

    def quantiles(self, params: Tensor) -> Tensor:
        """Return the quantiles (B, K, L) of `levels`, ascending, in scaled target units."""
        raise AssertionError("a point has no quantiles")


class QuantileOutput(PointOutput):
    """Quantiles that cannot cross, learned by the pinball loss.

    A raw output is the middle quantile, the others are distances to the next one, made positive.
    All raw outputs 0 are the quantiles of the standard normal distribution.

    Args:
        levels: Of the quantiles, in (0, 1), ascending, at least 2.

    Raises:
        ValueError: If they are no such levels.

    Source: Koenker and Bassett, Econometrica 46 (1978), equation 2.1.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = checked_levels(levels)
        self.size = len(self.levels)
        normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(self.levels))
        self._middle = self.size // 2
        self._normal_middle = float(normal[self._middle])
        self._gaps = normal.diff().tolist()

    def __call__(self, raw: Tensor, undo: Undo) -> Tensor:
        """Return quantiles (B, K * L), ascending for each number, of raw outputs (B, K * L)."""
        raw_bkl = raw.unflatten(-1, (-1, self.size))
        middle = raw_bkl[..., self._middle, None] + self._normal_middle
        others = torch.cat([raw_bkl[..., : self._middle], raw_bkl[..., self._middle + 1 :]], dim=-1)
        gaps = F.softplus(others) * others.new_tensor(self._gaps) / LN2
        below = gaps[..., : self._middle].flip(-1).cumsum(-1).flip(-1)
        above = gaps[..., self._middle :].cumsum(-1)
        return undo(torch.cat([middle - below, middle, middle + above], dim=-1).flatten(-2))

    def loss(self, params: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Return the pinball loss, mean over the levels, of quantiles (B, K * L)."""
        off = target.unsqueeze(-1) - self.quantiles(params)
        levels = off.new_tensor(self.levels)
        loss = torch.maximum(levels * off, (levels - 1) * off).mean(-1)
        return loss.mean() if reduction == "mean" else loss

    def quantiles(self, params: Tensor) -> Tensor:
        """Return the quantiles (B, K, L)."""
        return params.unflatten(-1, (-1, self.size))


class StudentTOutput(PointOutput):
    """Location, scale and degrees of freedom of a Student-t, learned by its likelihood.

    All raw outputs 0 are the location 0, the scale 1 and 6 degrees of freedom.

    Args:
        levels: Of the quantiles that are read out of it, in (0, 1), ascending, at least 2.

    Raises:
        ValueError: If they are no such levels.

    Source: Lange, Little and Taylor, Journal of the American Statistical Association 84 (1989).
    """

    size = 3

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = checked_levels(levels)

    def __call__(self, raw: Tensor, undo: Undo) -> Tensor:
        """Return location, scale and degrees of freedom (B, K * 3) of raw outputs (B, K * 3)."""
        location, raw_scale, raw_df = raw.unflatten(-1, (-1, 3)).unbind(-1)
        scale = MIN_SCALE + (1 - MIN_SCALE) * F.softplus(raw_scale) / LN2
        df = MIN_DF + 4 * F.softplus(raw_df) / LN2
        there = undo(location)
        return torch.stack([there, undo(location + scale) - there, df], dim=-1).flatten(-2)

    def loss(self, params: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Return the negative log likelihood."""
        location, scale, df = params.unflatten(-1, (-1, 3)).unbind(-1)
        z = (target - location) / scale
        loss = (
            torch.lgamma(df / 2)
            - torch.lgamma((df + 1) / 2)
            + 0.5 * torch.log(df * math.pi)
            + torch.log(scale)
            + 0.5 * (df + 1) * torch.log1p(z.square() / df)
        )
        return loss.mean() if reduction == "mean" else loss

    def quantiles(self, params: Tensor) -> Tensor:
        """Return the quantiles (B, K, L); no gradient flows through them."""
        from scipy.special import stdtrit

        location, scale, df = params.detach().cpu().double().unflatten(-1, (-1, 3)).unbind(-1)
        levels = torch.tensor(self.levels, dtype=torch.float64)
        z = torch.from_numpy(stdtrit(df.unsqueeze(-1).numpy(), levels.numpy()))
        return (location.unsqueeze(-1) + scale.unsqueeze(-1) * z).to(params.device)


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return levels as floats.

    Raises:
        ValueError: If they are not 2 to 999 numbers, ascending, above 0 and below 1.
    """
    numbers = all(type(level) in (int, float) for level in levels)
    own = tuple(float(level) for level in levels) if numbers else ()
    ascending = all(low < high for low, high in pairwise((0.0, *own, 1.0)))
    if not 2 <= len(own) <= MOST_LEVELS or not ascending:
        raise ValueError(
            f"levels must be 2 to {MOST_LEVELS} numbers, ascending, above 0 and below 1, "
            f"got {list(levels)[:30]}"
        )
    return own


def level_weights(levels: Sequence[float]) -> list[float]:
    """Return the share of all levels that each stands for: those nearer to it than to others.

    >>> level_weights([0.1, 0.5, 0.9])
    [0.3, 0.4, 0.3]
    """
    edges = [0.0, *((low + high) / 2 for low, high in pairwise(levels)), 1.0]
    return [round(high - low, 12) for low, high in pairwise(edges)]


def read(
    output: PointOutput, params: Tensor, in_units: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Return what is forecast, and its quantiles, in the unit of what comes.

    The forecast is the mean of the distribution in that unit: the mean of its quantiles there.

    Args:
        output: What the parameters are of.
        params: Parameters (B, K * P), scaled.
        in_units: Brings scaled numbers (B, K) to that unit; it is monotone.

    Returns:
        The forecast (B, K) and the quantiles (B, K, L); of a point there are none.
    """
    if not output.levels:
        return in_units(params), None
    scaled = output.quantiles(params)
    quantiles = torch.stack([in_units(one) for one in scaled.unbind(-1)], dim=-1)
    weights = quantiles.new_tensor(level_weights(output.levels))
    return (quantiles * weights).sum(-1), quantiles
