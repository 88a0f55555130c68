"""What happens to features and units while a model trains: events by optimiser step.

An event changes what a model is shown from its step on: a block of features goes dead, switches on
at a size, or freezes at a value. Whole windows are changed, not single bars, so that within a step
the gradient has one cause. Or it silences units of a layer: a seeded fault, to be told from dead
inputs.

Legend: B batch, T time steps, F features, N rows.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

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


class Schedule(pl.Callback):
    """Events in order of their steps, and where a run stands in them.

    One object for the three that have to agree on the step: the data module shows windows through
    it, the units of `attach` hang on it, and as a callback it moves with the Trainer. Place it
    after the callbacks that replay a batch: they then see the units as the batch saw them.

    Args:
        events: Options of one `Event` by its name; None in place of the options leaves it out.
        scale: Factor on all steps: 0.1 for a run of 1,200 steps instead of 12,000.

    Raises:
        ValueError: If an event or the scale cannot be used.

    Attributes:
        step: Optimiser steps done; None is after the last event. It follows the Trainer during a
            fit and stays where the fit ended.
    """

    def __init__(self, events: Mapping[str, Any] | None = None, scale: float = 1.0) -> None:
        if not 0 < scale < float("inf"):
            raise ValueError(f"schedule.scale must be positive and finite, got {scale}")
        self.scale = scale
        self.step: int | None = None
        made = [_make(name, node) for name, node in (events or {}).items() if node is not None]
        self.events = tuple(sorted(made, key=lambda event: event.step))
        self._feature_events = [event for event in self.events if not event.concerns_units]
        self._steps = [self.scaled(event.step) for event in self._feature_events]
        self._states: list[tuple[Tensor, Tensor]] = []

    def __bool__(self) -> bool:
        return bool(self.events)

    @property
    def changes_features(self) -> bool:
        """Whether anything happens to the data."""
        return bool(self._feature_events)

    def scaled(self, step: int) -> int:
        """Return a published step on the scale of this run.

        >>> Schedule(scale=0.1).scaled(5000)
        500
        """
        return round(step * self.scale)

    def prepare(self, rows: Tensor, groups: Mapping[str, slice]) -> None:
        """Work out what the events make of these features: x * gain + level, stretch by stretch.

        Args:
            rows: Features of the training bars (N, F).
            groups: Columns of each feature group.

        Raises:
            ValueError: If an event names a block that is no group, or more features than it has.
        """
        sizes = feature_sizes(rows)
        gain, level = torch.ones_like(sizes), torch.zeros_like(sizes)
        self._states = [(gain, level)]
        for event in self._feature_events:
            gain, level = gain.clone(), level.clone()
            _apply(event, _columns(event, groups), gain, level, sizes)
            self._states.append((gain, level))

    def __call__(self, x_btf: Tensor) -> Tensor:
        """Return windows (B, T, F) as they are shown at the present step."""
        gain, level = self._state()
        return x_btf * gain + level

    def alive(self) -> Tensor:
        """Return which features still carry what the data says (F,), bool."""
        return self._state()[0] != 0

    def statistics(self, mean_f: Tensor, std_f: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each feature after the last event; 1 where none is left."""
        gain, level = self._states[-1]
        std = std_f * gain
        return mean_f * gain + level, std.where(std > 0, 1.0)

    def attach(self, model: nn.Module) -> None:
        """Let units of a model die at their steps, the first of their layer first.

        Args:
            model: Holds the layers.

        Raises:
            ValueError: If an event's block does not end the name of exactly one Linear layer.
        """
        unit_events = [event for event in self.events if event.concerns_units]
        for name in dict.fromkeys(event.block for event in unit_events):
            layer = _find_layer(model, name)
            deaths = [
                (self.scaled(event.step), round((event.share or 0) * layer.out_features))
                for event in unit_events
                if event.block == name
            ]
            layer.register_forward_hook(UnitDeath(self, deaths))

    def on_sanity_check_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stand where the fit begins, or goes on."""
        self.step = trainer.global_step

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stand where the fit begins, or goes on."""
        self.step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Move on, before the next batch is gathered and before a validation."""
        self.step = trainer.global_step

    def _state(self) -> tuple[Tensor, Tensor]:
        """Return gain and level of each feature, (F,) each, at the present step."""
        if self.step is None:
            return self._states[-1]
        return self._states[bisect.bisect_right(self._steps, self.step)]


class UnitDeath:
    """A forward hook that silences the first units of a layer: output 0, nothing flows back.

    The layer keeps its name, its weights and its state dict. In the weight's gradient the rows of
    dead units are exactly zero.

    Args:
        schedule: Says at which step a run stands.
        deaths: Steps, ascending, and how many units are dead from each on.
    """

    def __init__(self, schedule: Schedule, deaths: Sequence[tuple[int, int]]) -> None:
        self._schedule = schedule
        self._deaths = deaths

    def num_dead(self) -> int:
        """Return how many units are dead at the present step."""
        now = self._schedule.step
        passed = [dead for step, dead in self._deaths if now is None or step <= now]
        return passed[-1] if passed else 0

    def __call__(self, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Return the layer's output without what dead units say."""
        dead = self.num_dead()
        if not dead:
            return output
        alive = output.new_ones(output.shape[-1])
        alive[:dead] = 0.0
        return output * alive


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


def _find_layer(model: nn.Module, ending: str) -> nn.Linear:
    """Return the one Linear layer whose name ends with whole dotted words `ending`."""
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f".{name}".endswith(f".{ending}")
    ]
    if len(found) != 1:
        raise ValueError(
            f"the block of units_die must end the name of exactly one Linear layer, got "
            f"{ending!r}, which ends {len(found)}"
        )
    return found[0]


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
