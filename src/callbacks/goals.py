"""Goals a run should reach by some step: what they are, and what was seen of them. No torch."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


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
    steps = {
        key: None if goal.get(key) is None else round(goal[key] * scale)
        for key in ("from_step", "to_step")
    }
    steps["from_step"] = steps["from_step"] or 0
    return Milestone(name, **{**goal, **steps})
