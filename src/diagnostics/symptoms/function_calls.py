"""See the functions a forward pass calls: activations, masks and losses with what they compare.

`loss_fn` is opaque, but the functions it calls are not: a `TorchFunctionMode` sees every call of
`F.mse_loss`, `torch.relu`, `Tensor.masked_fill`, ... with its tensors. It changes no result.
Which module made a tensor it learns upstream, in the autograd graph.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..gates import saturation
from .backward import node_kind
from .masks import hidden_steps, steps_hidden
from .stats import FeatureStats, rows_of
from .symptoms import ActivationSymptoms, LossSymptoms, MaskSymptoms

LOSSES = frozenset(
    [
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
    ]
)
REGRESSION_LOSSES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "difference"})
SQUASHING = frozenset({"sigmoid", "tanh", "sigmoid_", "tanh_"})
DEAD_BELOW = {
    "relu": 0.0,
    "relu_": 0.0,
    "relu6": 0.0,
    "threshold": 0.0,
    "hardswish": -3.0,
    "gelu": -6.0,
    "silu": -20.0,
    "mish": -20.0,
    "softplus": -20.0,
    "elu": -20.0,
    "selu": -20.0,
}
"""Activation -> the pre-activation below which its slope is zero to float32 resolution."""
DIFFERENCES = frozenset({"sub", "rsub", "__sub__", "__rsub__", "subtract"})
ROUTING = frozenset({"topk", "argmax", "one_hot", "multinomial", "index_add_", "nonzero", "where"})
SAMPLE = 4096
RESHAPING = frozenset(
    [
        "View",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "UnsafeView",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Transpose",
        "Permute",
        "T",
        "Alias",
        "ToCopy",
        "Expand",
        "Clone",
        "Index",
        "Unbind",
        "Split",
        "Narrow",
    ]
)
"""Autograd nodes that move values about without changing them."""


def last_function(tensor: Tensor) -> str | None:
    """Return the last function that changed the values of a tensor, in lower case.

    Args:
        tensor: Any tensor.

    Returns:
        For example `sigmoid` or `relu`; None for a leaf or a tensor without a graph.
    """
    node = tensor.grad_fn
    while node is not None and node_kind(node) in RESHAPING:
        node = node.next_functions[0][0] if node.next_functions else None
    return node_kind(node).lower() if node is not None else None


def producer(tensor: Tensor, owners: Mapping[Any, str], depth: int = 12) -> str:
    """Return the module whose output a tensor is, or was before elementwise changes.

    Args:
        tensor: Any tensor with a graph.
        owners: Autograd node -> name of the module whose output it made.
        depth: Nodes to look through.

    Returns:
        The nearest module upstream; empty if none is near.
    """
    frontier, seen = [tensor.grad_fn], 0
    while frontier and seen < depth:
        node = frontier.pop(0)
        if node is None:
            continue
        if node in owners:
            return owners[node]
        seen += 1
        frontier += [parent for parent, _ in node.next_functions]
    return ""


class WatchedCalls(TorchFunctionMode):
    """Collect activations, masks and losses while it is active.

    Args:
        stack: Names of the modules whose forward is running, innermost last.
        owners: Autograd node -> module whose output it made.
        axes: Module -> the axis that holds its units (1 for convolutions, else -1).
        padding_bt: Callable giving the (B, T) padding of the running batch, or None.
    """

    def __init__(
        self,
        stack: list[str],
        owners: Mapping[Any, str],
        axes: Mapping[str, int],
        padding_bt: Callable[[], Tensor | None],
    ) -> None:
        super().__init__()
        self.stack, self.owners, self.axes, self.padding_bt = stack, owners, axes, padding_bt
        self.activations: dict[tuple[str, str, int], ActivationSymptoms] = {}
        self.masks: dict[tuple[str, str], MaskSymptoms] = {}
        self.losses: dict[tuple[str, int], LossSymptoms] = {}
        self.learned: dict[int, Tensor] = {}
        self.difference: tuple[Tensor, Tensor] | None = None
        self.routed = False
        self.begin()

    def begin(self) -> None:
        """Start a new batch: calls are matched to those of earlier batches by their position."""
        self.calls: dict[Any, int] = {}
        self.difference = None
        self.saw_loss = False
        self.learned.clear()

    def end(self) -> None:
        """Finish a batch: without a known loss the last difference to a constant was the loss."""
        if self.difference and not self.saw_loss:
            self._loss("difference", *self.difference)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function and note what matters."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in SQUASHING or name in DEAD_BELOW:
            self._activation(name, args[0])
        elif name in LOSSES and len(args) + len(kwargs) >= 2:
            values = [*args, kwargs.get("target")]
            self._loss(name, kwargs.get("input", args[0] if args else None), values[1])
        elif name in DIFFERENCES and not self.stack[1:]:
            self._note_difference(args)
        elif name in ROUTING:
            self.routed |= name == "topk" or (name in ("argmax", "one_hot") and bool(self.stack))
        for mask in hidden_steps(name, args, kwargs):
            self._mask(name, mask)
        result = func(*args, **kwargs)
        self._follow(args, result)
        return result

    def depends_on_parameters(self, tensor: Tensor) -> bool:
        """Return whether a tensor was computed from parameters, even if it was detached since."""
        return tensor.requires_grad or id(tensor) in self.learned

    def _follow(self, args: tuple[Any, ...], result: Any) -> None:
        """Remember results without a graph that were computed from tensors with one."""
        results = result if isinstance(result, list | tuple) else (result,)
        cut = [r for r in results if isinstance(r, Tensor) and not r.requires_grad]
        if not cut:
            return
        flat = [a for arg in args for a in (arg if isinstance(arg, list | tuple) else (arg,))]
        if any(isinstance(a, Tensor) and self.depends_on_parameters(a) for a in flat):
            self.learned |= {id(tensor): tensor for tensor in cut}

    def _position(self, *key: Any) -> int:
        self.calls[key] = self.calls.get(key, -1) + 1
        return self.calls[key]

    def _activation(self, name: str, x: Any) -> None:
        if not isinstance(x, Tensor) or x.grad_fn is None:
            return
        source, caller = producer(x, self.owners), self.stack[-1] if self.stack else ""
        key = (name, caller, self._position("activation", name, caller))
        seen = self.activations.get(key)
        rows = rows_of(x.detach(), self.axes.get(source, -1))
        if seen is None:
            stats, order = FeatureStats(rows.shape[1]), len(self.activations)
            seen = ActivationSymptoms(name.rstrip("_"), caller, source, order, stats)
            self.activations[key] = seen
        seen.preactivation.add(rows)
        if name in SQUASHING:
            seen.flat.append(saturation(x, name.rstrip("_")))

    def _note_difference(self, args: tuple[Any, ...]) -> None:
        tensors = [a for a in args[:2] if isinstance(a, Tensor) and a.is_floating_point()]
        if len(tensors) < 2:
            return
        moving, fixed = sorted(tensors, key=lambda tensor: not tensor.requires_grad)
        if moving.requires_grad and not fixed.requires_grad and moving.shape == fixed.shape:
            self.difference = (moving, fixed)

    def _loss(self, name: str, preds: Any, target: Any) -> None:
        if not isinstance(preds, Tensor) or not isinstance(target, Tensor):
            return
        self.saw_loss = True
        key = (name, self._position("loss", name))
        shown, wanted = preds.detach(), target.detach().reshape(-1)
        if preds.dim() > 2 and name in ("cross_entropy", "nll_loss"):
            shown = shown.movedim(1, -1)
        shown = shown.reshape(-1, shown.shape[-1] if shown.dim() > 1 else 1)
        rows, columns = shown.shape
        paired = columns if len(wanted) == rows * columns else 1
        rows = min(rows, max(1, SAMPLE // paired))
        shown, wanted = shown[:rows].float().cpu(), wanted[: rows * paired].cpu()
        seen = self.losses.get(key)
        if seen is None:
            source = last_function(preds), producer(preds, self.owners)
            self.losses[key] = LossSymptoms(name, *source, shown, wanted)
        else:
            seen.preds = torch.cat([seen.preds, shown])
            seen.target = torch.cat([seen.target, wanted])

    def _mask(self, name: str, hidden: Tensor) -> None:
        padding = self.padding_bt()
        if padding is None:
            return
        rows = steps_hidden(hidden, padding.shape)
        if rows is None or padding.all() or not padding.any():
            return
        caller = self.stack[-1] if self.stack else ""
        seen = self.masks.setdefault((name, caller), MaskSymptoms(name, caller))
        seen.real_hidden.append(float(rows[~padding].float().mean()))
        seen.padding_hidden.append(float(rows[padding].float().mean()))
