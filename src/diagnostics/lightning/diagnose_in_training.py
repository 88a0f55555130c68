"""From a suspicion during training to a diagnosis: replay the latest batches on a stand-in."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from ..causes import CAUSES
from ..diagnose import diagnose
from ..findings import Diagnosis, Finding
from ..measuring.counts import Measurement
from ..measuring.liveness import Sightings
from ..symptoms.symptoms import Symptoms, TrainingContext
from .first_steps import loss_values
from .stand_in import StandIn

SHARDED_STRATEGIES = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy")
"""Strategies under which one rank alone cannot run the model."""
SHARDED = "no rank alone can replay a sharded model"


def diagnose_in_training(
    trainer: Any, pl_module: nn.Module, batches: Sequence[Any], context: TrainingContext
) -> Diagnosis:
    """Diagnose a module in training, and leave it and the training loop as they are.

    Under several processes all replay the first one's batches in the first one's context, whose
    losses differ: so all take the same path, and whatever they communicate fits together.

    Args:
        trainer: the Trainer.
        pl_module: the LightningModule.
        batches: latest batches, on the device.
        context: facts about the training loop.

    Returns:
        The diagnosis; one that says why where the module cannot be replayed.
    """
    if not batches:
        return Diagnosis(not_replayed="no batch was seen")
    if type(trainer.strategy).__name__ in SHARDED_STRATEGIES:
        return Diagnosis(not_replayed=SHARDED)
    if trainer.world_size > 1:
        shared, context = trainer.strategy.broadcast((list(batches), context))
        batches = [trainer.strategy.batch_to_device(batch) for batch in shared]
    try:
        return _diagnose_each_optimizer(StandIn(trainer, pl_module), batches, context, trainer)
    except Exception as error:  # a foreign model may do anything; training must go on
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Diagnosis(not_replayed=f"a batch could not be replayed: {reason}")


def training_context(
    trainer: Any,
    measurements: Iterable[Measurement],
    losses: Iterable[Tensor],
    first_losses: Iterable[Tensor] | None = None,
) -> TrainingContext:
    """Gather what only the training loop knows.

    Args:
        trainer: the Trainer.
        measurements: latest measurements of gradients, oldest first.
        losses: latest training losses, oldest first.
        first_losses: those of the first steps that are not among them.

    Returns:
        Plain numbers.
    """
    measurements = list(measurements)
    scales = [m.loss_scale for m in measurements if m.loss_scale is not None]
    clip, by_value = trainer.gradient_clip_val, trainer.gradient_clip_algorithm == "value"
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    return TrainingContext(
        clip_norm=None if by_value else clip,
        clip_value=clip if by_value else None,
        precision=str(trainer.precision),
        loss_scale=scales[-1] if scales else None,
        loss_scales=scales or None,
        losses=loss_values(losses) or None,
        first_losses=None if first_losses is None else loss_values(first_losses),
        grad_norms=[m.total_norm for m in measurements if m.parameters] or None,
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        step=trainer.global_step,
        base_lr=groups[0].get("initial_lr") if groups else None,
    )


def feature_names(trainer: Any) -> tuple[str, ...] | None:
    """Return the datamodule's names of the input features, where it has any."""
    names = getattr(getattr(trainer, "datamodule", None), "feature_names", None)
    return tuple(names) if names is not None else None


def rare_features(trainer: Any) -> tuple[str, ...]:
    """Return the datamodule's names of features that are 0 but for rare events."""
    return tuple(getattr(getattr(trainer, "datamodule", None), "rare_feature_names", None) or ())


def benign_causes(trainer: Any) -> tuple[str, ...]:
    """Return the datamodule's causes that are no fault on its data."""
    return tuple(getattr(getattr(trainer, "datamodule", None), "benign_causes", None) or ())


def _diagnose_each_optimizer(
    stand_in: StandIn, batches: Sequence[Any], context: TrainingContext, trainer: Any
) -> Diagnosis:
    """Diagnose the loss of each optimiser for the parameters it holds, and join the findings."""
    names, stepping = feature_names(trainer), stand_in.stepping(batches[0])
    parts = []
    for index in stepping:
        diagnosis = diagnose(
            stand_in.module,
            batches,
            stand_in.loss_of(index),
            optimizer=stand_in.optimizers or None,
            feature_names=names,
            context=context,
        )
        foreign = stand_in.foreign_parameters(index) if len(stepping) > 1 else frozenset()
        kept = [f for f in diagnosis.findings if not _concerns_only(f, foreign)]
        parts.append(dataclasses.replace(diagnosis, findings=tuple(kept)))
    return _joined(parts)


def _concerns_only(finding: Finding, parameters: frozenset[str]) -> bool:
    """Say whether a finding is about parameters that another optimiser's loss trains."""
    if finding.parameter:
        return finding.parameter in parameters
    prefix = finding.module + "."
    return bool(finding.module) and any(name.startswith(prefix) for name in parameters)


def _joined(parts: Sequence[Diagnosis]) -> Diagnosis:
    if len(parts) == 1:
        return parts[0]
    findings = {(f.cause, f.module, f.parameter): f for part in parts for f in part.findings}
    ranked = sorted(findings.values(), key=lambda f: (f.benign, CAUSES[f.cause].rank))
    losses = [part.loss for part in parts if part.loss is not None]
    return Diagnosis(
        findings=tuple(ranked),
        loss=sum(losses) if losses else None,
        num_batches=max((part.num_batches for part in parts), default=0),
        checks=parts[0].checks,
    )


def persistent_part(
    finding: Finding, sightings: Sightings, names: Sequence[str] | None
) -> Finding | None:
    """Keep of a finding on dead rows or columns what the run's measurements call dead too.

    A rare feature or an ordinary ReLU is often silent in the few batches that were replayed.

    Args:
        finding: any finding.
        sightings: when rows and columns were last seen non-zero in the run.
        names: names of the input features.

    Returns:
        The finding, with fewer indices, or None if nothing of it is left.
    """
    name, sign = finding.parameter or "", CAUSES[finding.cause].sign
    axes = {"dead rows": 0, "dead columns": 1}
    if sign not in axes or name not in sightings.names() or not finding.indices:
        return finding
    dead = set(sightings.dead(name)[axes[sign]])
    positions = {label: i for i, label in enumerate(names or ())}
    kept = tuple(i for i in finding.indices if positions.get(str(i), i) in dead)
    if not kept:
        return None
    share = len(kept) / len(finding.indices)
    return dataclasses.replace(finding, indices=kept, fraction=finding.fraction * share)


def from_measurements(
    measurement: Measurement | None,
    sightings: Sightings,
    names: Sequence[str] | None,
    context: TrainingContext,
    reason: str,
) -> Diagnosis:
    """Return what the measurements alone say, where no batch can be replayed.

    Zeros may be of the model's making, which only a replay tells: they are no finding, unless the
    model is sharded and never can be replayed.
    """
    found: list[Finding] = []
    if measurement is not None:
        found = unconfirmed_findings(measurement, sightings, names)
    kept = [finding for finding in found if reason == SHARDED or finding.cause == "nonfinite"]
    if not kept:
        kept = [
            Finding(cause=cause.name, **vars(candidate))
            for cause in CAUSES.values()
            if cause.leftover
            for candidate in cause.find(Symptoms(context=context))
        ]
    return Diagnosis(findings=tuple(kept), not_replayed=reason)


def unconfirmed_findings(
    measurement: Measurement, sightings: Sightings, names: Sequence[str] | None = None
) -> list[Finding]:
    """Say what the measurements of a run show where no batch can be replayed.

    Args:
        measurement: the latest one.
        sightings: when rows and columns were last seen non-zero.
        names: names of the input features, used for weights with as many columns.

    Returns:
        Findings with `confirmed` None.
    """
    found = [
        _by_sign("nonfinite", name, stats.nonfinite / stats.entries)
        for name, stats in measurement.parameters.items()
        if stats.nonfinite
    ]
    for name in sightings.names():
        rows, columns = sightings.dead(name)
        num_rows, num_columns = sightings.shape(name)
        if columns:
            named = names if names is not None and len(names) == num_columns else None
            labels = tuple(named[j] if named else j for j in columns)
            found.append(_by_sign("dead columns", name, len(columns) / num_columns, labels))
        if rows:
            found.append(_by_sign("dead rows", name, len(rows) / num_rows, rows))
    return found + [_by_sign("missing", name, 1.0) for name in measurement.missing]


def _by_sign(
    sign: str, parameter: str, fraction: float, indices: tuple[int | str, ...] = ()
) -> Finding:
    """Return the finding of the cause that a sign stands for."""
    cause = next(cause for cause in CAUSES.values() if cause.sign == sign)
    return Finding(
        cause=cause.name,
        module=parameter.rpartition(".")[0],
        parameter=parameter,
        fraction=fraction,
        indices=indices,
        remedy=cause.remedy_by_sign,
    )
