"""The trainable tensors a loss really hangs on, beside those that `parameters()` lists."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .backward import graph_of
from .masks import tensors_in
from .playback import Call, Playback

DEPTH = 4
"""Containers and plain objects looked through for the name of a tensor."""


def leaves_of(loss: Tensor) -> list[Tensor]:
    """Return the tensors that a loss sends its gradient to."""
    if loss.grad_fn is None:
        return [loss] if loss.requires_grad else []
    return [node.variable for node in graph_of(loss) if hasattr(node, "variable")]


def name_leaves(model: nn.Module) -> dict[int, str]:
    """Name the tensors that a model's modules hold outside of their registered parameters.

    Plain lists, dictionaries and objects are looked through, and modules inside of them.
    """
    known = {id(t) for t in [*model.parameters(), *model.buffers()]}
    names: dict[int, str] = {}
    for prefix, module in model.named_modules():
        for key, value in vars(module).items():
            if key.startswith("_") and key in vars(nn.Module()):
                continue
            for path, tensor in _walk(value, f"{prefix}.{key}".lstrip("."), DEPTH):
                if id(tensor) not in known:
                    names.setdefault(id(tensor), path)
    return names


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        if value.grad_fn is not None:  # .to() and .cuda() of a parameter leave a copy behind
            yield from ((path, leaf) for leaf in leaves_of(value))
        return
    if not depth:
        return
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, nn.Module):
        items = iter(value.named_parameters())
    elif isinstance(value, Mapping):
        items = iter(value.items())
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    elif hasattr(value, "__dict__") and type(value).__module__.partition(".")[0] != "torch":
        items = iter(vars(value).items())
    for key, item in items:
        yield from _walk(item, f"{path}.{key}", depth - 1)


@dataclass
class Unregistered:
    """Trainable tensors in the graph that `parameters()` does not list.

    Args:
        names: Their places in the model, or empty for those made anew in every forward pass.
        shapes: Their shapes.
        entries: How many numbers they hold.
        module: The module that holds the first.
        made_anew: Whether they are parameters that the forward pass itself makes.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    entries: int
    module: str
    made_anew: bool = False


def find_unregistered(
    model: nn.Module,
    playbacks: Sequence[Playback],
    batches: Sequence[Any],
    optimizers: Sequence[torch.optim.Optimizer],
) -> Unregistered | None:
    """Find trainable tensors that the loss hangs on and that neither list nor optimiser knows.

    A second model that `loss_fn` brings along is none of this model's business.
    """
    known = {id(p) for p in model.parameters()}
    known |= {id(p) for o in optimizers for g in o.param_groups for p in g["params"]}
    known |= {id(t) for batch in batches for t in tensors_in(batch)}
    losses = [p.loss for p in playbacks if p.loss is not None]
    graphs = [{id(t): t for t in leaves_of(loss)} for loss in losses]
    if not graphs:
        return None
    foreign = {key: tensor for key, tensor in graphs[0].items() if key not in known}
    names = name_leaves(model)
    held = {key: tensor for key, tensor in foreign.items() if key in names}
    if held:
        places = sorted(names[key] for key in held)
        owner = places[0]
        while owner and not _is_module(model, owner):
            owner = owner.rpartition(".")[0]
        return _unregistered(places, list(held.values()), owner)
    fresh = [
        t for key, t in foreign.items() if isinstance(t, nn.Parameter) and key not in graphs[-1]
    ]
    if len(graphs) < 2 or not fresh:
        return None
    return _unregistered([], fresh, "", made_anew=True)


def _unregistered(
    names: Sequence[str], tensors: Sequence[Tensor], module: str, made_anew: bool = False
) -> Unregistered:
    shapes = tuple(tuple(tensor.shape) for tensor in tensors)
    entries = sum(tensor.numel() for tensor in tensors)
    return Unregistered(tuple(names), shapes, entries, module, made_anew)


def _is_module(model: nn.Module, name: str) -> bool:
    return name in dict(model.named_modules())


@dataclass
class Stale:
    """Parameters made after the optimiser, in place of those that it still holds."""

    names: tuple[str, ...]
    held: int
    entries: int


def find_stale(
    model: nn.Module, playback: Playback, optimizers: Sequence[torch.optim.Optimizer]
) -> Stale | None:
    """Find parameters that no optimiser holds while it holds others of their shape, long gone."""
    if not optimizers or playback.loss is None:
        return None
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(p): p for group in groups for p in group["params"]}
    own = {id(p): (name, p) for name, p in model.named_parameters() if p.requires_grad}
    used = {id(t) for t in leaves_of(playback.loss)}
    gone = [p.shape for key, p in held.items() if key not in own and key not in used]
    left_out = [(name, p) for key, (name, p) in own.items() if key not in held and key in used]
    replaced = []
    for name, parameter in left_out:
        if parameter.shape in gone:
            gone.remove(parameter.shape)
            replaced.append((name, parameter))
    if not replaced or len(replaced) < len(left_out):
        return None
    entries = sum(p.numel() for _, p in replaced)
    return Stale(tuple(name for name, _ in replaced), len(held), entries)


@dataclass
class Cut:
    """A loss without a way back to the parameters.

    Args:
        function: The call that cut it, or that made it anew; empty where none was seen.
        module: The module in whose forward that is.
        line: Where.
        leaf: Whether the loss is a new leaf that requires a gradient itself.
    """

    function: str
    module: str
    line: str
    leaf: bool


CUTS = frozenset({"item", "tolist", "numpy", "float", "int", "detach", "argmax", "data"})


def find_cut(model: nn.Module, playback: Playback) -> Cut | None:
    """Find where the way from the loss back to the parameters is cut."""
    loss = playback.loss
    weights = {id(p) for p in model.parameters() if p.requires_grad}
    if loss is None or not weights or any(id(leaf) in weights for leaf in leaves_of(loss)):
        return None
    call = _last_cut(playback, loss)
    leaf = loss.requires_grad and loss.grad_fn is None
    if call is None:
        return Cut("", "", "", leaf)
    return Cut(call.function, call.module, call.line, leaf)


def _last_cut(playback: Playback, loss: Tensor) -> Call | None:
    """Return the last call that took something with a gradient and gave something without."""
    upstream = {id(loss)}
    chosen = None
    for call in reversed(playback.calls):
        if not call.function:
            continue
        related = any(id(tensor) in upstream for tensor in call.results)
        carries = any(t.requires_grad for t in call.tensors)
        if related:
            if carries:
                return call
            upstream |= {id(t) for t in call.tensors}
        elif chosen is None and carries and not call.results and call.function in CUTS:
            chosen = call
    return chosen
