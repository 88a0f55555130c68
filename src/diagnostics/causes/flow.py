"""Causes that sit between layers or steps: gradients that fade or grow on the way back."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..memory import reach
from ..symptoms.function_calls import SQUASHING
from ..symptoms.symptoms import ModuleSymptoms, Symptoms
from .cause import Candidate, Cause, Variant, Verdict, at_module
from .experiment import Experiment, RewrittenCalls
from .gain import lower_gain, weight_gain
from .harm import Remedy

FADED = 1e-4
"""Flow at the earliest layer over that at the latest, below which a gradient has vanished."""
GROWN = 1e3
"""The same ratio above which it has exploded."""
LONG, REMEMBERED = 100, 0.2
"""A recurrent layer over at least LONG steps forgets if less than this share of them matters."""
GROWN_OVER_TIME, GROWN_BY_GAIN, GAIN = 30.0, 3.0, 1.5
"""Largest over latest influence of a time step, above which a recurrent gradient explodes: by
itself, or, as a weaker sign, with recurrent weights of this gain (0.6 is usual)."""
STRAIGHTER = "Use residual connections, normalisation or a rectified activation between layers."
FORGOTTEN = 1e-3
"""Relative change of the loss when forgotten steps are blanked, up to which they do not matter."""


def _path(symptoms: Symptoms) -> list[ModuleSymptoms]:
    """Return the layers with a weight matrix, in order, on the way from the data to the loss."""
    return [
        m
        for m in symptoms.called
        if m.connected and symptoms.weight(m.name) is not None
        if m.name not in symptoms.structure.unfed
    ]


def _ends(over_time: Tensor) -> dict[str, float]:
    return {"first_step": float(over_time[0]), "last_step": float(over_time[-1])}


def find_exploding(symptoms: Symptoms) -> list[Candidate]:
    """Find gradients that grow by orders of magnitude on the way back."""
    remedy = "Clip the gradient, to a norm of 1 say, and lower the gain of these weights."
    found = []
    for module in symptoms.called:
        over_time = module.input_over_time
        if over_time is None or len(over_time) < 4 or not over_time[-1] > 0:
            continue
        growth = float(over_time.max() / over_time[-1])
        gain = _recurrent_gain(symptoms, module)
        if growth >= GROWN_OVER_TIME or (growth >= GROWN_BY_GAIN and gain >= GAIN):
            evidence = {"growth_over_time": growth, "recurrent_gain": gain, **_ends(over_time)}
            found.append(
                at_module(
                    symptoms,
                    module.name,
                    fraction=1.0,
                    evidence=evidence,
                    benign=symptoms.has_learned,
                    remedy=remedy,
                )
            )
    path = _path(symptoms)
    if len(path) > 2 and path[0].flow > GROWN * path[-1].flow > 0:
        evidence = {"ratio": path[0].flow / path[-1].flow, "layers": len(path)}
        found.append(
            at_module(symptoms, path[0].name, fraction=1.0, evidence=evidence, remedy=remedy)
        )
    return found


def _recurrent_gain(symptoms: Symptoms, module: ModuleSymptoms) -> float:
    return max(
        (
            weight_gain(parameter.weight)
            for parameter in symptoms.own(module.name)
            if parameter.local_name.startswith("weight_hh")
        ),
        default=0.0,
    )


EXPLODING = Cause(
    name="exploding",
    meaning="gradients that grow on the way back",
    confused_with=(
        "large_init, where one layer amplifies; here it is the number of layers or steps."
    ),
    rank=200,
    group="flow",
    find=find_exploding,
    prove=lower_gain,
    explains=("learning_rate_too_low", "vanishing", "large_init.recurrent"),
)


def find_vanishing(symptoms: Symptoms) -> list[Candidate]:
    """Find gradients that shrink by orders of magnitude from the last layer or step back."""
    found = []
    for module in symptoms.called:
        over_time = module.input_over_time
        if over_time is None or len(over_time) < LONG or not over_time[-1] > 0:
            continue
        steps = reach(over_time / over_time.max())
        if steps < REMEMBERED * len(over_time):
            found.append(
                at_module(
                    symptoms,
                    module.name,
                    fraction=1 - steps / len(over_time),
                    benign=symptoms.has_learned,
                    evidence={"steps_reached": steps, "steps": len(over_time), **_ends(over_time)},
                    remedy="Shorten the sequences, use an LSTM or a GRU, or pool over all steps.",
                )
            )
    path = _path(symptoms)
    if len(path) > 2 and 0 < path[0].flow < FADED * path[-1].flow:
        faded = {
            "ratio": path[0].flow / path[-1].flow,
            "layers": len(path),
            "first_layer": path[0].name,
        }
        place = _midway(path).name
        found.append(at_module(symptoms, place, fraction=1.0, evidence=faded, remedy=STRAIGHTER))
    return found


def _midway(path: list[ModuleSymptoms]) -> ModuleSymptoms:
    """Return the layer at which the gradient has lost half of its orders of magnitude."""
    halfway = (path[0].flow * path[-1].flow) ** 0.5
    return [module for module in path if module.flow <= halfway][-1]


def straighten(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Give squashing functions slope one and weights unit gain: early gradients must come back."""
    if "steps_reached" in candidate.evidence:
        return _forget_early_steps(experiment, candidate)
    model = experiment.copy()
    with torch.no_grad():
        for parameter in model.parameters():
            gain = weight_gain(parameter) if parameter.dim() > 1 else 1.0
            parameter.div_(gain if 0 < gain < 1 else 1.0)

    def slope_one(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        if name not in SQUASHING or not isinstance(args[0], Tensor):
            return NotImplemented
        return func(args[0]).detach() + args[0] - args[0].detach()

    name = str(candidate.parameter)
    straight = experiment.replay(model, mode=RewrittenCalls(slope_one))
    before = float(experiment.baseline.grads[name].double().norm())
    after = float(straight.grads[name].double().norm())
    return after > 10 * before, {"before": before, "after": after}


def _forget_early_steps(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Blank all steps before those reached: the loss must hardly change."""
    rnn = experiment.model.get_submodule(candidate.module)
    time = 1 if getattr(rnn, "batch_first", False) else 0
    kept = int(candidate.evidence["steps_reached"])

    def blank(x: Tensor) -> Tensor:
        early, late = x.split([x.shape[time] - kept, kept], dim=time)
        return torch.cat([torch.zeros_like(early), late], dim=time)

    before = experiment.baseline.loss
    with experiment.input_changed(candidate.module, blank):
        after = experiment.replay().loss
    return abs(after - before) <= FORGOTTEN * abs(before), {"before": before, "after": after}


def try_without_sigmoids(experiment: Experiment) -> list[Candidate]:
    """Train copies with hidden sigmoids, each of which takes three quarters, and without them."""
    symptoms = experiment.symptoms
    outputs = {loss.producer for loss in symptoms.losses}
    found = [a for a in symptoms.activations if a.function == "sigmoid"]
    hidden = [a for a in found if not {a.caller, a.producer} & outputs]
    if not hidden or len(hidden) < len(found) or not experiment.judge.can_tell:
        return []
    worth = experiment.judge.worth(Remedy(mode=partial(RewrittenCalls, _without_sigmoid)))
    if not worth.is_harmful:
        return []
    first, last = hidden[0], hidden[-1]
    evidence = {"sigmoids": len(hidden), "last": last.caller or last.producer, **worth.evidence}
    claims = {"fraction": 1.0, "confirmed": True, "evidence": evidence, "remedy": STRAIGHTER}
    return [at_module(symptoms, first.producer or first.caller, **claims)]


def _without_sigmoid(name: str, _: Any, args: Any, kwargs: Any) -> Any:
    return args[0] * 1.0 if name == "sigmoid" and args else NotImplemented


VANISHING = Cause(
    name="vanishing",
    meaning="gradients that fade on the way back",
    confused_with=(
        "saturated and dead_unit: with those the cure is in the layer, here it is in the depth."
    ),
    rank=210,
    group="flow",
    variants=(
        Variant(
            name="vanishing.harmful",  # where it was shown to hurt, flat units follow from it
            rank=186,
            group="flow",
            explains=("units", "learning_rate_too_low"),
            applies=lambda candidate: "harm" in candidate.evidence,
        ),
    ),
    find=find_vanishing,
    find_by_trial=try_without_sigmoids,
    prove=straighten,
    explains=("units", "learning_rate_too_low"),
)
