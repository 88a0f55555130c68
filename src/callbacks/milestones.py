"""Judge goals while a run trains and show at its end which were reached, and when."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.table import Table

from src.callbacks.goals import Progress, make_milestone
from src.diagnostics.lightning.board import Board

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
            Console().print(_table(self.results))
            text = _markdown(self.results)
            Board(trainer.loggers).text("milestones", text, self._last_step)

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
        table.add_row(*_cells(result), style=styles.get(result["status"], "yellow"))
    return table


def _markdown(results: list[dict[str, Any]]) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
