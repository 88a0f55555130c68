"""The faults at their doses, and what a dose does to a healthy trial."""

import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.faults import injectors
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.trial import Trial

NETS = ("mlp", "gru", "lstm", "tcn", "mixer", "hybrid")
HALVES = ("tune", "report")


class Ladder(NamedTuple):
    """One fault at eight doses.

    Args:
        says: what a dose is.
        causes: accepted names.
        doses: from none at all to the one of the fault benchmark or more.
        inject: dose -> edit of a healthy trial.
        fits: the nets that it can be seeded in.
    """

    says: str
    causes: tuple[str, ...]
    doses: tuple[float, ...]
    inject: Callable[[float], Callable[[Trial], None]]
    fits: Callable[[str], bool] = lambda name: True


def scale_weights(factor: float, trial: Trial) -> None:
    """Multiply every weight matrix."""
    with torch.no_grad():
        for parameter in trial.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(factor)


def scale_targets(factor: float, trial: Trial) -> None:
    """Multiply the targets."""
    trial.task.y *= factor


def steepen_tanh(factor: float, trial: Trial) -> None:
    """Multiply what enters the trunk's tanh."""
    linear, activation = trial.model.trunk.children()
    trial.model.trunk = nn.Sequential(linear, injectors.Scale(factor), activation)


def kill_units(share: float, trial: Trial) -> None:
    """Give a share of a rectified layer's units a bias of -10."""
    assert trial.architecture.relu is not None
    layer = trial.model.get_submodule(trial.architecture.relu.shifted)
    bias = layer.get_parameter("bias")
    with torch.no_grad():
        bias[len(bias) - round(share * len(bias)) :] = -10.0


def empty_features(count: float, trial: Trial) -> None:
    """Make features zero."""
    trial.task.x[:, :, injectors.choose_features(trial, round(count))] = 0.0


def clip(norm: float, trial: Trial) -> None:
    """Clip the gradient norm, under plain gradient descent."""
    trial.clip_norm, trial.optimizer, trial.lr = norm, "sgd", 0.02


def stack_sigmoids(layers: float, trial: Trial) -> None:
    """Put sigmoid layers between pooling and head."""
    width = trial.model.head.get_parameter("weight").shape[1]
    stack = [m for _ in range(round(layers)) for m in (nn.Linear(width, width), nn.Sigmoid())]
    trial.model.trunk = nn.Sequential(trial.model.trunk, *stack)


def _has_tanh(name: str) -> bool:
    return ARCHITECTURES[name].tanh is not None and name in ("mlp", "lstm", "mixer", "hybrid")


def _has_relu(name: str) -> bool:
    return ARCHITECTURES[name].relu is not None


TIMES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4)
LADDERS: dict[str, Ladder] = {
    "features": Ladder(
        "13 of 129 features times",
        ("misscaled_input",),
        TIMES,
        injectors.scale_features,
    ),
    "targets": Ladder(
        "targets times", ("misscaled_target",), TIMES, lambda d: partial(scale_targets, d)
    ),
    "rate": Ladder(
        "learning rate times",
        ("learning_rate_too_high",),
        (1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 300.0, 1e3),
        injectors.scale_rate,
    ),
    "slow rate": Ladder(
        "learning rate times",
        ("learning_rate_too_low",),
        (1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-6),
        injectors.scale_rate,
    ),
    "weights": Ladder(
        "all weight matrices times",
        ("large_init",),
        (1.0, 1.5, 2.0, 3.0, 6.0, 10.0, 20.0, 50.0),
        lambda d: partial(scale_weights, d),
    ),
    "tanh": Ladder(
        "what enters the tanh times",
        ("saturated",),
        (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        lambda d: partial(steepen_tanh, d),
        _has_tanh,
    ),
    "dead units": Ladder(
        "dead share of a rectified layer",
        ("dead_unit",),
        (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0),
        lambda d: partial(kill_units, d),
        _has_relu,
    ),
    "dead features": Ladder(
        "zero features of 129",
        ("dead_input", "duplicate_input"),
        (0.0, 8.0, 32.0, 64.0, 86.0, 110.0, 125.0, 128.0),
        lambda d: partial(empty_features, d),
    ),
    "clipping": Ladder(
        "gradient norm clipped at",
        ("overclipped",),
        (10.0, 1.0, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-6),
        lambda d: partial(clip, d),
    ),
    "sigmoids": Ladder(
        "sigmoid layers before the head",
        ("vanishing",),
        (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0),
        lambda d: partial(stack_sigmoids, d),
    ),
}


def half_of(ladder: str, net: str) -> str:
    """Return which half a fault in a net is in: thresholds may be set on `tune` alone.

    >>> half_of("rate", "mlp"), half_of("rate", "gru")
    ('report', 'tune')
    """
    return HALVES[zlib.crc32(f"{ladder} in {net}".encode()) % 2]
