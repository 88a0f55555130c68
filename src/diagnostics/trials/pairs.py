"""See what a loss compares, and change it from outside: predictions, targets, the loss itself.

`loss_fn` is opaque, the functions that it calls are not. Where it calls no loss function of torch,
the last difference between something computed from parameters and something that is not was it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..symptoms.backward import node_kind
from ..symptoms.function_calls import DIFFERENCES, LOSSES, RESHAPING

COMPARED = LOSSES | {"gaussian_nll_loss", "poisson_nll_loss", "multi_margin_loss"}
ACTIVATIONS = frozenset(
    ["softmax", "log_softmax", "sigmoid", "logsigmoid", "tanh", "relu", "softplus"]
)
"""What may stand between logits and a loss."""


class Pair(NamedTuple):
    """What one loss call compared: predictions and targets as they entered it."""

    function: str
    preds: Tensor
    target: Tensor


class Activation(NamedTuple):
    """A call of an activation: its function, and how many calls of it came before."""

    function: str
    ordinal: int


Retarget = Callable[[int, Pair], Tensor]
"""(which loss, what it compares) -> the target to use."""


class LossCalls(TorchFunctionMode):
    """Note the pairs of one play, and change what is asked for.

    Args:
        difference: Which of the differences is the loss; None where a loss function is called.
        retarget: Puts other targets in place.
        skipped: Activations to leave out.
        replace: Returns the loss to take in place of a loss function's.
    """

    def __init__(
        self,
        difference: int | None = None,
        retarget: Retarget | None = None,
        skipped: frozenset[Activation] = frozenset(),
        replace: Callable[[int, Pair], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.difference, self.retarget = difference, retarget
        self.skipped, self.replace = skipped, replace
        self.losses: list[Pair] = []
        self.differences: list[Pair] = []
        self.makers: dict[Any, Activation] = {}
        self.counts: dict[str, int] = {}

    @property
    def pairs(self) -> list[Pair]:
        """What was compared: in loss functions, else in the difference that is the loss."""
        if self.losses or not self.differences:
            return self.losses
        chosen = -1 if self.difference is None else self.difference
        return self.differences[chosen : chosen + 1 or None]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, changed where it is to be."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "").strip("_")
        if name in COMPARED:
            args, kwargs = self._loss(name, args, kwargs)
            if self.replace is not None and self.losses:
                return self.replace(len(self.losses) - 1, self.losses[-1])
        elif name in ACTIVATIONS:
            return self._activation(name, func, args, kwargs)
        elif func.__name__ in DIFFERENCES:
            args = self._difference(args)
        return func(*args, **kwargs)

    def _activation(self, name: str, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        call = Activation(name, self.counts.get(name, 0))
        self.counts[name] = call.ordinal + 1
        if call in self.skipped:
            return args[0] if args else kwargs["input"]
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.grad_fn is not None:
            self.makers[result.grad_fn] = call
        return result

    def _loss(self, name: str, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        values = [*args[:2], *(kwargs[key] for key in ("input", "target") if key in kwargs)]
        if len(values) < 2 or not all(isinstance(value, Tensor) for value in values[:2]):
            return args, kwargs
        pair = Pair(name, *values[:2])
        if self.retarget is not None:
            pair = pair._replace(target=self.retarget(len(self.losses), pair))
        self.losses.append(pair)
        rest = {key: value for key, value in kwargs.items() if key not in ("input", "target")}
        return (pair.preds, pair.target, *args[2:]), rest

    def _difference(self, args: Any) -> Any:
        tensors = [a for a in args[:2] if isinstance(a, Tensor) and a.is_floating_point()]
        if len(tensors) < 2 or tensors[0].requires_grad == tensors[1].requires_grad:
            return args
        place = 0 if tensors[1].requires_grad else 1
        pair = Pair("difference", tensors[1 - place], tensors[place])
        if not pair.target.dim() or pair.target.numel() != pair.preds.numel():
            return args
        if self.retarget is not None and len(self.differences) == self.difference:
            pair = pair._replace(target=self.retarget(0, pair))
        self.differences.append(pair)
        return (pair.target, pair.preds) if place == 0 else (pair.preds, pair.target)

    def activation_of(self, preds: Tensor) -> Activation | None:
        """Return the activation that predictions come straight out of, if any."""
        node = preds.grad_fn
        while node is not None and node not in self.makers and node_kind(node) in RESHAPING:
            node = node.next_functions[0][0] if node.next_functions else None
        return self.makers.get(node)


NATURAL = ("mse_loss", "binary_cross_entropy_with_logits", "cross_entropy")
"""The loss that goes with numbers, with shares or two classes in one column, with classes."""


def natural_loss(pair: Pair, classes: int) -> Tensor:
    """Return the loss that goes with the targets, on logits.

    Args:
        pair: What is compared; its predictions are logits.
        classes: How many there are; 0 for numbers, 1 for shares and two classes in one column.

    Returns:
        A scalar: cross entropy of classes, binary cross entropy of shares, else the mean square.

    >>> pair = Pair("mse_loss", torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]))
    >>> natural_loss(pair, classes=0)
    tensor(2.)
    """
    preds, target = pair.preds, pair.target
    if classes > 1:
        labels = target.long()
        if preds.dim() == 2:
            labels = labels.reshape(len(preds))
        return torch.nn.functional.cross_entropy(preds, labels)
    numbers, wanted = preds.flatten(), target.flatten().to(preds)
    if classes == 1:
        return torch.nn.functional.binary_cross_entropy_with_logits(numbers, wanted)
    return torch.nn.functional.mse_loss(numbers, wanted)
