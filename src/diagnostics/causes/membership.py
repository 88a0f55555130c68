"""Causes that leave a parameter out: of the graph, of the optimiser, or of training."""

import re
from collections.abc import Mapping

import torch

from ..symptoms.symptoms import ParameterSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment
from .needs import an_optimizer


def _by_module(parameters: list[ParameterSymptoms]) -> dict[str, list[ParameterSymptoms]]:
    modules: dict[str, list[ParameterSymptoms]] = {}
    for parameter in parameters:
        modules.setdefault(parameter.module, []).append(parameter)
    return modules


def _per_module(
    module: str,
    own: list[ParameterSymptoms],
    evidence: Mapping[str, object],
    remedy: str,
    benign: bool = False,
) -> Candidate:
    return Candidate(
        module=module,
        parameter=own[0].name,
        fraction=1.0,
        evidence={"parameters": [p.name for p in own], **evidence},
        benign=benign,
        remedy=remedy,
    )


def find_not_optimized(symptoms: Symptoms) -> list[Candidate]:
    """Find parameters that get a gradient and are in no group of the optimiser.

    Those that replaced parameters which the optimiser holds are a finding of their own.
    """
    if symptoms.structure.stale is not None:
        return []
    left_out = [
        p
        for p in symptoms.parameters.values()
        if p.optimized is False and p.requires_grad and p.missing < len(symptoms.loss_values)
    ]
    remedy = "Add these parameters to a group of the optimiser."
    return [
        _per_module(module, own, {"gradient_norm": max(p.norm for p in own)}, remedy)
        for module, own in _by_module(left_out).items()
    ]


def train_left_out(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Take one optimiser step on a copy: the parameters must stay where they were."""
    model, optimizers = experiment.copy_all()
    names = candidate.evidence["parameters"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    experiment.step(model, optimizers)
    moved = {n: not torch.equal(p, before[n]) for n, p in model.named_parameters()}
    others = sum(value for name, value in moved.items() if name not in names)
    return not any(moved[n] for n in names), {"before": len(names), "after": others}


NOT_OPTIMIZED = Cause(
    name="not_optimized",
    meaning="a parameter with a gradient that is in no optimiser group",
    confused_with="frozen: there no gradient is asked for, here it is computed and left unused.",
    rank=240,
    needs=(an_optimizer,),
    find=find_not_optimized,
    prove=train_left_out,
    independent=True,
)


def find_frozen(symptoms: Symptoms) -> list[Candidate]:
    """Find parameters that require no gradient; outside the optimiser that is deliberate.

    So it is where a module that torch does not know holds nothing else: these are its constants.
    """
    own_kind = {m.name for m in symptoms.modules.values() if not m.is_known}
    constant = {name for name in own_kind if not any(p.requires_grad for p in symptoms.own(name))}
    frozen = [p for p in symptoms.parameters.values() if not p.requires_grad]
    remedy = "Call requires_grad_(True) on it, or leave it out of the optimiser if it is meant so."
    return [
        _per_module(
            module,
            own,
            {"in_optimizer": own[0].optimized},
            remedy,
            benign=own[0].optimized is not True or module in constant,
        )
        for module, own in _by_module(frozen).items()
    ]


def require_gradient(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Thaw the parameters on a copy: they must get a gradient."""
    model = experiment.copy()
    names = candidate.evidence["parameters"]
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(True)
    grads = experiment.replay(model).grads
    after = sum(float(grads[name].double().norm()) for name in names if name in grads)
    return after > 0, {"before": 0.0, "after": after}


FROZEN = Cause(
    name="frozen",
    meaning="a parameter that does not require a gradient",
    confused_with="not_optimized. Freezing on purpose, outside of the optimiser, is no alarm.",
    rank=250,
    find=find_frozen,
    prove=require_gradient,
    independent=True,
)


def find_unused(symptoms: Symptoms) -> list[Candidate]:
    """Find parameters the loss does not depend on in any batch.

    Of modules that were called the last one is named: behind it the graph is cut. An expert that no
    sample was routed to is not unused, and a module that never gets anything computed from the
    batch has nothing to do with it. A loss that hangs on no parameter is a finding of its own.
    """
    if symptoms.structure.cut is not None:
        return []
    batches = len(symptoms.loss_values)
    missing = _by_module(
        [
            p
            for p in symptoms.parameters.values()
            if batches and p.missing == batches
            if not (symptoms.routed and p.module in symptoms.uncalled)
        ]
    )
    spare = {
        name
        for name in missing
        if name in symptoms.structure.unfed or _spare_end(symptoms, name, missing)
    }
    called = [name for name in missing if name not in symptoms.uncalled and name not in spare]
    last = max(called, key=lambda name: symptoms.modules[name].order, default=None)
    reported = [n for n in missing if n == last or n in symptoms.uncalled or n in spare]
    remedy = "Use the module's output in the loss (look for detach() or no_grad()), or remove it."
    return [
        _per_module(
            module,
            missing[module],
            {"called": module == last, "modules": called if module == last else [module]},
            remedy,
            benign=module in spare,
        )
        for module in sorted(reported, key=lambda name: name != last)
    ]


def _spare_end(symptoms: Symptoms, name: str, missing: Mapping[str, object]) -> bool:
    """Return whether a module is an end that the last of several equal blocks has to spare.

    The blocks before it use theirs, and so does the block itself use its other parts: the last
    backcast of a stack of residual blocks leads nowhere by construction.
    """
    block = re.match(r"(.*?)(\d+)\.", name)
    if block is None or name in symptoms.uncalled:
        return False
    before, number, rest = block[1], int(block[2]), name[block.end() :]
    owners = {p.module for p in symptoms.parameters.values()}
    twins = [n for n in owners if re.fullmatch(re.escape(before) + r"\d+\." + re.escape(rest), n)]
    numbers = [int(n[len(before) :].partition(".")[0]) for n in twins if n not in missing]
    beside = [n for n in owners if n.startswith(block[0]) and n not in missing]
    return bool(numbers) and max(numbers) < number and bool(beside)


def change_weights(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Shift unused weights on a copy: the loss must not change at all."""
    before = experiment.baseline.loss
    model = experiment.copy()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in candidate.evidence["parameters"]:
                parameter.add_(torch.ones_like(parameter))
    after = experiment.replay(model).loss
    if candidate.evidence.get("called"):
        return True, {"before": before, "after": after}
    return after == before, {"before": before, "after": after}


UNUSED = Cause(
    name="unused",
    meaning="a parameter that no gradient reaches because the loss does not depend on it",
    confused_with=(
        "zero_gradient: there the loss depends on the parameter and the gradient is 0, here "
        "it is None."
    ),
    rank=260,
    find=find_unused,
    prove=change_weights,
    explains=("dead_unit",),
    independent=True,
    sign="missing",
    remedy_by_sign="Use this parameter in the loss, or remove or freeze it.",
)
