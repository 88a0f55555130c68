"""What the functions of one play were given: shapes that broadcast, dimensions of size one, labels.

B samples, T steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .masks import tensors_in
from .playback import Call, Playback

DIFFERENCES = frozenset({"sub", "rsub", "subtract", "mul", "rmul", "div", "true_divide", "pow"})
COMPARISONS = frozenset(
    [
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "poisson_nll_loss",
        "gaussian_nll_loss",
    ]
)


@dataclass
class Broadcast:
    """Predictions and targets of different shapes, compared each with each."""

    function: str
    module: str
    preds: tuple[int, ...]
    target: tuple[int, ...]
    result: tuple[int, ...]
    line: str


def find_broadcast(playback: Playback, batch: Any) -> Broadcast | None:
    """Find a loss, or a difference to something from the batch, whose shapes had to be stretched.

    A difference counts if its result holds more entries than either side and a dimension had to be
    added: that is how (B, 1) and (B,) become (B, B).
    """
    data = _from_batch(playback, batch)
    for call in playback.calls:
        if call.depth > 1 or call.function not in DIFFERENCES | COMPARISONS:
            continue
        pair = [t for t in call.tensors if t.is_floating_point()][:2]
        if len(pair) < 2:
            continue
        preds, target = sorted(pair, key=lambda tensor: not tensor.requires_grad)
        if not preds.requires_grad or target.requires_grad or preds.shape == target.shape:
            continue
        try:
            shape = torch.broadcast_shapes(preds.shape, target.shape)
        except RuntimeError:
            continue
        grows = shape.numel() > max(preds.numel(), target.numel())
        if call.function in COMPARISONS:
            stretched = target.numel() > 1 and preds.numel() > 1 and shape.numel() > target.numel()
            stretched |= shape.numel() > preds.numel() > 1
        else:
            stretched = grows and preds.dim() != target.dim() and id(target) in data
        if stretched:
            return Broadcast(
                call.function,
                call.module,
                tuple(preds.shape),
                tuple(target.shape),
                tuple(shape),
                call.line,
            )
    return None


def _from_batch(playback: Playback, batch: Any) -> dict[int, Tensor]:
    """Return the tensors of a batch, and what was computed from nothing else, by identity."""
    data = {id(tensor): tensor for tensor in tensors_in(batch)}
    for call in playback.calls:
        if call.function and any(id(tensor) in data for tensor in call.tensors):
            data |= {id(t): t for t in call.outputs if not t.requires_grad}
    return data


@dataclass
class Single:
    """A normalisation over one entry: it returns a constant, whatever comes in.

    Args:
        function: The call.
        module: The module in whose forward it is.
        shape: Shape of what goes in.
        dim: The dimension of size one.
        line: Where.
        by_design: Whether it is a general part at its smallest size: what it weights gets through.
    """

    function: str
    module: str
    shape: tuple[int, ...]
    dim: int
    line: str
    by_design: bool = False


def find_singles(playbacks: Sequence[Playback]) -> list[Single]:
    """Find softmaxes, attentions and normalisations over one entry in every play."""
    found: dict[tuple[str, str, str], Single] = {}
    for number, playback in enumerate(playbacks):
        singles: dict[tuple[str, str, str], Single] = {}
        for place, call in enumerate(playback.calls):
            single = _single(call)
            if single is not None:
                designed = _by_design(call, playback.calls[place + 1 :], playback)
                singles[single.module, single.function, single.line] = replace(
                    single, by_design=designed
                )
        found = singles if not number else {k: v for k, v in found.items() if k in singles}
    return list(found.values())


def _single(call: Call) -> Single | None:
    source = next((t for t in call.tensors if t.is_floating_point()), None)
    if source is None or not source.requires_grad or not call.function:
        return None
    dim = _dimension_of_one(call, source)
    if dim is None:
        return None
    return Single(call.function, call.module, tuple(source.shape), dim, call.line)


VIEWS = frozenset(
    {"unsqueeze", "squeeze", "view", "reshape", "transpose", "permute", "expand", "dropout"}
)
ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})


def _by_design(call: Call, later: Sequence[Call], playback: Playback) -> bool:
    """Return whether a single entry is what a general part comes to where there is one of a kind.

    That is a mixture of one, whose only component gets the weight 1, as where variables are
    selected and there is one; and a self-attention over the first token of a decoder, in a model
    that attends to longer sequences elsewhere.
    """
    if call.function in ATTENTION:
        return any(
            other.function == call.function
            and any(t.requires_grad for t in other.tensors)
            and _dimension_of_one(other, other.tensors[0]) is None
            for other in playback.calls
        )
    return "softmax" in call.function and _mixes_one(call, later)


def _mixes_one(call: Call, later: Sequence[Call]) -> bool:
    """Return whether a weight only scales its component, and is not added up over more of them."""
    weights, products = {id(t) for t in call.results}, set()
    for other in later:
        got = {id(t) for t in other.tensors}
        if other.function in VIEWS and got & weights:
            weights |= {id(t) for t in other.results}
        elif other.function in ("mul", "rmul") and got & weights:
            products |= {id(t) for t in other.results}
        elif other.function in ("matmul", "bmm") and got & weights:
            column = other.args[-1]
            return id(column) in weights and column.shape[-2:] == (1, 1)
        elif other.function == "sum" and got & products:
            dim = other.argument(1, "dim")
            return isinstance(dim, int) and other.tensors[0].shape[dim] == 1
    return False


def _dimension_of_one(call: Call, source: Tensor) -> int | None:
    name, shape = call.function, source.shape
    if name in ("softmax", "log_softmax", "softmin", "gumbel_softmax") and source.dim():
        dim = call.argument({"gumbel_softmax": 4}.get(name, 1), "dim")
        if not isinstance(dim, int):
            dim = 0 if source.dim() in (0, 1, 3) else 1
        return dim if shape[dim] == 1 and source.numel() > 1 else None
    if name in ("layer_norm", "rms_norm"):
        normalized = call.argument(1, "normalized_shape")
        size = torch.Size(normalized).numel() if isinstance(normalized, Sequence) else normalized
        return -1 if size == 1 else None
    if name == "group_norm":
        groups = int(call.argument(1, "num_groups"))
        return 1 if shape[1] // groups * shape[2:].numel() == 1 else None
    if name == "scaled_dot_product_attention":
        return -2 if call.argument(1, "key").shape[-2] == 1 else None
    if name == "multi_head_attention_forward":
        return 0 if call.argument(1, "key").shape[0] == 1 else None
    return None


@dataclass
class Labels:
    """Class labels in a loss that takes them for numbers.

    Args:
        function: The loss.
        classes: How many there are.
        outputs: Shape of the predictions.
        module: The module in whose forward it is called, or empty.
        line: Where.
    """

    function: str
    classes: int
    outputs: tuple[int, ...]
    module: str
    line: str


def find_labels(playback: Playback, batch: Any) -> Labels | None:
    """Find class labels 0 .. K - 1, K of 3 or more, in a binary or squared loss.

    A squared loss is given numbers that happen to be whole just as well: there only labels count
    that the batch holds as integers.
    """
    integers = [t for t in tensors_in(batch) if not t.is_floating_point() and t.numel() > 8]
    for call in playback.calls:
        if call.depth > 1:
            continue
        pair = [t for t in call.tensors if isinstance(t, Tensor)][:2]
        if len(pair) < 2 or not pair[0].requires_grad or pair[1].requires_grad:
            continue
        preds, target = pair
        binary = call.function.startswith("binary_cross_entropy")
        if not binary and call.function not in ("mse_loss", "l1_loss", "smooth_l1_loss"):
            continue
        values = target.detach().double().flatten()
        kept_whole = any(
            i.numel() == values.numel() and torch.equal(i.double().flatten(), values)
            for i in integers
        )
        classes = _classes(values)
        if classes >= 3 and (binary or kept_whole):
            return Labels(call.function, classes, tuple(preds.shape), call.module, call.line)
    return None


def _classes(values: Tensor) -> int:
    """Return K if values are 0 .. K - 1 with none missing, each more than once on average; else 0.

    >>> _classes(torch.tensor([0.0, 2.0, 1.0, 1.0, 0.0, 2.0])), _classes(torch.tensor([0.5, 1.0]))
    (3, 0)
    """
    distinct = values.unique()
    if len(distinct) * 2 > len(values) or not torch.equal(distinct, distinct.round()):
        return 0
    count = int(distinct[-1]) + 1
    return count if distinct[0] == 0 and len(distinct) == count else 0


@dataclass
class Negative:
    """A loss below zero though it is a mean of terms that are not."""

    function: str
    value: float
    sign: bool
    line: str


NEVER_NEGATIVE = frozenset(
    [
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div",
    ]
)


def find_negative(playback: Playback) -> Negative | None:
    """Find a known loss below zero, or a total that is a known loss with its sign turned."""
    total = float(playback.loss.detach().sum()) if playback.loss is not None else 0.0
    known = [
        (call, float(call.outputs[0].detach().mean()))
        for call in playback.calls
        if call.function in NEVER_NEGATIVE and call.outputs and call.outputs[0].numel()
    ]
    for call, value in known:
        if value < -1e-6:
            return Negative(call.function, value, False, call.line)
    if len(known) == 1 and known[0][1] > 0 and total < 0:
        call, value = known[0]
        ratio = total / value
        if abs(ratio - round(ratio)) < 1e-4 or abs(1 / ratio - round(1 / ratio)) < 1e-4:
            return Negative(call.function, total, True, call.line)
    return None


@dataclass
class Masked:
    """Attention rows in which every key is masked: their softmax divides zero by zero.

    Args:
        rows: How many, of how many.
        function: The call that gets the mask.
        module: The module in whose forward it is.
        line: Where.
    """

    rows: int
    of: int
    function: str
    module: str
    line: str


def find_masked_rows(playback: Playback) -> Masked | None:
    """Find the first attention that has fully masked rows and returns NaN."""
    for call in playback.calls:
        hidden = _hidden_keys(call)
        if hidden is None or hidden.dim() < 2 or not call.outputs:
            continue
        rows = hidden.flatten(0, -2)
        empty = int(rows.all(-1).sum())
        if empty and bool(torch.isnan(call.outputs[0]).any()):
            return Masked(empty, len(rows), call.function, call.module, call.line)
    return None


def _hidden_keys(call: Call) -> Tensor | None:
    """Return where a call hides keys, True where it does, keys on the last axis."""
    if call.function == "multi_head_attention_forward":
        padding, mask = call.kwargs.get("key_padding_mask"), call.kwargs.get("attn_mask")
        hidden = _as_hidden(padding)
        other = _as_hidden(mask)
        if hidden is None or (other is not None and bool(other.all(-1).any())):
            return other
        if other is None or other.dim() != 2:
            return hidden
        return hidden[:, None] | other
    if call.function == "scaled_dot_product_attention":
        mask = call.argument(3, "attn_mask")
        if isinstance(mask, Tensor):
            return ~mask if mask.dtype == torch.bool else torch.isneginf(mask)
    if call.function == "softmax" and call.tensors:
        scores = call.tensors[0].detach()
        dim = call.dim if call.dim is not None else -1
        hidden = torch.isneginf(scores).movedim(dim, -1) if scores.dim() > 1 else None
        return hidden if hidden is not None and bool(hidden.any()) else None
    return None


def _as_hidden(mask: Any) -> Tensor | None:
    if not isinstance(mask, Tensor):
        return None
    return mask if mask.dtype == torch.bool else torch.isneginf(mask)


ROWS = frozenset(
    {"linear", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "rnn_relu", "bilinear"}
)
"""Functions whose weights have their outputs on the first axis."""
PRODUCTS = frozenset({"matmul", "rmatmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot"})
NOT_SQUARE = frozenset({"multi_head_attention_forward", "lstm_cell", "gru_cell", "rnn_tanh_cell"})


def find_matrices(model: nn.Module, playback: Playback) -> dict[str, int]:
    """Find the parameters that are multiplied with activations, by what is done with them.

    Returns:
        Name -> the axis of their outputs: 0 for a layer's weight, the last for the right-hand side
        of a product.
    """
    names = {id(p): name for name, p in model.named_parameters() if p.dim() > 1}
    found: dict[str, int] = {}
    for call in playback.calls:
        if call.function not in ROWS | PRODUCTS | NOT_SQUARE:
            continue
        for tensor in call.tensors:
            base = tensor if tensor._base is None else tensor._base
            name = names.get(id(base))
            if name is not None and name not in found:
                turned = base is not tensor and tensor.shape != base.shape
                right = call.function in PRODUCTS and not turned
                found[name] = base.dim() - 1 if right else 0
    return found
