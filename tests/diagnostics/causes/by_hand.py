"""Symptoms made by hand: what a replay would have seen, in a few numbers."""

import torch
from torch import Tensor

from src.diagnostics.symptoms.stats import FeatureStats, FlowStats
from src.diagnostics.symptoms.symptoms import (
    LossSymptoms,
    ModuleSymptoms,
    ParameterSymptoms,
    Symptoms,
)


def parameter(name: str, weight: Tensor) -> ParameterSymptoms:
    return ParameterSymptoms(name, name.rpartition(".")[0], weight, True, True)


def symptoms_of(*modules: ModuleSymptoms, learned: bool = False, **more: object) -> Symptoms:
    """Return symptoms of modules, each with a weight (4, 4); forecasts as good as `learned`."""
    for order, module in enumerate(modules):
        module.order, module.calls = order, 1
    weights = [parameter(f"{module.name}.weight", torch.ones(4, 4)) for module in modules]
    target = torch.arange(64.0)
    preds = target if learned else target.flip(0)
    losses = [LossSymptoms("mse_loss", None, "", preds, target)]
    parts = {m.name: m for m in modules}
    return Symptoms(parts, {w.name: w for w in weights}, losses=losses, **more)  # type: ignore[arg-type]


def layer(name: str, flow: float) -> ModuleSymptoms:
    grad = FlowStats(4)
    grad.square = flow**2
    return ModuleSymptoms(name, "Linear", connected=True, grad_output=grad)


def recurrent(over_time: Tensor) -> ModuleSymptoms:
    return ModuleSymptoms("rnn", "RNN", input_over_time=over_time)


def reading(x: Tensor, kind: str = "Linear") -> ModuleSymptoms:
    stats = FeatureStats(x.shape[1])
    stats.add(x)
    return ModuleSymptoms("first", kind, from_data=True, input=stats)
