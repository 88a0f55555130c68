"""A target that does follow from the inputs: whoever cannot learn it cannot learn.

It is linear: the directions in which the inputs differ most from sample to sample, averaged over
all steps or, since that is much to remember, those of the last step that differs much at all.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..symptoms.masks import tensors_in
from .pairs import Pair
from .program import NotApplicableError, Program
from .program_facts import Facts, feature_axis, standardised


class Planted:
    """Plants a fixed linear function of the inputs as the target.

    Args:
        facts: Of the program.
        batches: To train on; the function is fixed on them.
        steps: `last` or `all`: which steps of a sequence it is a function of.

    Raises:
        NotApplicableError: Samples cannot be told, or no input is a tensor of numbers.
    """

    def __init__(self, facts: Facts, batches: Sequence[Any], steps: str = "all") -> None:
        self.facts, self.steps = facts, steps
        self.step = -1
        self.places = [place for place in facts.inputs if place in facts.heard or not facts.heard]
        self.places = self.places or [
            place
            for place, tensor in enumerate(tensors_in(batches[0]))
            if tensor.dim() and place not in facts.targets and tensor.dtype != torch.bool
        ]
        if steps == "last":
            self.step = self._last_step(batches)
        rows = torch.cat([self._features(batch) for batch in batches])
        self.mean, spread = rows.mean(0), rows.std(0)
        self.std = torch.where(spread > 1e-6, spread, torch.inf)
        whitened = (rows - self.mean) / self.std
        self.directions = torch.linalg.svd(whitened, full_matrices=False)[2]
        self.sizes = (whitened @ self.directions.T).std(0).clamp(min=1e-12)
        self.values: Tensor | None = None

    def _last_step(self, batches: Sequence[Any]) -> int:
        """Return the last step, counted from the end, that differs half as much as any."""
        plays = [self._parts(batch)[0] for batch in batches]
        least = min(part.shape[1] for part in plays)
        size = torch.cat([part[:, -least:] for part in plays]).std(0).square().mean(-1).sqrt()
        wide = (size >= 0.5 * size.max()).nonzero()
        return int(wide[-1]) - least if len(wide) else -1

    def _features(self, batch: Any) -> Tensor:
        """Return (B, features) of one step, or of the mean over steps."""
        parts = self._parts(batch)
        if self.steps == "last":
            steps = [min(-self.step, part.shape[1]) for part in parts]
            return torch.cat([p[:, -step] for p, step in zip(parts, steps, strict=True)], dim=1)
        return torch.cat([part.mean(1) for part in parts], dim=1)

    def _parts(self, batch: Any) -> list[Tensor]:
        """Return the inputs of a batch, standardised, each (B, steps, features)."""
        tensors = tensors_in(standardised(batch, self.facts.inputs))
        chosen = [tensors[place] for place in self.places]
        if not chosen or len({len(tensor) for tensor in chosen}) != 1:
            raise NotApplicableError("no linear function of the inputs could be made")
        parts = []
        for tensor in chosen:
            moved = tensor.detach().double()
            if moved.dim() > 1:
                moved = moved.movedim(feature_axis(moved), -1)
            parts.append(moved.reshape(len(moved), -1, moved.shape[-1] if moved.dim() > 1 else 1))
        return parts

    def plant(self, program: Program) -> None:
        """Have a program compare its predictions with the planted target from now on."""
        program.change_batch.insert(0, self._note)
        program.retarget = self._retarget

    def _note(self, batch: Any) -> Any:
        """Work out the target of a batch before anything is changed about it."""
        self.values = (
            (self._features(batch) - self.mean) / self.std @ self.directions.T / self.sizes
        )
        return batch

    def _retarget(self, number: int, pair: Pair) -> Tensor:
        values, target = self.values, pair.target
        assert values is not None
        if not target.dim() or len(target) != len(values):
            raise NotApplicableError("targets are not in the order of the samples")
        columns = target.numel() // len(target)
        order = torch.arange(columns) % values.shape[1]
        wanted = values[:, order].reshape(target.shape).to(target.device)
        facts = self.facts.losses[min(number, len(self.facts.losses) - 1)]
        if facts.classes > 2 or not target.is_floating_point():
            edges = torch.linspace(-1, 1, max(facts.classes, 2) + 1)[1:-1].to(wanted) * 1.2
            return torch.bucketize(wanted, edges).to(target.dtype)
        if facts.classes:
            return (wanted > 0).to(target)
        return wanted.to(target)
