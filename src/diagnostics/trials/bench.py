"""Where trials are made: one copy under one repair, trained, judged and noted in a row."""

import math
from collections.abc import Collection, Sequence
from time import monotonic
from typing import Any

import torch
from torch import nn

from ..findings import Finding
from ..isolation import seeded
from ..symptoms.replay import LossFunction
from .planted import Planted
from .program import NotApplicableError, OutOfTimeError, Program, train
from .program_facts import find_facts
from .repairs import FRESH, Repair
from .result import Row

HELD_OUT = 4
"""Each so many-th batch is judged on."""
FEWEST_STEPS, PROBED, LEAST_TRIALS = 100, 3, 6
"""Steps that a trial has at least, steps timed, and trials for which there has to be time."""


class Bench:
    """Trains copies of one program, each under one repair, and notes what came of it.

    Args:
        model: Copied for every trial.
        batches: Some are learnt from, the others judged on.
        loss_fn: (model, batch) -> scalar loss.
        optimizers: Copied with the model.
        steps: Of a trial; fewer where time does not allow so many.
        deadline: Moment of `time.monotonic` at which the last trial must have ended.
        alarms: Findings; a repair that answers one of them is marked.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Any],
        loss_fn: LossFunction,
        optimizers: Sequence[torch.optim.Optimizer],
        steps: int,
        deadline: float,
        alarms: Collection[Finding],
    ) -> None:
        self.model, self.loss_fn, self.optimizers = model, loss_fn, optimizers
        every = min(HELD_OUT, len(batches))
        self.held_out = list(batches[every - 1 :: every])
        self.batches = [batch for i, batch in enumerate(batches) if (i + 1) % every]
        self.deadline, self.alarms, self.asked = deadline, alarms, steps
        self.facts = find_facts(model, self.batches, loss_fn)
        self.steps = self._affordable(steps)
        self.rows: list[Row] = []
        self.untried: list[str] = []

    def copy(self) -> Program:
        """Return a copy of the program."""
        return Program.copied(
            self.model, self.optimizers, self.loss_fn, self.facts, self.batches[0]
        )

    def find(self, name: str) -> Row | None:
        """Return the row of a trial that was made."""
        return next((row for row in self.rows if row.change == name and not row.planted), None)

    def run(
        self,
        repair: Repair | None = None,
        planted: Planted | None = None,
        enough: float = math.inf,
    ) -> Row | None:
        """Train a copy under a repair.

        Args:
            repair: What is changed; None for the program as it is.
            planted: Puts its target in place of the program's own.
            enough: Skill at which a training need not go on.

        Returns:
            Its row; None where there is nothing to change or no time left.
        """
        name = repair.name if repair else ""
        if repair and not planted and self.find(name):
            return self.find(name)
        skills, error = dict[int, float](), ""
        marks = sorted({max(self.steps // 10, 1), max(self.steps // 3, 1), self.steps})
        try:
            program = self.copy()
            if repair:
                repair.apply(program)
            if planted:
                planted.plant(program)
            skills = train(program, self.batches, self.held_out, marks, self.deadline, enough)
        except NotApplicableError:
            return None
        except OutOfTimeError:
            self.untried.append(name or "the program as it is")
            return None
        except Exception as problem:  # what an exotic program does not stand costs only this trial
            error = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
        row = self._row(repair, skills, error, planted is not None)
        self.rows.append(row)
        return row

    def _row(
        self, repair: Repair | None, skills: dict[int, float], error: str, planted: bool
    ) -> Row:
        row = Row(change=repair.name if repair else "", skills=skills, error=error, planted=planted)
        if repair is None:
            return row
        asked = [alarm.cause for alarm in self.alarms if alarm.cause in repair.causes]
        fresh = FRESH.family in repair.family.split(" + ")
        reference = self.find(FRESH.name if fresh and repair is not FRESH else "")
        before = max(reference.skill, 0.0) if reference else 0.0
        return Row(
            **{
                **vars(row),
                "start": "fresh" if fresh else "as found",
                "gain": max(row.skill, 0.0) - before,
                "cause": (asked or [*repair.causes, ""])[0],
                "do": repair.do,
                "confirms": bool(asked),
                "changes": repair.family.count("+") + 1,
            }
        )

    def _affordable(self, steps: int) -> int:
        """Return how many steps a trial may have if there is to be time for a few trials."""
        program = self.copy()
        try:
            with seeded(0):
                program.step(self.batches[0])
                begun = monotonic()
                for step in range(PROBED):
                    program.step(self.batches[step % len(self.batches)])
        except Exception:  # the trials themselves will say it
            return steps
        each = (monotonic() - begun) / PROBED
        left = (self.deadline - monotonic()) / LEAST_TRIALS
        if each * steps <= left:
            return steps
        return max(min(FEWEST_STEPS, steps), min(steps, math.floor(left / each)))
