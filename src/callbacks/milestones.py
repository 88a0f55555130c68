"""Judge goals while a run trains and show at its end which were reached, and when."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import lightning.pytorch as pl
from rich.table import Table
from rich.text import Text

from src.board.run_page import markdown_rows
from src.diagnostics.lightning.log_writer import LogWriter
from src.terminal import Terminal

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
HEADINGS = ("milestone", "goal", "steps", "outcome", "last value")


class Milestones(pl.Callback):
    """Judge goals on a schedule during training; show and keep the outcome.

    A quantity is looked up in the `latest` mapping of every callback that has one (the monitors
    of pooling and gradients), then among the trainer's logged metrics. It is as fresh as whatever
    measures it: place this callback after the monitors, and let them measure as often as it looks.

    Args:
        goals: options of one `Milestone` by its name; None in place of the options leaves it out.
        every_n_steps: optimiser steps between two looks; the ends of each window are looked at too.
        scale: factor on the goals' steps, for runs shorter or longer than they were written for.

    Raises:
        ValueError: if a goal or an option cannot be used.

    Attributes:
        results: one plain dict for each goal: its options, `status`, `step` and last `value`.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | milestones | the final table, as text | - | once, at the end |
    """

    def __init__(
        self,
        goals: Mapping[str, Mapping[str, Any] | None],
        every_n_steps: int = 100,
        scale: float = 1.0,
    ) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {scale}")
        self.every_n_steps = every_n_steps
        self.milestones = [
            make_milestone(name, goal, scale) for name, goal in goals.items() if goal is not None
        ]
        self._progress = {m.name: Progress() for m in self.milestones}
        self._window_ends = {s for m in self.milestones for s in (m.from_step, m.to_step)}
        self._last_step = 0

    @property
    def results(self) -> list[dict[str, Any]]:
        """Every milestone with its outcome so far, as plain dicts for a report."""
        return [
            asdict(milestone)
            | {
                "status": progress.status(milestone, self._last_step),
                "step": progress.reached_at,
                "value": progress.value,
            }
            for milestone, progress in zip(self.milestones, self._progress.values(), strict=True)
        ]

    def report(self) -> dict[str, Any]:
        """Return the results as plain JSON values, under a name of their own."""
        return {"milestones": self.results}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Look when it is time to."""
        step = trainer.global_step
        if step % self.every_n_steps == 0 or step in self._window_ends:
            self._look(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look once more, then show the table."""
        self._look(trainer)
        if trainer.is_global_zero:
            Terminal().print(_table(self.results))
            text = _markdown(self.results)
            LogWriter(trainer.loggers).text("milestones", text, self._last_step)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to know of the steps before."""
        progress = {name: asdict(progress) for name, progress in self._progress.items()}
        return {"last_step": self._last_step, "progress": progress}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; goals it does not know start afresh."""
        self._last_step = state_dict["last_step"]
        for name, progress in state_dict["progress"].items():
            if name in self._progress:
                self._progress[name] = Progress(**progress)

    def _look(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self._last_step:  # several batches end at one step under accumulation
            return
        self._last_step = step
        known = dict(trainer.callback_metrics)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            known.update(getattr(callback, "latest", {}))
        for milestone in self.milestones:
            if milestone.quantity in known:
                value = float(known[milestone.quantity])
                self._progress[milestone.name].observe(milestone, step, value)


@dataclass(frozen=True)
class Milestone:
    """One goal: a quantity on one side of a bound within a window of steps.

    Args:
        name: how the goal is called in tables.
        quantity: tag of a logged quantity.
        comparison: ">", "<", ">=" or "<=".
        bound: what the quantity is compared with, in its own unit.
        from_step: first optimiser step that counts.
        to_step: last optimiser step that counts; None for all from `from_step` on.
        hold: once reached, it must stay so: a later failure takes it back.

    Raises:
        ValueError: if the comparison is unknown or the window is empty.
    """

    name: str
    quantity: str
    comparison: str
    bound: float
    from_step: int = 0
    to_step: int | None = None
    hold: bool = False

    def __post_init__(self) -> None:
        if self.comparison not in COMPARISONS:
            known = ", ".join(COMPARISONS)
            raise ValueError(
                f"milestone {self.name}: comparison must be one of {known}, got {self.comparison}"
            )
        if self.from_step < 0 or (self.to_step is not None and self.to_step < self.from_step):
            raise ValueError(
                f"milestone {self.name}: steps must satisfy 0 <= from_step <= to_step, "
                f"got {self.from_step} and {self.to_step}"
            )

    def covers(self, step: int) -> bool:
        """Return whether what is seen at this step counts."""
        return self.from_step <= step and (self.to_step is None or step <= self.to_step)

    def is_met(self, value: float) -> bool:
        """Return whether this value is on the right side of the bound; never for NaN."""
        return COMPARISONS[self.comparison](value, self.bound)


@dataclass
class Progress:
    """What was seen of one milestone so far.

    Args:
        reached_at: step at which it was met; with `hold`, the first of the steps it has held since.
        value: the quantity at the last step that counts; None if it was never seen.
    """

    reached_at: int | None = None
    value: float | None = None

    def observe(self, milestone: Milestone, step: int, value: float) -> None:
        """Take in the quantity's value at one step."""
        if not milestone.covers(step):
            return
        self.value = value
        if not milestone.is_met(value):
            self.reached_at = None if milestone.hold else self.reached_at
        elif self.reached_at is None:
            self.reached_at = step

    def status(self, milestone: Milestone, step: int) -> str:
        """Return "reached", "missed", "not yet" or "not measured", as seen after `step` steps."""
        if self.reached_at is not None:
            return "reached"
        if self.value is None and step >= milestone.from_step:
            return "not measured"
        over = milestone.to_step is not None and step >= milestone.to_step
        return "missed" if over else "not yet"


def make_milestone(name: str, goal: Mapping[str, Any], scale: float = 1.0) -> Milestone:
    """Return the milestone a config describes, its steps multiplied by `scale`.

    Args:
        name: how the goal is called in tables.
        goal: the other options of `Milestone`.
        scale: factor on `from_step` and `to_step`, positive.

    Raises:
        ValueError: if an option is missing, unknown or cannot be used.
    """
    options = {field.name for field in fields(Milestone)} - {"name"}
    required = {"quantity", "comparison", "bound"}
    if not required <= set(goal) <= options:
        raise ValueError(
            f"milestone {name} must have {', '.join(sorted(required))} and may have "
            f"{', '.join(sorted(options - required))}, got {', '.join(map(str, goal))}"
        )
    if not isinstance(goal["quantity"], str):
        raise ValueError(f"milestone {name}: its quantity is a tag, got {goal['quantity']!r}")
    steps = {
        key: None if goal.get(key) is None else round(goal[key] * scale)
        for key in ("from_step", "to_step")
    }
    steps["from_step"] = steps["from_step"] or 0
    return Milestone(name, **{**goal, **steps})


def _cells(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one row of the table: name, goal, steps, outcome, last value."""
    first, last = result["from_step"], result["to_step"]
    steps = f"from {first}" if last is None else f"{first} to {last}"
    goal = f"{result['quantity']} {result['comparison']} {result['bound']:g}"
    reached = result["status"] == "reached"
    outcome = f"reached at step {result['step']}" if reached else result["status"]
    value = "" if result["value"] is None else f"{result['value']:.4g}"
    hold = ", and stays" if result["hold"] else ""
    return result["name"], goal + hold, steps, outcome, value


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Milestones")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    styles = {"reached": "green", "missed": "red"}
    for result in results:
        shown = map(Text, _cells(result))
        table.add_row(*shown, style=styles.get(result["status"], "yellow"))
    return table


def _markdown(results: list[dict[str, Any]]) -> str:
    return markdown_rows([HEADINGS, ("---",) * len(HEADINGS), *map(_cells, results)])
