"""What has to be known of a program before it can be repaired: its inputs, targets and losses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..isolation import same_attributes, seeded
from ..symptoms.backward import graph_of
from ..symptoms.masks import map_tensors, tensors_in
from ..symptoms.replay import LossFunction
from ..symptoms.samples import change_tensors
from .pairs import Activation, LossCalls, Pair

MOST_CLASSES = 1000


@dataclass(frozen=True)
class LossFacts:
    """One loss of a program.

    Args:
        function: Its name.
        columns: Numbers that are predicted for a sample.
        classes: How many classes the targets name; 1 for shares and two classes in one column, 0
            for numbers.
        activation: What stands between the logits and it.
        mean: Of the targets, where they are numbers.
        std: The same; 1 where they do not vary.
    """

    function: str
    columns: int
    classes: int
    activation: Activation | None
    mean: float
    std: float


@dataclass(frozen=True)
class Scale:
    """Mean and spread of one tensor of the batches, a number for each feature."""

    mean: Tensor
    std: Tensor

    def standardised(self, x: Tensor) -> Tensor:
        """Return x with mean 0 and spread 1; what is not finite becomes the mean."""
        axis = feature_axis(x)
        shape = [-1 if i == axis else 1 for i in range(x.dim())] if len(self.mean) > 1 else [1]
        mean, std = (part.to(x).reshape(shape) for part in (self.mean, self.std))
        return torch.nan_to_num((x - mean) / std, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class Facts:
    """What is known of a program.

    Args:
        difference: Which difference is the loss; None where loss functions are called.
        losses: Its losses in the order of their calls.
        inputs: Position in `tensors_in` -> scale of a tensor of numbers that is no target.
        targets: Positions of the tensors that targets are made of.
        heard: Positions of the tensors of numbers that predictions depend on, as far as is known.
    """

    difference: int | None = None
    losses: tuple[LossFacts, ...] = ()
    inputs: Mapping[int, Scale] = field(default_factory=dict)
    targets: frozenset[int] = frozenset()
    heard: frozenset[int] = frozenset()


def find_facts(model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction) -> Facts:
    """Play the batches once and return what they show.

    Args:
        model: Any module; it is left as found but for its weights' gradients.
        batches: The batches to train on.
        loss_fn: (model, batch) -> scalar loss.
    """
    plays = [_played(model, batch, loss_fn) for batch in batches]
    first = plays[0]
    count = min(len(calls.pairs) for calls in plays)
    losses = [
        _loss_facts([calls.pairs[i] for calls in plays], first, batches) for i in range(count)
    ]
    targets, heard = _targets(model, batches[0], loss_fn)
    return Facts(
        difference=None if first.losses or not first.differences else len(first.differences) - 1,
        losses=tuple(losses),
        inputs=_inputs(batches, targets),
        targets=targets,
        heard=heard,
    )


def _played(model: nn.Module, batch: Any, loss_fn: LossFunction) -> LossCalls:
    calls = LossCalls()
    with same_attributes(model), seeded(0), torch.enable_grad(), calls:
        loss_fn(model, batch)
    return calls


def _loss_facts(pairs: Sequence[Pair], first: LossCalls, batches: Sequence[Any]) -> LossFacts:
    pair = pairs[0]
    targets = torch.cat([p.target.detach().flatten().double() for p in pairs])
    axis = 1 if pair.function in ("cross_entropy", "nll_loss") else -1
    columns = pair.preds.shape[axis] if pair.preds.dim() > 1 else 1
    spread = float(targets.std(correction=0)) if len(targets) else 0.0
    return LossFacts(
        function=pair.function,
        columns=columns,
        classes=_classes(pair, columns, targets, batches[0]),
        activation=first.activation_of(pair.preds),
        mean=float(targets.mean()),
        std=spread if spread > 0 and math.isfinite(spread) else 1.0,
    )


def _classes(pair: Pair, columns: int, targets: Tensor, batch: Any) -> int:
    """Return how many classes targets name: by their type, and by what a loss can mean."""
    if pair.function in ("cross_entropy", "nll_loss", "multi_margin_loss"):
        return columns
    whole = bool((targets == targets.round()).all()) and float(targets.min()) >= 0
    largest = float(targets.max())
    if pair.function.startswith("binary_cross_entropy"):
        several = whole and 1 < largest < MOST_CLASSES
        return int(largest) + 1 if several and columns == 1 else 1
    labelled = whole and 1 <= largest < MOST_CLASSES and columns == 1 and _are_labels(pair, batch)
    return max(int(largest) + 1, 2) if labelled else 0


def _are_labels(pair: Pair, batch: Any) -> bool:
    """Return whether targets come from whole numbers in the batch: counts come as floats."""
    wanted = pair.target.detach().flatten().double()
    return any(
        not t.is_floating_point()
        and t.numel() == len(wanted)
        and torch.equal(t.flatten().double(), wanted)
        for t in tensors_in(batch)
    )


def _targets(
    model: nn.Module, batch: Any, loss_fn: LossFunction
) -> tuple[frozenset[int], frozenset[int]]:
    """Return the positions of tensors that targets, and predictions, are made of, by the graph."""
    marked = map_tensors(
        batch, lambda t: t.detach().clone().requires_grad_() if t.is_floating_point() else t
    )
    tensors = tensors_in(marked)
    places = {id(tensor): place for place, tensor in enumerate(tensors)}
    seen: list[Pair] = []

    def note(_: int, pair: Pair) -> Tensor:
        seen.append(pair)
        return pair.target.detach()

    try:
        with same_attributes(model), seeded(0), torch.enable_grad(), LossCalls(None, note):
            loss_fn(model, marked)
    except RuntimeError:  # someone takes numbers out of the batch, which needs no graph
        seen = []
    found, heard = (
        frozenset(places[key] for tensor in part for key in _origins(tensor) if key in places)
        for part in ([pair.target for pair in seen], [pair.preds for pair in seen])
    )
    if found:
        return found, heard - found
    wanted = [pair.target for pair in seen or _played(model, batch, loss_fn).pairs]
    found = frozenset(
        place
        for place, tensor in enumerate(tensors)
        if any(_same_numbers(tensor, target) for target in wanted)
    )
    return found, heard - found


def _origins(tensor: Tensor) -> set[int]:
    if tensor.grad_fn is None:
        return {id(tensor)}
    return {id(node.variable) for node in graph_of(tensor) if hasattr(node, "variable")}


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    one, other = one.detach().flatten().double(), other.detach().flatten().double()
    return one.shape == other.shape and bool(torch.isclose(one, other, rtol=1e-6).all())


def feature_axis(x: Tensor) -> int:
    """Return the axis of the features: the channels of an image, else the last.

    >>> feature_axis(torch.zeros(8, 20, 5)), feature_axis(torch.zeros(8, 3, 32, 32))
    (2, 1)
    """
    return 1 if x.dim() == 4 else x.dim() - 1


def _inputs(batches: Sequence[Any], targets: frozenset[int]) -> dict[int, Scale]:
    """Return the scales of all tensors of numbers that are neither targets nor switches."""
    scales = {}
    for place in range(len(tensors_in(batches[0]))):
        tensors = [tensors_in(batch)[place].detach() for batch in batches]
        first = tensors[0]
        if place in targets or not first.is_floating_point() or not first.dim():
            continue
        axis = feature_axis(first)
        same_width = first.dim() > 1 and len({t.shape[axis] for t in tensors}) == 1
        width = first.shape[axis] if same_width else 1
        rows = torch.cat([t.movedim(axis, -1).reshape(-1, width).double() for t in tensors])
        finite = rows.isfinite()
        if bool(((rows == 0) | (rows == 1)).all()):
            continue
        number = finite.sum(0).clamp(min=1)
        mean = torch.where(finite, rows, 0.0).sum(0) / number
        spread = (torch.where(finite, rows - mean, 0.0).square().sum(0) / number).sqrt()
        scales[place] = Scale(mean, torch.where(spread > 1e-9 * (1 + mean.abs()), spread, 1.0))
    return scales


def standardised(batch: Any, inputs: Mapping[int, Scale]) -> Any:
    """Return a batch whose inputs have mean 0 and spread 1."""
    return change_tensors(
        batch, lambda place, t: inputs[place].standardised(t) if place in inputs else t
    )
