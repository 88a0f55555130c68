"""Causes that sit in the axes: samples that mix, state that stays, shapes that broadcast."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from ..symptoms.samples import find_mixing
from ..symptoms.symptoms import Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment, RewrittenCalls
from .needs import look


def find_mixed_samples(symptoms: Symptoms) -> list[Candidate]:
    """Find samples of a batch whose outputs change when their neighbours do, in evaluation mode."""
    mixing = symptoms.structure.mixing
    if mixing is None:
        return []
    swapped = mixing.batch_first is not None
    place = f"the {mixing.kind}" if swapped else mixing.function or mixing.kind
    evidence = {
        "samples": mixing.samples,
        "change": mixing.change,
        "function": mixing.function,
        "dim": mixing.dim,
        "shape": list(mixing.shape),
        "batch_first": mixing.batch_first,
        "line": mixing.line,
    }
    remedy = f"{place} works along the axis of the samples: "
    if swapped:
        remedy += f"give it batch_first={not mixing.batch_first}, or transpose what goes in."
    elif mixing.dim is not None:
        remedy += f"dim={mixing.dim} of {list(mixing.shape)} holds the batch; take another one."
    else:
        remedy += "use transpose or permute, not view or reshape, to change the order of axes."
    return [Candidate(module=mixing.module, fraction=1.0, evidence=evidence, remedy=remedy)]


def turn_axis(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Turn `batch_first`, or take another dimension, on a copy: samples must stay apart then."""
    before = candidate.evidence["change"]
    model = experiment.copy()
    batch, loss_fn = experiment.batches[0], experiment.loss_fn
    try:
        if candidate.evidence["batch_first"] is not None:
            module: Any = model.get_submodule(candidate.module)
            module.batch_first = not module.batch_first
            after = find_mixing(model, batch, loss_fn)
            return after is None or None, {
                "before": before,
                "after": after.change if after else 0.0,
            }
        dim, name = candidate.evidence["dim"], candidate.evidence["function"]
        if dim is not None:
            for other in range(1, len(candidate.evidence["shape"])):
                with _along(name, dim, other):
                    after = find_mixing(model, batch, loss_fn)
                if after is None:
                    return True, {"before": before, "after": 0.0, "other_dim": other}
    except RuntimeError:  # the other axis does not fit what comes after
        pass
    return True, {"before": 0.0, "after": before}


def _along(function: str, dim: int, other: int) -> RewrittenCalls:
    """Let a function work along another dimension."""

    def rewrite(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name != function:
            return NotImplemented
        if kwargs.get("dim") == dim:
            return func(*args, **{**kwargs, "dim": other})
        if len(args) > 1 and args[1] == dim:
            return func(args[0], other, *args[2:], **kwargs)
        return NotImplemented

    return RewrittenCalls(rewrite)


MIXED_SAMPLES = Cause(
    name="mixed_samples",
    meaning="samples of a batch that influence each other",
    confused_with=(
        "Normalisation over the batch, which mixes samples on purpose and only while training."
    ),
    rank=14,
    needs=(look("mixing"),),
    find=find_mixed_samples,
    prove=turn_axis,
    explains=("units", "flow", "rates", "weights", "collapse"),
)


def find_carried_state(symptoms: Symptoms) -> list[Candidate]:
    """Find state that one batch leaves for the next."""
    carried = symptoms.structure.carried
    if carried is None:
        return []
    name = f"{carried.module}.{carried.attribute}".lstrip(".")
    remedy = f"Start every batch from a fresh state: set {name} to None before it"
    remedy += ", or detach() it if batches follow each other." if carried.attached else "."
    evidence = {
        "attribute": name,
        "change": carried.change,
        "attached": carried.attached,
        "error": carried.error,
    }
    return [Candidate(module=carried.module, fraction=1.0, evidence=evidence, remedy=remedy)]


def put_state_back(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Put the attribute back between two plays of a batch: its outputs must be the same then."""
    carried = experiment.symptoms.structure.carried
    cured = carried is not None and carried.cured
    change = candidate.evidence["change"]
    return cured or None, {"before": change, "after": 0.0 if cured else change}


CARRIED_STATE = Cause(
    name="carried_state",
    meaning="state that is carried from one batch to the next",
    confused_with=(
        "mixed_samples: both make a prediction depend on what it should not know, here on the "
        "batch before."
    ),
    rank=12,
    needs=(look("state"),),
    find=find_carried_state,
    prove=put_state_back,
    explains=("units", "flow", "rates", "weights", "mixed_samples", "collapse"),
)


def find_broadcast(symptoms: Symptoms) -> list[Candidate]:
    """Find predictions and targets of different shapes that are compared each with each."""
    found = symptoms.structure.broadcast
    if found is None:
        return []
    preds, target, result = (list(shape) for shape in (found.preds, found.target, found.result))
    evidence = {
        "function": found.function,
        "preds": preds,
        "target": target,
        "result": result,
        "line": found.line,
    }
    return [
        Candidate(
            module=found.module,
            fraction=1.0,
            evidence=evidence,
            remedy=f"{found.function} compares predictions {preds} with targets {target} as"
            f" {result}: bring both to one shape with squeeze or unsqueeze.",
        )
    ]


def bring_to_one_shape(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Give the predictions the targets' shape: the loss must come out differently."""
    preds, target = (tuple(candidate.evidence[side]) for side in ("preds", "target"))
    if math.prod(preds) != math.prod(target):
        return None, {}

    def reshape(name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if name.strip("_") != candidate.evidence["function"]:
            return NotImplemented

        def change(value: Any) -> Any:
            fits = isinstance(value, torch.Tensor) and tuple(value.shape) == preds
            return value.reshape(target) if fits else value

        return func(*(change(a) for a in args), **{k: change(v) for k, v in kwargs.items()})

    before, after = experiment.baseline.loss, experiment.replay(mode=RewrittenCalls(reshape)).loss
    return after != before, {"before": before, "after": after}


BROADCAST = Cause(
    name="broadcast",
    meaning="predictions and targets of different shapes, compared each with each",
    confused_with="not_learning: the loss falls to the variance of the targets and stays there.",
    rank=16,
    needs=(look("shapes"),),
    find=find_broadcast,
    prove=bring_to_one_shape,
    explains=("units", "flow", "rates", "weights", "collapse"),
)
