"""Walk the autograd graph upstream: who produced a tensor, and through which last function."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

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


def node_kind(node: Any) -> str:
    """Return the function of an autograd node: `SigmoidBackward0` -> `Sigmoid`."""
    return type(node).__name__.partition("Backward")[0].rstrip("0123456789")


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
