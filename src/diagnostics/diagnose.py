"""Name the cause of dead gradients: symptom, cause, proof."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from .arguments import Optimizers, as_list, check_model, take
from .causes import CAUSES, Candidate, Cause, Experiment
from .causes.cause import find_nothing
from .checks import list_checks
from .findings import Diagnosis, Finding, without_alarm_for
from .isolation import untouched
from .rank import rank
from .symptoms.replay import LossFunction, check_loss_function, find_symptoms
from .symptoms.symptoms import Symptoms, TrainingContext


def diagnose(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFunction,
    optimizer: Optimizers = None,
    *,
    feature_names: Sequence[str] | None = None,
    rare_features: Collection[str] = (),
    context: TrainingContext | None = None,
    max_batches: int = 8,
) -> Diagnosis:
    """Find out why gradients are dead, and prove it on the replayed batches.

    The model with all that its modules hold, its gradients, the optimiser and every random
    generator are left exactly as found, also when `loss_fn` raises. Not so what `loss_fn` itself
    keeps: it is called several times for each batch, and a list in its closure, a counter or a
    second network that it changes stays changed. Give it nothing that must not be.

    Args:
        model: Any module, in the mode it is to be judged in.
        batches: A few batches of any make; a finding must hold over all of them.
        loss_fn: (model, batch) -> scalar loss.
        optimizer: The optimiser or optimisers; without one nothing is said about groups and rates.
        feature_names: Names of the input features, used wherever their number fits.
        rare_features: Those of the names that are 0 but for rare events: no alarm for them alone.
        context: What only the training loop knows.
        max_batches: Batches to take at most.

    Returns:
        The findings, root cause first; a healthy model has none that is not benign.

    Raises:
        ValueError: If there is no batch or no sample in one, `loss_fn` is no such function, or the
            model cannot be replayed: no Python module, on the meta device, without a shape yet.

    >>> import torch
    >>> from torch import nn
    >>> x = torch.cat([torch.randn(32, 2), torch.zeros(32, 1)], dim=1)
    >>> loss_fn = lambda model, batch: nn.functional.mse_loss(model(batch), torch.randn(32, 1))
    >>> worst = diagnose(nn.Linear(3, 1), [x], loss_fn, feature_names=("a", "b", "c")).worst
    >>> worst.cause, worst.indices, worst.confirmed
    ('dead_input', ('c',), True)
    """
    check_model(model)
    taken = take(batches, at_least=1, at_most=max_batches)
    check_loss_function(loss_fn)
    optimizers = as_list(optimizer)
    with untouched(model):
        symptoms = find_symptoms(model, taken, loss_fn, optimizers, context)
    symptoms.feature_names = tuple(feature_names) if feature_names is not None else None
    candidates = find_causes(symptoms)
    with untouched(model):
        experiment = Experiment(model, taken, loss_fn, optimizers, symptoms)
        proved = [prove(experiment, candidate) for candidate in candidates]
        tried, failures = find_by_trial(experiment, proved)
    proved += tried
    findings = without_alarm_for(rank(proved), rare_features)
    return Diagnosis(
        findings=findings,
        loss=sum(symptoms.loss_values) / len(symptoms.loss_values),
        num_batches=len(taken),
        checks=list_checks(symptoms, proved, findings, failures),
    )


def find_causes(symptoms: Symptoms) -> list[Finding]:
    """Step 2: ask every cause what it finds in the numbers and return the candidates."""
    return [_named(cause, found) for cause in CAUSES.values() for found in cause.find(symptoms)]


def prove(experiment: Experiment, finding: Finding) -> Finding:
    """Step 3: put one candidate to the test, by its cause's intervention.

    Args:
        experiment: The model, the batches and how to replay them.
        finding: A candidate.

    Returns:
        The finding with `confirmed` and the numbers before and after; unchanged if there is no
        intervention, or it cannot be made on this model.
    """
    cause = CAUSES[finding.cause]
    if cause.prove is None or finding.confirmed is not None:
        return finding
    try:
        confirmed, evidence = cause.prove(experiment, finding)
    except Exception as error:  # an exotic model must not cost the user the whole diagnosis
        return replace(finding, evidence={**finding.evidence, "not_tested": str(error)[:200]})
    return replace(finding, confirmed=confirmed, evidence={**finding.evidence, **evidence})


def find_by_trial(
    experiment: Experiment, proved: Sequence[Finding] = ()
) -> tuple[list[Finding], dict[str, str]]:
    """Step 4: train copies for what no replay shows.

    Args:
        experiment: The model, the batches and how to replay them.
        proved: Findings of a replay; neither they nor what they bring about are looked for again.

    Returns:
        The findings, and of each cause for which no copy could be trained why not.
    """
    found, failures = [], {}
    roots = [f for f in rank(proved) if f.confirmed and not f.benign]
    known = {finding.cause for finding in roots}
    for cause in CAUSES.values():
        if cause.find_by_trial is find_nothing or cause.name in known:
            continue
        if root := next((f.cause for f in roots if _explains(f, cause)), ""):
            failures[cause.name] = f"{root} would bring it about"
            continue
        try:
            found += [_named(cause, candidate) for candidate in cause.find_by_trial(experiment)]
        except Exception as error:
            told = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            failures[cause.name] = f"no copy could be trained: {told}"
    return found, failures


def _explains(root: Finding, cause: Cause) -> bool:
    """Return whether a finding would leave no place to a cause, in whatever form it was found."""
    own = CAUSES[root.cause].standing(root)
    forms = (cause, *cause.variants)
    return all(own.rank < form.rank and own.brings_about(form) for form in forms)


def _named(cause: Cause, candidate: Candidate) -> Finding:
    claims = {**vars(candidate), "benign": candidate.benign or cause.benign}
    return Finding(cause=cause.name, **claims)
