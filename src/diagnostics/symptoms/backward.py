"""Follow the gradient of one play back through the graph, and leave notes at every node.

Where a gradient that arrived is zero behind an operation, that operation lets nothing through;
where it was finite and no longer is, that operation made the NaN.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .playback import Call, Playback
from .stats import all_finite, any_nonzero

MAX_NODES = 50_000


@dataclass
class Node:
    """What passed one operation on the way back.

    Args:
        kind: Function of the operation, such as `Sqrt`.
        call: The call that made it, or the nearest one behind it; None if none is known.
        arrived: Whether any gradient entry that arrived is not zero.
        left: Whether any that left is not zero.
        finite_before: Whether all that arrived are finite.
        nonfinite: How many that left are not.
        entries: How many left.
        blocked: The nodes before it to which nothing but zeros left.
        leaves: Trainable tensors right before it, by identity, and whether anything left to them.
    """

    kind: str
    call: Call | None
    arrived: bool
    left: bool
    finite_before: bool
    nonfinite: int
    entries: int
    blocked: list[Any]
    leaves: list[tuple[int, bool]]


def node_kind(node: Any) -> str:
    """Return the function of an autograd node: `SigmoidBackward0` -> `Sigmoid`."""
    return type(node).__name__.partition("Backward")[0].rstrip("0123456789")


def graph_of(tensor: Tensor) -> Iterator[Any]:
    """Yield the nodes of a tensor's graph, those near to it first."""
    queue: deque[Any] = deque([tensor.grad_fn])
    seen: set[Any] = {None}
    while queue and len(seen) < MAX_NODES:
        node = queue.popleft()
        if node in seen:
            continue
        seen.add(node)
        yield node
        queue.extend(parent for parent, _ in node.next_functions)


def owners(playback: Playback) -> dict[Any, Call | None]:
    """Map every node of the loss to the call that made it, or to the nearest one after it."""
    assert playback.loss is not None
    found: dict[Any, Call | None] = {}
    root = playback.loss.grad_fn
    queue: deque[tuple[Any, Call | None]] = deque([(root, None)])
    while queue and len(found) < MAX_NODES:
        node, after = queue.popleft()
        if node is None or node in found:
            continue
        found[node] = playback.makers.get(node, after)
        queue.extend((parent, found[node]) for parent, _ in node.next_functions)
    return found


def trace(playback: Playback) -> list[Node]:
    """Send the loss back and note what passes every node, in the order of the backward pass."""
    loss = playback.loss
    if loss is None or loss.grad_fn is None:
        return []
    nodes: list[Node] = []
    handles = []
    leaves = []
    for node, call in owners(playback).items():
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        else:
            handles.append(node.register_hook(_note(node, call, nodes)))
    try:
        if leaves:
            torch.autograd.grad(loss.sum(), leaves, allow_unused=True, retain_graph=True)
    finally:
        for handle in handles:
            handle.remove()
    return nodes


def _note(node: Any, call: Call | None, nodes: list[Node]) -> Callable[..., None]:
    kind = node_kind(node)

    def hook(leaving: tuple[Any, ...], arriving: tuple[Any, ...]) -> None:
        gone, come = ([g for g in grads if g is not None] for grads in (leaving, arriving))
        passed = [
            (parent, any_nonzero(grad))
            for (parent, _), grad in zip(node.next_functions, leaving, strict=False)
            if parent is not None and grad is not None
        ]
        inner = [(p, some) for p, some in passed if not hasattr(p, "variable")]
        nodes.append(
            Node(
                kind,
                call,
                any(any_nonzero(grad) for grad in come),
                any(some for _, some in passed),
                all(all_finite(grad) for grad in come),
                sum(0 if all_finite(grad) else int((~torch.isfinite(grad)).sum()) for grad in gone),
                sum(grad.numel() for grad in gone),
                [parent for parent, some in inner if not some],
                [(id(p.variable), some) for p, some in passed if hasattr(p, "variable")],
            )
        )

    return hook


@dataclass
class Block:
    """An operation that passes nothing of the gradient that arrives to what lies before it.

    Args:
        kind: Function of the operation, such as `Round`.
        function: The call it belongs to, and the module in whose forward that is; empty if unknown.
        before: The module whose output it was given.
        silent: Names of the parameters before it that get no gradient from anywhere.
        everything: Whether these are all parameters in the graph.
        entries: Size of the blocked gradient.
        line: Where it is called.
        gated: Whether it multiplies by something trainable that is zero now.
    """

    kind: str
    function: str
    module: str
    before: str
    silent: tuple[str, ...]
    everything: bool
    entries: int
    line: str
    gated: bool = False


def find_blocks(model: nn.Module, playback: Playback) -> list[Block]:
    """Find the operations behind which parameters hear nothing, nearest to the loss first."""
    nodes = trace(playback)
    names = {id(p): name for name, p in model.named_parameters()}
    alive: set[int] = set()
    reached: set[int] = set()
    for node in nodes:
        for leaf, passed in node.leaves:
            reached.add(leaf)
            if passed:
                alive.add(leaf)
    reached &= names.keys()
    silent = reached - alive
    if not silent or any(node.nonfinite for node in nodes):
        return []
    blocks: list[Block] = []
    explained: set[int] = set()
    for node in nodes:
        if not node.arrived or not node.blocked:
            continue
        upstream = {i for parent in node.blocked for i in _leaves_before(parent)} & silent
        if not upstream - explained:
            continue
        explained |= upstream
        blocks.append(
            _block(
                node, playback, [names[i] for i in names if i in upstream], not alive & names.keys()
            )
        )
    return blocks


def _leaves_before(node: Any) -> set[int]:
    stack, leaves = [node], set()
    seen: set[Any] = set()
    while stack and len(seen) < MAX_NODES:
        current = stack.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        if hasattr(current, "variable"):
            leaves.add(id(current.variable))
        stack += [parent for parent, _ in current.next_functions]
    return leaves


def _block(node: Node, playback: Playback, silent: list[str], everything: bool) -> Block:
    call = node.call
    function, module, line = (call.function, call.module, call.line) if call else ("", "", "")
    factors = call.tensors[:2] if call is not None and node.kind == "Mul" else ()
    gated = len(factors) == 2 and all(factor.requires_grad for factor in factors)
    before = _module_before(node.blocked[0], playback)
    return Block(
        node.kind, function, module, before, tuple(silent), everything, node.entries, line, gated
    )


def _module_before(node: Any, playback: Playback) -> str:
    """Return the nearest module that returned what comes out of a node or of one before it."""
    returned = {
        tensor.grad_fn: call.module
        for call in reversed(playback.calls)
        if not call.function
        for tensor in call.outputs
        if tensor.grad_fn is not None
    }
    queue: deque[Any] = deque([node])
    seen: set[Any] = set()
    while queue and len(seen) < 64:
        current = queue.popleft()
        if current in returned:
            return returned[current]
        seen.add(current)
        queue.extend(parent for parent, _ in current.next_functions if parent is not None)
    return ""


def find_first_nonfinite(playback: Playback) -> Node | None:
    """Return the operation at which a finite gradient stops being finite."""
    loss = playback.loss
    if loss is None or not bool(torch.isfinite(loss.detach()).all()):
        return None
    return next((n for n in trace(playback) if n.finite_before and n.nonfinite), None)
