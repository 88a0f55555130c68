"""Watch the gradients of any LightningModule, and say what is wrong with them and why."""

import logging
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ..findings import Diagnosis, Finding, without_alarm_for
from ..measuring.async_copy import Inbox
from ..measuring.counts import Measurement, measure_gradients
from ..measuring.details import (
    DetailMeasurement,
    GradientDetails,
    UpdateMeter,
    measure_details,
)
from ..measuring.suspicion import Suspicion, SuspicionWindows
from .callback import (
    Callback,
    History,
    OptimizerSteps,
    flat_shard_group,
)
from .diagnose_in_training import (
    benign_causes,
    diagnose_in_training,
    feature_names,
    from_measurements,
    persistent_part,
    rare_features,
    training_context,
)
from .first_steps import FIRST, FirstSteps, of_gradients
from .log_writer import LogWriter
from .presentation import (
    alarm_sentence,
    few_scalars,
    measurement_scalars,
    show_details,
    show_diagnosis,
)
from .state import from_state, to_state

log = logging.getLogger(__name__)

HISTORY = 256
"""Measurements and losses kept in memory."""

_REMEMBERED = (
    *("diagnosis", "alerts", "measurements", "history", "_first_weight", "_first_gradient"),
    *("_num_batches_seen", "_losses", "_first", "_windows", "_suspects", "_examined", "_replays"),
)


class GradientHealth(Callback):
    """Measure every gradient now and then, and name the cause of what stays wrong.

    Works with any LightningModule, automatic or manual optimisation, and both of Lightning's package
    names. Gradients are measured when they are accumulated, reduced and unscaled, before they are
    clipped. Training is bitwise the same with and without it.

    Args:
        every_n_steps: steps of each optimiser between two measurements.
        details_every_n_steps: steps between two detailed ones, a multiple of `every_n_steps`.
        details_per_window: detailed measurements that make a window; what is alive in one is alive.
        needed_windows: windows that have to show a symptom before it is followed up ...
        among_windows: ... among so many latest ones.
        max_replays: diagnoses during training at most; one more is made at the end of the fit.
        num_batches: latest batches kept for replaying, by reference.
        every_scalar: whether loggers get each parameter's scalars and histograms, marked * below, or
            the few that are looked at first.

    Raises:
        ValueError: if a number is out of its range.

    Attributes:
        diagnosis: the latest diagnosis; after the fit, that of the trained model.
        alerts: findings that were reported during training, each with its step.
        measurements: the latest measurements, oldest first.
        latest: scalars of the latest measurement by tag.
        history: zeros of the first weight that has columns, one record per detailed measurement:
            `step`, `zero_fraction`, shares of all entries in dead `rows`, in dead `columns` and
            `scattered`, `distinct_columns`, `norm`; thinned when it grows long.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | zeros/first_weight | entries of the first weight's gradient that are exactly zero | share | `details_every_n_steps` |
    | zeros/first_weight_in_dead_rows, _in_dead_columns, _scattered | those in rows or columns without any other entry, and the rest | share | `details_every_n_steps` |
    | zeros/most_of_any_weight | the largest zero fraction among the weights | share | `every_n_steps` |
    | grad_norm_total | L2 norm of all gradients before clipping | gradient | `every_n_steps` |
    | findings_to_act_on | findings of a diagnosis that are not benign | count | on suspicion, and at the end |
    | diagnosis | text: findings with cause, place, evidence and remedy | | on suspicion, and at the end |
    | dead_rows_blue_and_columns_orange/<parameter> | image of the first weight's gradient | | on suspicion, and at the end |
    | log2_of_gradient/<parameter> | histogram of log2 of the magnitude, of the first weight or * each; zeros below the smallest exponent | log2 | `details_every_n_steps` |
    | nonfinite_grad/<parameter> | infinite or NaN entries, where there are any | count | `every_n_steps` |
    | loss_scale | the gradient scaler's scale, where there is one | factor | `every_n_steps` |
    | zeros/axis_0, axis_1 | the constants, which make a chart's axis go from 0 to 1 | share | `details_every_n_steps` |
    | * zero_grad_fraction/<parameter> | entries that are exactly zero (of touched rows if sparse) | share | `every_n_steps` |
    | * grad_norm/<parameter> | L2 norm before clipping | gradient | `every_n_steps` |
    | * touched_rows/<parameter> | rows of a sparse gradient | count | `every_n_steps` |
    | * zero_grad_shape/<parameter>/rows, columns, scattered | entries in dead rows, in dead columns, zero in neither | share | `details_every_n_steps` |
    | * distinct_columns/<parameter> | directions among a weight gradient's columns | count | `details_every_n_steps` |
    | * update_ratio/<parameter> | change of a weight in one step relative to its norm | ratio | `details_every_n_steps` |
    """  # noqa: E501

    def __init__(
        self,
        every_n_steps: int = 50,
        details_every_n_steps: int = 200,
        details_per_window: int = 2,
        needed_windows: int = 2,
        among_windows: int = 3,
        max_replays: int = 3,
        num_batches: int = 3,
        every_scalar: bool = False,
    ) -> None:
        if every_n_steps < 1 or details_every_n_steps % every_n_steps:
            raise ValueError(
                "details_every_n_steps must be a multiple of every_n_steps >= 1, "
                f"got {details_every_n_steps} and {every_n_steps}"
            )
        if max_replays < 0 or num_batches < 1:
            raise ValueError(
                "max_replays must be >= 0 and num_batches >= 1, "
                f"got {max_replays} and {num_batches}"
            )
        super().__init__()
        self.max_replays, self.every_scalar = max_replays, every_scalar
        self.every_n_steps, self.details_every_n_steps = every_n_steps, details_every_n_steps
        self._make_windows = partial(
            SuspicionWindows, details_per_window, needed_windows, among_windows
        )
        self._num_batches = num_batches
        self._restored: dict[str, Any] = {}
        self._reset()

    def _reset(self) -> None:
        """Start as for a first fit."""
        self.diagnosis: Diagnosis | None = None
        self.alerts: list[tuple[int, Finding]] = []
        self.measurements: deque[Measurement] = deque(maxlen=HISTORY)
        self.history = History()
        self._first_weight: str | None = None
        self._first_gradient: GradientDetails | None = None
        self._writer = LogWriter(())
        self._inbox = Inbox()
        self._steps: dict[int, OptimizerSteps] = {}
        self._batches: deque[Any] = deque(maxlen=self._num_batches)
        self._num_batches_seen = 0
        self._losses: deque[Tensor] = deque(maxlen=HISTORY)
        self._first = FirstSteps()
        self._read_now = False
        self._updates: list[tuple[UpdateMeter, int]] = []
        self._windows = self._make_windows()
        self._suspects: set[Suspicion] = set()
        self._examined: set[Suspicion] = set()
        self._replays = 0
        self._said_why_not = False
        self._steps_before: list[int] = self._restored.pop("steps", [])
        vars(self).update(self._restored)
        self._restored = {}

    @property
    def latest(self) -> dict[str, float]:
        """Scalars of the latest measurement, by tag."""
        return measurement_scalars(self.measurements[-1]) if self.measurements else {}

    def on_fit_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Forget what an earlier fit left, unless this one goes on from its checkpoint."""
        self._reset()

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Find the loggers and lay out TensorBoard's page."""
        self._writer = LogWriter(trainer.loggers if trainer.is_global_zero else ())
        self._writer.layout()
        self._is_automatic = pl_module.automatic_optimization

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """Keep the batch, by reference."""
        self._batches.append(batch)
        self._num_batches_seen += 1

    def on_before_optimizer_step(
        self, trainer: Any, pl_module: nn.Module, optimizer: Optimizer
    ) -> None:
        """Measure, if this step of this optimiser is due."""
        steps = self._steps.get(id(optimizer))
        if steps is None:
            before = self._steps_before[len(self._steps) :][:1]
            steps = OptimizerSteps(is_first=not self._steps, before=before[0] if before else 0)
            self._steps[id(optimizer)] = steps
        # Under automatic optimisation a batch makes one step; to ask for the step costs more.
        key = self._num_batches_seen if self._is_automatic else trainer.global_step
        if steps.is_due(key, self.every_n_steps):
            details = (steps.before - 1) % self.details_every_n_steps == 0
            self._measure(trainer, pl_module, optimizer, steps, details)

    def on_train_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Finish what needs the weights after the step, and follow up a suspicion."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            loss = loss.detach() if loss.requires_grad else loss
            self._losses.append(loss)
            if not self._first.is_judged:
                self._judge_first(trainer, loss)
        if self._updates:
            for meter, step in self._updates:
                self._inbox.put(meter.finish(), partial(self._note_updates, step))
            self._updates.clear()
        if self._read_now:
            self._read_now = False
            self._inbox.drain()
            self._suspect(trainer, of_gradients(list(self.measurements)))
        if self._suspects:
            self._examined |= self._suspects
            self._suspects = set()
            self._replays += 1
            self._diagnose(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Read what is still on its way, and diagnose the trained model."""
        self._inbox.drain()
        self._diagnose(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Diagnose a training that stopped because a number was no number."""
        if isinstance(exception, ArithmeticError) and self._batches:
            self._inbox.drain()
            self._diagnose(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return all that later measurements and diagnoses depend on, but for the batches."""
        self._inbox.drain()
        remembered = {name: to_state(getattr(self, name)) for name in _REMEMBERED}
        return remembered | {"steps": [steps.before for steps in self._steps.values()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, once the fit starts."""
        self._restored = {name: from_state(state) for name, state in state_dict.items()}

    def report(self) -> dict[str, Any]:
        """Return the diagnosis, the alerts and the latest zero fractions as plain JSON values."""
        stats = self.measurements[-1].parameters if self.measurements else {}
        return {
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
            "alerts": [{"step": step, **finding.to_dict()} for step, finding in self.alerts],
            "zero_grad_fraction": {name: s.zero_fraction for name, s in stats.items()},
            "gradient_history": {
                "parameter": self._first_weight,
                "records": self.history.records,
                "dead": self._dead(),
            },
        }

    def _dead(self) -> dict[str, Any] | None:
        """Return which rows and columns of the first weight's latest gradient are zero."""
        if self._first_gradient is None:
            return None
        zeros, shape = self._first_gradient.zeros, self._first_gradient.shape
        dead = {"rows": list(zeros.dead_rows), "columns": list(zeros.dead_columns)}
        return {"num_rows": shape[0], "num_columns": shape[1], **dead}

    def _measure(
        self,
        trainer: Any,
        pl_module: nn.Module,
        optimizer: Optimizer,
        steps: OptimizerSteps,
        with_details: bool,
    ) -> None:
        """Start one measurement; what the last one started has had an interval to arrive."""
        self._inbox.drain()
        parameters, step = steps.parameters(trainer, pl_module, optimizer), trainer.global_step
        scale = getattr(getattr(trainer.precision_plugin, "scaler", None), "_scale", None)
        carried = scale if getattr(optimizer, "_step_supports_amp_scaling", False) else None
        pending = measure_gradients(
            parameters,
            step,
            scale=scale,
            unscale=carried is not None,
            shard_group=flat_shard_group(trainer),
        )
        self._inbox.put(pending, self._note_measurement)
        self._read_now = step < FIRST  # what is wrong from the start is to be said soon
        if with_details:
            details = measure_details(parameters, step, scale=carried)
            self._inbox.put(details, partial(self._note_details, trainer, steps.is_first))
            self._updates.append((UpdateMeter(parameters), step))

    def _note_measurement(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)
        self._windows.add(measurement)
        if self._writer:
            values = measurement_scalars(measurement)
            shown = few_scalars(values) | (values if self.every_scalar else {})
            self._writer.scalars(shown, measurement.step)

    def _judge_first(self, trainer: Any, loss: Tensor) -> None:
        """Once the losses of the first steps are there, ask whether they fall."""
        # the steps of several optimisers may pull a loss up and down
        if self._first.add(loss) and self._is_automatic:
            groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
            rates = [(float(g["lr"]), float(g.get("initial_lr", 0.0))) for g in groups]
            self._suspect(trainer, self._first.judge(rates))

    def _suspect(self, trainer: Any, found: set[Suspicion]) -> None:
        """Have what was not examined before followed up, if a replay is left for it."""
        suspects = found - self._examined
        if trainer.world_size > 1:  # all ranks have to replay together
            suspects = trainer.strategy.broadcast(suspects)
        if self._replays < self.max_replays:
            self._suspects |= suspects

    def _note_updates(self, step: int, ratios: dict[str, float]) -> None:
        self._windows.add_updates(ratios)
        if self.every_scalar:
            self._writer.scalars({f"update_ratio/{name}": r for name, r in ratios.items()}, step)

    def _note_details(self, trainer: Any, counts: bool, details: DetailMeasurement) -> None:
        """Show details; suspect what persists over the windows and was not examined before."""
        self._remember(details)
        show_details(self._writer, details, self._first_weight, self.every_scalar)
        persistent = self._windows.add_details(details, counts)
        if persistent is None:
            return
        self._suspect(trainer, persistent)

    def _remember(self, details: DetailMeasurement) -> None:
        """Keep the zeros of the first weight that has columns."""
        matrices = (name for name, gradient in details.parameters.items() if gradient.shape[1])
        self._first_weight = self._first_weight or next(matrices, None)
        gradient = details.parameters.get(self._first_weight or "")
        if gradient is not None:
            self.history.add({"step": details.step, **gradient.summary()})
            self._first_gradient = gradient

    def _diagnose(self, trainer: Any, pl_module: nn.Module) -> None:
        """Replay the latest batches, keep what the run's measurements bear out, and report it."""
        names, sightings = feature_names(trainer), self._windows.sightings
        begun = self._first.before(len(self._losses), self._num_batches_seen)
        begun = begun if self._is_automatic else None
        context = training_context(trainer, self.measurements, self._losses, begun)
        diagnosis = diagnose_in_training(trainer, pl_module, list(self._batches), context)
        if diagnosis.not_replayed:
            latest = self.measurements[-1] if self.measurements else None
            diagnosis = from_measurements(latest, sightings, names, context, diagnosis.not_replayed)
            if trainer.is_global_zero and not self._said_why_not:
                log.warning("no diagnosis: %s", diagnosis.not_replayed)
            self._said_why_not = True
        parts = [persistent_part(finding, sightings, names) for finding in diagnosis.findings]
        found = (finding for finding in parts if finding is not None)
        kept = without_alarm_for(found, rare_features(trainer), benign_causes(trainer))
        self.diagnosis = replace(diagnosis, findings=kept)
        gradient, name = self._first_gradient, self._first_weight
        first = (name, gradient) if name and gradient else None
        show_diagnosis(self._writer, self.diagnosis, trainer.global_step, first)
        reported = {(finding.cause, finding.location) for _, finding in self.alerts}
        for finding in self.diagnosis.alarms:
            if (finding.cause, finding.location) not in reported:
                self.alerts.append((trainer.global_step, finding))
                if trainer.is_global_zero:
                    log.warning("%s", alarm_sentence(finding))
