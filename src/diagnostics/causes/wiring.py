"""Causes in the wiring: tensors nobody registered, losses cut off, inputs that lead nowhere."""

import torch
from torch import Tensor

from ..symptoms.masks import map_tensors
from ..symptoms.samples import change_tensors
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Variant, Verdict
from .experiment import Experiment
from .needs import an_optimizer, look


def find_unregistered(symptoms: Symptoms) -> list[Candidate]:
    """Find trainable tensors in the graph that `parameters()` does not list."""
    found = symptoms.structure.unregistered
    if found is None:
        return []
    if found.made_anew:
        remedy = "Make the layer in __init__: one made in forward starts anew in every batch."
    else:
        kept = ", ".join(found.names[:3])
        remedy = f"Register {kept}: use nn.ModuleList, nn.ModuleDict or nn.Parameter in __init__."
    evidence = {
        "tensors": list(found.names),
        "shapes": [list(shape) for shape in found.shapes],
        "entries": found.entries,
        "made_anew": found.made_anew,
    }
    return [
        Candidate(
            module=found.module,
            fraction=1.0,
            indices=found.names,
            evidence=evidence,
            remedy=remedy,
        )
    ]


def leave_unregistered(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Move all parameters on a copy: tensors that stay behind are no parameters of it."""
    known = {name for name, _ in experiment.model.named_parameters()}
    missing = not set(candidate.indices) & known
    return missing, {"before": candidate.evidence["entries"], "after": len(known)}


UNREGISTERED = Cause(
    name="unregistered",
    meaning="trainable tensors in the graph that parameters() does not list",
    confused_with="unused and frozen, which parameters() does list.",
    rank=17,
    needs=(look("registration"),),
    find=find_unregistered,
    prove=leave_unregistered,
    explains=("units", "flow", "rates", "weights"),
)


def find_stale_optimizer(symptoms: Symptoms) -> list[Candidate]:
    """Find an optimiser that holds parameters which the model has not any more."""
    stale = symptoms.structure.stale
    if stale is None:
        return []
    module = stale.names[0].rpartition(".")[0]
    return [
        Candidate(
            module=module,
            parameter=stale.names[0],
            fraction=1.0,
            evidence={
                "parameters": list(stale.names),
                "entries": stale.entries,
                "held_by_optimizer": stale.held,
            },
            remedy="Make the optimiser after the last change of the model: it holds parameters"
            " that were replaced.",
        )
    ]


def step_the_old(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Take one optimiser step on a copy: the parameters in use must stay where they were."""
    model, optimizers = experiment.copy_all()
    names = candidate.evidence["parameters"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    experiment.step(model, optimizers)
    moved = [n for n, p in model.named_parameters() if not torch.equal(p, before[n])]
    return not set(moved) & set(names), {"before": len(names), "after": len(moved)}


STALE_OPTIMIZER = Cause(
    name="stale_optimizer",
    meaning="parameters that replaced those the optimiser holds",
    confused_with="not_optimized, where a parameter never was in the optimiser.",
    rank=18,
    needs=(
        an_optimizer,
        look("optimiser"),
    ),
    find=find_stale_optimizer,
    prove=step_the_old,
    explains=("units", "flow", "rates", "weights"),
)


def find_detached_loss(symptoms: Symptoms) -> list[Candidate]:
    """Find a loss from which no way leads back to the parameters."""
    cut = symptoms.structure.cut
    if cut is None:
        return []
    what = f"{cut.function}()" if cut.function else "detach(), item(), no_grad() or argmax()"
    if cut.leaf:
        remedy = f"Return the loss that was computed, not a new tensor: {what} cuts it off."
    else:
        remedy = f"Keep the graph up to the loss: {what} cuts it off."
    evidence = {"function": cut.function, "leaf": cut.leaf, "line": cut.line}
    return [Candidate(module=cut.module, fraction=1.0, evidence=evidence, remedy=remedy)]


def shift_all(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Shift all weights on a copy: the loss must follow although no gradient says so."""
    model = experiment.copy()
    before = experiment.baseline
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.ones_like(parameter))
    after = experiment.replay(model).loss
    heard = any(bool(grad.any()) for grad in before.grads.values())
    return (True if after != before.loss and not heard else None), {
        "before": before.loss,
        "after": after,
    }


DETACHED_LOSS = Cause(
    name="detached_loss",
    meaning="a loss from which no way leads back to the parameters",
    confused_with="unused: there one branch is cut off, here the whole model is.",
    rank=5,
    needs=(look("connection"),),
    find=find_detached_loss,
    prove=shift_all,
    explains=("anything",),
)


def find_ignored_input(symptoms: Symptoms) -> list[Candidate]:
    """Find features, or most steps, that no output depends on."""
    found = []
    for ignored in symptoms.structure.ignored:
        what, length = "steps" if ignored.steps else "features", ignored.shape[ignored.axis]
        evidence = {
            "kind": what,
            "without_influence": len(ignored.indices),
            "of": length,
            "position": ignored.position,
            "axis": ignored.axis,
            "entries": list(ignored.indices),
            "line": ignored.line,
        }
        named = tuple(ignored.indices)
        indices = named if ignored.steps else symptoms.name_features(list(named), length)
        remedy = f"{len(named)} of {length} {what} never reach the output"
        remedy += f": look at `{ignored.line}`." if ignored.line else ": look at what picks them."
        found.append(
            Candidate(
                module=ignored.module,
                fraction=len(named) / length,
                indices=indices,
                evidence=evidence,
                benign=ignored.chosen,
                remedy=remedy,
            )
        )
    return found


def change_ignored(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Put noise in place of the entries: the loss must stay exactly as it was."""
    evidence, before = candidate.evidence, experiment.baseline.loss
    generator = torch.Generator().manual_seed(0)

    def change(position: int, tensor: Tensor) -> Tensor:
        if position != evidence["position"]:
            return tensor
        chosen = torch.tensor(evidence["entries"], device=tensor.device)
        noise = torch.randn(tensor.shape, generator=generator).to(tensor)
        return tensor.index_copy(
            evidence["axis"], chosen, noise.index_select(evidence["axis"], chosen)
        )

    batch = change_tensors(map_tensors(experiment.batches[0], lambda t: t), change)
    after = experiment.replay(given=batch).loss
    same = abs(after - before) <= 1e-5 * max(abs(before), 1e-12)
    return same or None, {"before": before, "after": after}


IGNORED_INPUT = Cause(
    name="ignored_input",
    meaning="inputs without influence on the output",
    confused_with="dead_input: there the data is empty, here the model does not look.",
    rank=112,
    needs=(look("inputs"),),
    find=find_ignored_input,
    prove=change_ignored,
    variants=(
        Variant(
            name="ignored_input.steps",  # a recurrence may have forgotten them
            rank=212,
            applies=lambda candidate: candidate.evidence.get("kind") == "steps",
        ),
    ),
)
