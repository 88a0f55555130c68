"""What happens to the features of a bar while a model trains: events by optimiser step.

An event changes what a model is shown from its step on: a block of features goes dead, switches on
at a size, or freezes at a value. Whole windows are changed, not single bars, so that within a step
the gradient has one cause. Events on the units of a layer are kept here too; the model side carries
them out.

Legend: B batch, T time steps, F features.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FEATURE_EVENTS = ("dead", "on", "freeze")
UNIT_EVENTS = ("units_die",)


@dataclass(frozen=True)
class Event:
    """One thing that happens at a step and stays.

    Args:
        step: Optimiser steps done when it happens, before the schedule's scale.
        block: Feature group, as `position`; for `units_die` the end of a layer's name.
        event: `dead` (features become 0), `on` (features are what the data says, brought to a
            size), `freeze` (features keep one value, their root mean square) or `units_die`.
        features: How many features of the block, from its first; None for all.
        size: For `on`: root mean square over the training bars on which a feature is not 0. Two
            numbers are spread over the features, evenly in the logarithm; None leaves the size.
        share: For `units_die`: share of the layer's units, in (0, 1].

    Raises:
        ValueError: If an option is unknown, missing or out of range.
    """

    step: int
    block: str
    event: str
    features: int | None = None
    size: tuple[float, float] | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if self.event not in FEATURE_EVENTS + UNIT_EVENTS:
            known = ", ".join(FEATURE_EVENTS + UNIT_EVENTS)
            raise ValueError(f"event must be one of {known}, got {self.event!r}")
        if not isinstance(self.step, int) or self.step < 0:
            raise ValueError(f"step must be an int of at least 0, got {self.step!r}")
        if self.features is not None and self.features < 1:
            raise ValueError(f"features must be at least 1, got {self.features}")
        if self.size is not None and not 0 < self.size[0] <= self.size[1] < float("inf"):
            raise ValueError(f"size must be two positive numbers in order, got {list(self.size)}")
        if (self.event in UNIT_EVENTS) != (self.share is not None):
            raise ValueError(f"share belongs to units_die, and only there, got {self.share}")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share}")

    @property
    def concerns_units(self) -> bool:
        """Whether it happens to a layer instead of to the features."""
        return self.event in UNIT_EVENTS


class Schedule:
    """Events in order of their steps.

    Args:
        events: Options of one `Event` by its name; None in place of the options leaves it out.
        scale: Factor on all steps: 0.1 for a run of 1,200 steps instead of 12,000.

    Raises:
        ValueError: If an event or the scale cannot be used.
    """

    def __init__(self, events: Mapping[str, Any] | None = None, scale: float = 1.0) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"schedule.scale must be positive and finite, got {scale}")
        self.scale = scale
        made = [_make(name, node) for name, node in (events or {}).items() if node is not None]
        self.events = tuple(sorted(made, key=lambda event: event.step))

    def __bool__(self) -> bool:
        return bool(self.events)

    @property
    def feature_events(self) -> tuple[Event, ...]:
        """What happens to the data."""
        return tuple(event for event in self.events if not event.concerns_units)

    def unit_events(self) -> list[dict[str, Any]]:
        """What happens to layers: `step` (scaled), `layer` and `share`, in order."""
        return [
            {"step": self.scaled(event.step), "layer": event.block, "share": event.share}
            for event in self.events
            if event.concerns_units
        ]

    def scaled(self, step: int) -> int:
        """Return a published step on the scale of this run.

        >>> Schedule(scale=0.1).scaled(5000)
        500
        """
        return round(step * self.scale)


class FeatureStates:
    """What a schedule makes of given features: x * gain + level, by stretches of steps.

    Args:
        schedule: The events.
        groups: Columns of each feature group.
        sizes: Root mean square of each feature where it is not 0 (F,); 0 for one that always is.

    Raises:
        ValueError: If an event names a block that is no group, or more features than it has.
    """

    def __init__(self, schedule: Schedule, groups: Mapping[str, slice], sizes: Tensor) -> None:
        events = schedule.feature_events
        self.steps = [schedule.scaled(event.step) for event in events]
        gain, level = torch.ones_like(sizes), torch.zeros_like(sizes)
        self.states = [(gain, level)]
        for event in events:
            gain, level = gain.clone(), level.clone()
            _apply(event, _columns(event, groups), gain, level, sizes)
            self.states.append((gain, level))

    def at(self, step: int | None) -> tuple[Tensor, Tensor]:
        """Return gain and level of each feature, (F,) each, after so many steps; None: the end."""
        passed = len(self.steps) if step is None else bisect.bisect_right(self.steps, step)
        return self.states[passed]

    def alive(self, step: int | None) -> Tensor:
        """Return which features still carry what the data says (F,), bool."""
        return self.at(step)[0] != 0

    def __call__(self, x_btf: Tensor, step: int | None) -> Tensor:
        """Return windows (B, T, F) as they are shown after so many steps."""
        gain, level = self.at(step)
        return x_btf * gain + level


def feature_sizes(rows: Tensor) -> Tensor:
    """Return the root mean square of each feature over the rows on which it is not 0.

    Args:
        rows: (N, F).

    Returns:
        (F,), 0 for a feature that always is.

    >>> feature_sizes(torch.tensor([[3.0, 0.0], [0.0, 0.0], [3.0, 0.0]]))
    tensor([3., 0.])
    """
    exact = rows.double()
    return (exact.square().sum(0) / (exact != 0).sum(0).clamp_min(1)).sqrt().float()


def _make(name: str, options: Mapping[str, Any]) -> Event:
    values = dict(options)
    if values.get("size") is not None:
        size = values["size"]
        pair = (size, size) if isinstance(size, int | float) else tuple(map(float, size))
        values["size"] = pair
        if len(pair) != 2:
            raise ValueError(f"schedule.events.{name}: size must be one number or two")
    try:
        return Event(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"schedule.events.{name}: {error}") from None


def _columns(event: Event, groups: Mapping[str, slice]) -> slice:
    if event.block not in groups:
        raise ValueError(
            f"a schedule's block must be one of {', '.join(groups)}, got {event.block!r}"
        )
    columns = groups[event.block]
    count = columns.stop - columns.start
    if event.features is not None and event.features > count:
        raise ValueError(f"{event.block} has {count} features, got features={event.features}")
    return slice(columns.start, columns.start + (event.features or count))


def _apply(event: Event, columns: slice, gain: Tensor, level: Tensor, sizes: Tensor) -> None:
    own = sizes[columns]
    if event.event == "on":
        gain[columns] = 1.0 if event.size is None else _gain(event.size, own)
        level[columns] = 0.0
    else:
        gain[columns] = 0.0
        level[columns] = own if event.event == "freeze" else 0.0


def _gain(size: tuple[float, float], own: Tensor) -> Tensor:
    """Return what brings features of their own sizes to sizes spread evenly in the logarithm."""
    smallest, largest = map(math.log10, size)
    wanted = torch.logspace(smallest, largest, len(own))
    return torch.where(own > 0, wanted / own.clamp_min(1e-30), 1.0)
