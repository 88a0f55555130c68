"""The common answer of every diagnoser, and the adapter of ours.

A diagnoser maps an `Observation` to alarms, the first of which counts as its diagnosis.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.faults.trial import Observation
from src.diagnostics import TrainingContext, diagnose


class Alarm(NamedTuple):
    """One alarm.

    Args:
        rule: what spoke.
        causes: names of causes it stands for; several where a published rule is less specific.
        module: where it points; None where it points nowhere.
    """

    rule: str
    causes: tuple[str, ...]
    module: str | None = None


Diagnoser = Callable[[Observation], list[Alarm]]


def training_context(seen: Observation) -> TrainingContext:
    """Gather what a Lightning callback could know of the loop."""
    trial = seen.trial
    return TrainingContext(
        clip_norm=trial.clip_norm,
        precision=trial.precision,
        loss_scale=seen.loss_scales[-1] if seen.loss_scales else None,
        loss_scales=seen.loss_scales or None,
        losses=seen.losses,
        grad_norms=seen.grad_norms,
        accumulate_grad_batches=trial.accumulate,
        step=seen.steps_done,
        base_lr=trial.lr if trial.warmup else None,
    )


def ours(seen: Observation) -> list[Alarm]:
    """Ask `src.diagnostics.diagnose`; findings it calls benign raise no alarm."""
    diagnosis = diagnose(
        seen.model, seen.batches, seen.loss_fn, seen.optimizer, context=training_context(seen)
    )
    return [
        Alarm("diagnose", (finding.cause,), finding.module)
        for finding in diagnosis.findings
        if not finding.benign
    ]
