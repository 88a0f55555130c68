"""What would help: trials of repairs, in stages that stop early.

1. structure: findings of a replay; one that no repair answers is the answer
2. the program as it is, and under all standard repairs at once
3. if only the latter learns: single repairs, first those that findings suggest
4. pairs of repairs of different families
5. if nothing learns: a planted target tells bad data from a bad program
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from time import monotonic
from typing import Any, NamedTuple

from torch import nn

from ..arguments import Optimizers, as_list, check_model, take
from ..diagnose import diagnose
from ..findings import Finding
from ..isolation import untouched
from ..symptoms.replay import LossFunction, check_loss_function
from .bench import Bench
from .planted import Planted
from .program import NotApplicableError
from .repairs import ADAM, ALL_AT_ONCE, ANSWERED, BY_HAND, FRESH, REPAIRS, both, standard_repairs
from .result import SHARE_OF_BEST, Help, Row, shown

MOST_BATCHES = 64
"""Batches looked at."""
LEARNT, HELPS, SOME = 0.8, 0.1, 0.1
"""Skill at which nothing is needed, gain that is help, and skill that is more than a constant."""
RISE = 0.02
"""Rise of the skill over the last two thirds of the steps that says that it is still learning."""
PLANTED = 0.3
"""Skill on a planted target that shows that a program can learn."""

NOT_JUDGED = "No predictions and targets were seen in the loss, so no skill can be measured."
SLOW = "It is slow, not broken: {}, and still rising. Train longer."
NOTHING_NEEDED = "Nothing is needed."
NO_TIME = "no time was left to plant a target"
NOTHING_HELPS = "Nothing is learnt, under no repair"
DATA = (
    "The program can learn: a planted target, a linear function of the inputs, it learns ({})."
    " These targets do not follow from these inputs, as far as it can see: the data are to blame,"
    " not the model."
)
ONLY_ALL = (
    "Its own targets are learnt under no repair, a planted target, a linear function of the inputs,"
    " only under all repairs at once ({})."
)
CANNOT = "The program cannot learn even a planted target, a linear function of the inputs ({})."


class Verdict(NamedTuple):
    """A verdict of `Help`, in words, with the repairs to choose from."""

    name: str
    words: str
    rows: tuple[Row, ...] = ()


def what_would_help(
    model: nn.Module,
    batches: Iterable[Any],
    loss_fn: LossFunction,
    optimizer: Optimizers = None,
    steps: int = 300,
    seconds: float = 60,
    *,
    feature_names: Sequence[str] | None = None,
) -> Help:
    """Train copies of a model for a short while, each under one repair, and say which one helps.

    Copies learn from some batches and are judged on others, by a skill that survives a change of
    the loss: 0 is the best constant, 1 is all. Every repair is compared with the unrepaired program
    from the same start. The model with all that its modules hold, its gradients, the optimiser and
    every random generator are left exactly as found; what `loss_fn` itself keeps is not.

    Args:
        model: Any module, fresh or trained.
        batches: At least two; every fourth is judged on. At most 64 are taken.
        loss_fn: (model, batch) -> scalar loss; it has to use the model that it is given.
        optimizer: The optimiser or optimisers; without one, Adam at 1e-3.
        steps: Optimiser steps of a trial.
        seconds: Time that all trials together may take; what was left out is said.
        feature_names: Names of the input features, for findings.

    Returns:
        The verdict in words, the repairs that help, and all trials.

    Raises:
        ValueError: There are fewer than two batches, or `loss_fn` is no such function.

    >>> import torch
    >>> x = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    >>> batches = list(zip(x.split(32), (1e4 * x[:, :1]).split(32)))
    >>> loss_fn = lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    >>> found = what_would_help(model, batches, loss_fn, optimizer, steps=100)
    >>> found.verdict, found.rows[0].change
    ('repair', 'targets standardised')
    """
    started = monotonic()
    check_model(model)
    taken = take(batches, 2, MOST_BATCHES, what_for=", to learn from and to judge on")
    if steps < 3:
        raise ValueError(f"steps must be at least 3, got {steps}")
    if not seconds >= 0:
        raise ValueError(f"seconds must be at least 0, got {seconds}")
    check_loss_function(loss_fn)
    diagnosis = diagnose(model, taken, loss_fn, optimizer, feature_names=feature_names)
    alarms = [alarm for alarm in diagnosis.alarms if alarm.confirmed is not False]
    with untouched(model):
        deadline = started + seconds
        bench = Bench(model, taken, loss_fn, as_list(optimizer), steps, deadline, alarms)
        verdict = Stages(bench).go()
    words = verdict.words
    if bench.steps < steps:
        words += (
            f" Only {bench.steps} of {steps} steps a trial fit into {seconds:g} s: give it more."
        )
    return Help(
        verdict=verdict.name,
        words=words,
        rows=verdict.rows,
        trials=tuple(bench.rows),
        findings=diagnosis.alarms,
        untried=tuple(bench.untried),
        seconds=round(monotonic() - started, 2),
    )


class Stages:
    """The way through the trials of one program.

    Args:
        bench: Where they are made.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        asked = [r for alarm in bench.alarms for r in REPAIRS if alarm.cause in r.causes]
        self.suggested = list(dict.fromkeys(asked))
        self.lead = next(iter(bench.alarms), None)

    def go(self) -> Verdict:
        """Go through the stages until one of them answers."""
        if not self.bench.facts.losses:
            return Verdict("unjudged", NOT_JUDGED)
        as_is = self.bench.run(enough=LEARNT)
        if as_is is None:
            return Verdict("unclear", f"{self.bench.steps} steps take longer than the time given.")
        if self.lead and self.lead.cause in BY_HAND:
            return self._finding(self.lead)
        if as_is.skill >= LEARNT:
            return self._learns(f"It learns: {_skills(as_is)}.")
        everything = self.bench.run(standard_repairs(self.suggested))
        if everything is None or everything.gain < HELPS:
            return self._nothing_better(as_is)
        if _rises(as_is) and not self.suggested:
            reached = f"All repairs at once get to {shown(everything.skill)}."
            return Verdict("slow", f"{SLOW.format(_skills(as_is))} {reached}")
        enough = SHARE_OF_BEST * everything.skill
        begun = (self._suggested, self._afresh)
        for stage in (*(begun[::-1] if self._is_spoilt() else begun), self._singles, self._pairs):
            if max((row.skill for row in self._helpful()), default=0.0) < enough:
                stage(enough)
        return self._repair(as_is, self._to_choose_from() or [everything])

    def _is_spoilt(self) -> bool:
        """Return whether steps at too high a rate made the weights what they are.

        No lower rate brings those back: fresh weights are tried first.
        """
        evidence = self.lead.evidence if self.lead else {}
        is_rate = self.lead is not None and self.lead.cause == "learning_rate_too_high"
        return is_rate and bool(evidence.get("steps_taken"))

    def _nothing_better(self, as_is: Row) -> Verdict:
        """Say why all repairs at once change nothing: it learns, is slow, or cannot.

        What findings suggest is tried first: where it helps, they were right.
        """
        self._suggested()
        if _rises(as_is) or as_is.skill >= SOME:
            rows = self._to_choose_from()
            if rows:
                return self._repair(as_is, rows)
        if _rises(as_is):
            return Verdict("slow", SLOW.format(_skills(as_is)))
        if as_is.skill >= SOME:
            words = f"It learns ({_skills(as_is)}), and all repairs at once make it learn no more."
            return self._learns(words)
        self._afresh()
        rows = self._to_choose_from()
        return self._repair(as_is, rows) if rows else self._plant()

    def _learns(self, words: str) -> Verdict:
        named = ", ".join(dict.fromkeys(alarm.cause for alarm in self.bench.alarms))
        rest = f"All the same, diagnose() names {named}." if named else NOTHING_NEEDED
        return Verdict("learns", f"{words} {rest}")

    def _plant(self) -> Verdict:
        """Plant a target: it tells bad data from a bad program."""
        as_is = None
        for repair in (None, standard_repairs(self.suggested)):
            for steps in ("all", "last"):
                try:
                    planted = Planted(self.bench.facts, self.bench.batches, steps)
                except NotApplicableError as error:
                    return Verdict("unclear", f"{NOTHING_HELPS}, and {error}.")
                row = self.bench.run(repair, planted, enough=PLANTED)
                if row is not None and row.skill >= PLANTED:
                    name, words = ("program", ONLY_ALL) if repair else ("targets", DATA)
                    return Verdict(name, words.format(_skills(row)))
                as_is = as_is or row
        if self.lead and self.lead.confirmed and self.lead.cause in ANSWERED | BY_HAND:
            return self._finding(self.lead)
        if as_is is None or as_is.error or self.bench.untried:
            why = (as_is.error if as_is else "") or NO_TIME
            return Verdict("unclear", f"{NOTHING_HELPS}; {why}.")
        return Verdict("program", CANNOT.format(_skills(as_is)))

    def _suggested(self, _: float = 0.0) -> None:
        """Try what findings suggest: where that is enough, findings and trials agree."""
        for repair in self.suggested:
            self.bench.run(repair)

    def _afresh(self, _: float = 0.0) -> None:
        """Try the same from fresh weights: what was at fault may have spoilt those there are."""
        if self.suggested:
            self.bench.run(FRESH)
        for repair in self.suggested:
            if repair is not FRESH:
                self.bench.run(both(FRESH, repair))

    def _singles(self, _: float) -> None:
        """Try all other single repairs."""
        for repair in REPAIRS:
            if repair.standard or repair.family == ADAM.family:
                self.bench.run(repair)

    def _pairs(self, enough: float) -> None:
        """Try pairs of families, those first whose members help most, until one is enough."""
        tried = [(r, row) for r in REPAIRS if (row := self.bench.find(r.name)) is not None]
        pairs = [pair for pair in combinations(tried, 2) if pair[0][0].family != pair[1][0].family]
        for one, other in sorted(pairs, key=lambda pair: -sum(max(r.gain, 0) for _, r in pair)):
            row = self.bench.run(both(one[0], other[0]))
            if row is not None and row.gain >= HELPS and row.skill >= enough:
                return

    def _helpful(self) -> list[Row]:
        rows = [row for row in self.bench.rows if row.change and not row.planted]
        return [row for row in rows if row.gain >= HELPS and row.change != ALL_AT_ONCE]

    def _to_choose_from(self) -> list[Row]:
        """Return the repairs within 90% of the best: confirmed findings, then small changes."""
        helpful = self._helpful()
        best = max((row.skill for row in helpful), default=0.0)
        close = [row for row in helpful if row.skill >= SHARE_OF_BEST * best]
        return sorted(close, key=lambda row: (not row.confirms, row.changes, -row.skill))

    def _finding(self, finding: Finding) -> Verdict:
        return Verdict("finding", f"{finding.sentence}. {finding.remedy}".strip())

    def _repair(self, as_is: Row, rows: Sequence[Row]) -> Verdict:
        before, first = _skills(as_is), rows[0]
        little = "learns less than it could" if as_is.skill >= SOME else "does not learn"
        words = f"As it is it {little} ({before}). What helps: {first.change}"
        return Verdict("repair", f"{words} ({_skills(first)}).", tuple(rows))


def _rises(row: Row) -> bool:
    """Return whether the skill was still rising when the trial ended."""
    skills = [0.0 if math.isnan(value) else max(value, 0.0) for value in row.skills.values()]
    return len(skills) > 1 and skills[-1] - skills[-2] >= RISE and skills[-2] >= skills[0] - RISE


def _skills(row: Row) -> str:
    """Say how the skill went."""
    if row.error:
        return f"it stops with {row.error}"
    steps = ", ".join(str(mark) for mark in row.skills)
    return f"skill {', '.join(map(shown, row.skills.values()))} after {steps} steps"
