"""Output units of a layer that die at given steps: a seeded fault, to be told from dead inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class UnitDeath:
    """Silence the first units of a layer from given steps on: output 0, nothing flows back.

    A forward hook does it, so the layer keeps its name, its weights and its state dict. In the
    weight's gradient the rows of dead units are exactly zero.

    Args:
        model: Holds the layer.
        layer: End of the layer's name, whole words between dots, of exactly one Linear layer.
        events: Steps and shares: from `step` on, `share` of the units are dead.

    Raises:
        ValueError: If there is no such layer.

    Attributes:
        step: Optimiser steps done; None is after the last event.
    """

    def __init__(self, model: nn.Module, layer: str, events: Sequence[Mapping[str, Any]]) -> None:
        found = [
            module
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and f".{name}".endswith(f".{layer}")
        ]
        if len(found) != 1:
            raise ValueError(
                f"the block of units_die must end the name of exactly one Linear layer, got "
                f"{layer!r}, which ends {len(found)}"
            )
        self.step: int | None = None
        self._events = [(e["step"], round(e["share"] * found[0].out_features)) for e in events]
        found[0].register_forward_hook(self._silence)

    def num_dead(self) -> int:
        """Return how many units are dead at the present step."""
        passed = [dead for step, dead in self._events if self.step is None or step <= self.step]
        return passed[-1] if passed else 0

    def _silence(self, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        dead = self.num_dead()
        if not dead:
            return output
        alive = output.new_ones(output.shape[-1])
        alive[:dead] = 0.0
        return output * alive


def let_units_die(model: nn.Module, events: Sequence[Mapping[str, Any]]) -> list[UnitDeath]:
    """Prepare the deaths of a schedule.

    Args:
        model: Holds the layers.
        events: `step`, `layer` and `share` of each, in order of their steps.

    Returns:
        One object for each layer concerned.
    """
    layers = dict.fromkeys(event["layer"] for event in events)
    return [UnitDeath(model, n, [e for e in events if e["layer"] == n]) for n in layers]
