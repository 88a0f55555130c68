"""Causes that sit in the data: input features that are dead, constant, or copies of others."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..gradient import distinct_columns, duplicate_columns
from ..symptoms.stats import FeatureStats
from ..symptoms.symptoms import ModuleSymptoms, Symptoms
from .cause import Candidate, Cause, Verdict
from .experiment import Experiment
from .needs import a_reader_of_the_data

MANY = 0.5
"""Share of dead features from which on they are an alarm whatever was learned."""
MIN_ROWS = 8
"""Rows below which nothing is said about a feature: with one sample every feature is constant."""


def readers(symptoms: Symptoms) -> list[tuple[ModuleSymptoms, FeatureStats]]:
    """Return the modules with parameters that read the data itself, and what enough of it is."""
    return [
        (module, module.input)
        for module in symptoms.called
        if module.from_data
        and module.input is not None
        and module.input.rows >= MIN_ROWS
        and _reads_features(symptoms, module, module.input.features)
    ]


def _reads_features(symptoms: Symptoms, module: ModuleSymptoms, features: int) -> bool:
    """Return whether a module's own parameters meet the features, not its children's."""
    own = symptoms.own(module.name)
    return bool(own) and (module.leaf or any(features in p.weight.shape[-2:] for p in own))


def at_features(
    symptoms: Symptoms,
    module: ModuleSymptoms,
    columns: list[int],
    evidence: Mapping[str, object],
    remedy: str,
    benign: bool = False,
) -> Candidate:
    """Return a candidate that points at features, and at the weight that meets them first."""
    features = module.input.features if module.input else len(columns)
    own = symptoms.own(module.name)
    facing = [p for p in own if p.weight.dim() > 1 and p.weight.shape[1] == features]
    weight = facing[0] if facing else symptoms.weight(module.name) or own[0]
    return Candidate(
        module=module.name,
        parameter=weight.name,
        fraction=len(columns) / features,
        indices=symptoms.name_features(columns, features),
        evidence={**evidence, "columns": columns},
        benign=benign,
        remedy=remedy,
    )


def columns_of(grads: Mapping[str, Tensor], candidate: Candidate) -> Tensor:
    """Return the gradient of a candidate's parameter as (out * kernel, in)."""
    grad = grads[str(candidate.parameter)].double()
    if grad.dim() > 2:
        grad = grad.transpose(1, 2).reshape(-1, grad.shape[1])
    return grad


def _changed(
    experiment: Experiment,
    candidate: Candidate,
    change: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Any:
    """Change the suspected features, given noise and their sizes, on their way into the module."""
    module = experiment.symptoms.modules[candidate.module]
    stats = module.input
    assert stats is not None
    columns = torch.tensor(candidate.evidence["columns"])
    sizes = torch.where(stats.sizes > 0, stats.sizes, 1.0)[columns]
    generator = torch.Generator().manual_seed(0)

    def apply(x: Tensor) -> Tensor:
        moved = x.movedim(module.input_axis, -1).clone()
        chosen = moved[..., columns.to(x.device)]
        noise = torch.randn(chosen.shape, generator=generator).to(chosen)
        moved[..., columns.to(x.device)] = change(chosen, noise, sizes.to(chosen))
        return moved.movedim(-1, module.input_axis)

    return experiment.input_changed(candidate.module, apply)


def find_dead_input(symptoms: Symptoms) -> list[Candidate]:
    """Find features that are zero in every row of every batch: whole zero columns in the gradient.

    Sparse binary features beside them mean that the dead ones may be categories that are only
    rare, so as many dead ones as there are such neighbours are benign. So are zeros that the model
    makes itself, from data that vary everywhere or from no data at all. Less than half of the
    features are worth knowing of, and no alarm, in a model that has learned without them.
    """
    found = []
    for module, stats in readers(symptoms):
        dead = torch.nonzero(stats.dead).flatten().tolist()
        if not dead:
            continue
        rare = int(stats.rare.sum())
        evidence = {"zero_features": len(dead), "features": stats.features, "rare_features": rare}
        remedy = (
            "Drop these features or repair their source, or scale each by itself if they are only"
            " small; a normalisation over the features would merely hide the zeros."
        )
        made = not symptoms.structure.flat_data or module.name in symptoms.structure.unfed
        is_harmless = symptoms.has_learned and len(dead) < MANY * stats.features
        benign = made or len(dead) <= rare or is_harmless
        found.append(at_features(symptoms, module, dead, evidence, remedy, benign))
    return found


def fill_features(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Fill dead features with unit noise: their gradient columns must come alive."""
    before = columns_of(experiment.baseline.grads, candidate)
    with _changed(experiment, candidate, lambda x, noise, _: noise):
        after = columns_of(experiment.replay().grads, candidate)
    dead_before, dead_after = _dead(before, candidate), _dead(after, candidate)
    evidence = {"before": dead_before, "after": dead_after}
    if before.dim() < 2 or dead_before == 0:
        return None, evidence
    return dead_after < 0.1 * dead_before, evidence


def _dead(grad: Tensor, candidate: Candidate) -> int:
    columns = grad if grad.dim() > 1 else grad[None]
    return int((columns == 0).all(0)[candidate.evidence["columns"]].sum())


DEAD_INPUT = Cause(
    name="dead_input",
    meaning="input features that are zero in every batch",
    confused_with=(
        "dead_unit: that is a row of the gradient, this is a column. A pooling cannot make either."
    ),
    rank=90,
    needs=(a_reader_of_the_data,),
    find=find_dead_input,
    prove=fill_features,
    sign="dead columns",
    remedy_by_sign="Drop these features or repair where they come from: they are always zero.",
)


def find_constant_input(symptoms: Symptoms) -> list[Candidate]:
    """Find features with one value other than zero in all rows: columns c * bias gradient."""
    found = []
    for module, stats in readers(symptoms):
        constant = torch.nonzero(stats.constant).flatten().tolist()
        if not constant or (len(constant) == stats.features and stats.rows < 4 * MIN_ROWS):
            continue
        values = (stats.total / max(stats.rows, 1))[constant].tolist()
        evidence = {"constants": values[:8], "features": stats.features}
        remedy = "Drop these features: a constant only repeats the bias."
        found.append(at_features(symptoms, module, constant, evidence, remedy))
    return found


def perturb_constants(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Add noise to constant features: the gradient must change."""
    before, after = _perturbed(experiment, candidate)
    norms = float(before.norm()), float(after.norm())
    return norms[0] != norms[1], {"before": norms[0], "after": norms[1]}


def _perturbed(experiment: Experiment, candidate: Candidate) -> tuple[Tensor, Tensor]:
    """Return gradient columns before and after noise of the features' size is added to them."""
    before = columns_of(experiment.baseline.grads, candidate)
    with _changed(experiment, candidate, lambda x, noise, size: x + noise * size):
        return before, columns_of(experiment.replay().grads, candidate)


CONSTANT_INPUT = Cause(
    name="constant_input",
    meaning="input features that never change",
    confused_with="dead_input: its gradient is not zero, it is a multiple of the bias's.",
    rank=100,
    needs=(a_reader_of_the_data,),
    find=find_constant_input,
    prove=perturb_constants,
)


def find_duplicate_input(symptoms: Symptoms) -> list[Candidate]:
    """Find features that are proportional to one another: copies of one gradient column.

    Features that stay at rest in the sample, constant or rare and shifted by a normalisation, all
    look alike there: which of them are copies only rows in which they move can tell.
    """
    found = []
    for module, stats in readers(symptoms):
        if stats.nonfinite.any():
            continue
        moving = stats.departures >= MIN_ROWS
        groups = duplicate_columns(stats.sample.double() * moving, tolerance=1e-5)
        if not groups:
            continue
        copies = [column for group in groups for column in group]
        hidden = _dead_before(symptoms, module, copies)
        hint = " Their zeros are only hidden: scale each by itself." if hidden else ""
        evidence = {
            "copies": len(copies),
            "groups": len(groups),
            "distinct": stats.features - len(copies) + len(groups),
            "features": stats.features,
            "zero_before_normalisation": hidden,
        }
        remedy = f"Keep one feature of each group.{hint}"
        found.append(at_features(symptoms, module, copies, evidence, remedy))
    return found


def _dead_before(symptoms: Symptoms, module: ModuleSymptoms, columns: list[int]) -> int:
    """Count those of a module's features that were zero before a normalisation."""
    assert module.input is not None
    return max(
        (
            int(earlier.input.dead[columns].sum())
            for earlier in symptoms.called
            if earlier.order < module.order and earlier.from_data and earlier.input is not None
            if earlier.input.features == module.input.features
        ),
        default=0,
    )


def perturb_copies(experiment: Experiment, candidate: Candidate) -> Verdict:
    """Add noise to copied features: the number of distinct columns must rise."""
    before, after = (distinct_columns(grad) for grad in _perturbed(experiment, candidate))
    return after > before, {"before": before, "after": after}


DUPLICATE_INPUT = Cause(
    name="duplicate_input",
    meaning="input features that are copies of one another",
    confused_with=(
        "Correlated features: these are exact multiples and give exact multiples of one gradient."
    ),
    rank=110,
    needs=(a_reader_of_the_data,),
    find=find_duplicate_input,
    prove=perturb_copies,
)
