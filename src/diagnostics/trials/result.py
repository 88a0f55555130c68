"""What trials of repairs show: a row per trial, and what follows from them in plain words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..findings import Finding, to_plain

SHARE_OF_BEST = 0.9
"""Share of the best repair's skill from which on a repair is shown beside it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    Args:
        change: What was changed; empty for the program as it is.
        changes: How many changes that is.
        start: `as found`, or `fresh` where all weights were drawn anew.
        skills: Skill on held-out batches after numbers of steps; NaN where it had diverged.
        gain: Last skill over that of the unrepaired program from the same start.
        cause: Cause that the change answers: of a finding that suggested it, else the commonest.
        do: What to do.
        confirms: Whether a finding suggested it, which its success confirms.
        planted: Whether a planted target was put in place of the program's own.
        error: What the training raised, if it did.
    """

    change: str
    skills: Mapping[int, float]
    start: str = "as found"
    changes: int = 1
    planted: bool = False
    gain: float = 0.0
    cause: str = ""
    do: str = ""
    confirms: bool = False
    error: str = ""

    @property
    def skill(self) -> float:
        """Skill after the last step; minus infinity where there is none."""
        last = list(self.skills.values())[-1] if self.skills else math.nan
        return -math.inf if math.isnan(last) else last

    @property
    def title(self) -> str:
        """What was changed, in words."""
        return (self.change or "none") + (", planted target" if self.planted else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "change": self.change or "none",
            "start": self.start,
            "skills": to_plain(self.skills),
            "gain": to_plain(self.gain),
            "cause": self.cause,
            "do": self.do,
            "confirms": self.confirms,
            "planted": self.planted,
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True)
class Help:
    """What would help a program to learn.

    Args:
        verdict: `learns`, `slow`, `repair` (rows say which), `finding` (structure is at fault),
            `targets` (they do not follow from the inputs), `program` (it cannot learn even a
            planted target), `unclear` or `unjudged`.
        words: The same in a sentence or two.
        rows: The repairs to choose from, best first: all within 90% of the best.
        trials: Every trial made, in order.
        findings: What a replay without training showed.
        untried: Repairs for which no time was left.
        seconds: How long it took.
    """

    verdict: str
    words: str
    rows: tuple[Row, ...] = ()
    trials: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    untried: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def alarm(self) -> bool:
        """Whether something has to be done; slow is not broken."""
        return self.verdict in ("repair", "finding", "program")

    def summary(self) -> str:
        """Return the verdict and the table, for a terminal."""
        return f"{self.words}\n\n{self.table}" if self.trials else self.words

    @property
    def table(self) -> str:
        """The unrepaired program and the repairs to choose from; without these, every trial."""
        heads, *body = self.cells()
        lines = [heads, *body]
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def cells(self) -> list[list[str]]:
        """Return the table's heads and rows as text."""
        chosen = [*self.trials[:1], *self.rows] if self.rows else list(self.trials)
        marks = [str(mark) for mark in max((row.skills for row in chosen), key=len, default=())]
        last = [f"skill at {mark}" for mark in marks]
        rows = [["change", "start", *last, "cause", "what to do"]]
        for row in chosen:
            skills = [shown(value) for value in row.skills.values()] or ["failed"]
            skills += [""] * (len(marks) - len(skills))
            rows.append([row.title, row.start, *skills, row.cause, row.do or row.error])
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "verdict": self.verdict,
            "alarm": self.alarm,
            "words": self.words,
            "rows": [row.to_dict() for row in self.rows],
            "trials": [row.to_dict() for row in self.trials],
            "findings": [finding.to_dict() for finding in self.findings],
            "untried": list(self.untried),
            "seconds": to_plain(self.seconds),
        }


def shown(value: float) -> str:
    """Show a skill; what is below -9.99 is only said to be.

    >>> shown(0.876), shown(-1234.5), shown(float("nan"))
    ('0.88', '< -9.99', 'diverged')
    """
    if math.isnan(value):
        return "diverged"
    return f"{value:.2f}" if value > -10 else "< -9.99"
