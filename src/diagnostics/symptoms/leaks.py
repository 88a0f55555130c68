"""Do masks hold: outputs must not follow the future, or padding, that an attention mask hides.

What a mask hides is exchanged at the input of the module that uses the mask; what is allowed to see
none of it must stay as it was.
Shapes: B samples, S steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .playback import Call, Playback, flatten, play
from .samples import LossFunction, is_same, outputs_of, sample_axes

ATTENTION = frozenset({"multi_head_attention_forward", "scaled_dot_product_attention"})
MASKING = ATTENTION | {"masked_fill", "where", "add", "mul", "sub", "iadd"}


@dataclass
class Leak:
    """Outputs that follow what a mask hides.

    Args:
        module: The module that uses the mask.
        function: The call that uses it.
        hides: `future` or `padding`.
        place: The first module (or the caller of the first function) where it shows.
        line: Where that is.
        change: Change of an output that must not change, relative to the output's size.
    """

    module: str
    function: str
    hides: str
    place: str
    line: str
    change: float


def triangle(mask: Tensor) -> bool:
    """Return whether a square mask tells the steps before from those after, but for a few cells.

    >>> triangle(torch.ones(4, 4).tril()), triangle(torch.ones(4, 4))
    (True, False)
    """
    if mask.dim() < 2 or mask.shape[-1] != mask.shape[-2] or mask.shape[-1] < 3:
        return False
    square = mask.detach().reshape(-1, *mask.shape[-2:])[0].float()
    size = len(square)
    upper = torch.ones(size, size, dtype=torch.bool, device=square.device).triu(1)
    above, below = square[upper], square.T[upper]
    most = above.median(), below.median()
    shares = (above == most[0]).float().mean(), (below == most[1]).float().mean()
    return bool(most[0] != most[1]) and bool(max(shares) == 1) and bool(min(shares) > 0.7)


def _causal(call: Call) -> int:
    """Return the number of steps over which a call is meant to be causal; 0 if it is not."""
    if call.function not in MASKING:
        return 0
    if call.function == "scaled_dot_product_attention" and call.argument(5, "is_causal"):
        return int(call.argument(0, "query").shape[-2])
    if not any(t.requires_grad for t in call.tensors):
        return 0
    masks = [t for t in call.tensors if not t.requires_grad and triangle(t)]
    return masks[0].shape[-1] if masks else 0


def _padding(call: Call, samples: int) -> Tensor | None:
    """Return the (B, S) steps that a call hides, True where it does."""
    mask: Any = None
    if call.function == "multi_head_attention_forward":
        mask = call.kwargs.get("key_padding_mask")
    elif call.function == "scaled_dot_product_attention":
        mask = call.argument(3, "attn_mask")
        mask = ~mask if isinstance(mask, Tensor) and mask.dtype == torch.bool else mask
    elif call.function == "masked_fill" and _floor(call.argument(2, "value")):
        mask = call.argument(1, "mask")
    if not isinstance(mask, Tensor) or mask.dim() < 2 or mask.shape[0] != samples:
        return None
    hidden = mask if mask.dtype == torch.bool else mask <= -1e4
    if hidden.numel() != samples * mask.shape[-1]:
        return None
    hidden = hidden.reshape(samples, -1)
    return hidden if bool(hidden.any()) and not bool(hidden.all(1).any()) else None


def _floor(value: Any) -> bool:
    return isinstance(value, int | float) and value <= -1e4


@contextmanager
def _exchanged(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Change every floating-point tensor that enters a module."""

    def hook(_: nn.Module, args: Any, kwargs: Any) -> Any:
        known: dict[int, Tensor] = {}

        def apply(value: Any) -> Any:
            if isinstance(value, Tensor) and value.is_floating_point():
                if id(value) not in known:
                    known[id(value)] = change(value)
                return known[id(value)]
            return value

        with torch._C.DisableTorchFunction():  # both plays have to show the same calls
            return tuple(apply(a) for a in args), {k: apply(v) for k, v in kwargs.items()}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _noise(x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(x.shape, generator=generator).to(x) * (x.detach().std() + 1.0)


def find_leaks(
    model: nn.Module, batch: Any, loss_fn: LossFunction, playback: Playback
) -> list[Leak]:
    """Exchange what masks hide and look for outputs that follow."""
    found = sample_axes(batch)
    if found is None:
        return []
    samples, leaks = found[0], []
    causal = next(((c, n) for c in playback.calls if (n := _causal(c))), None)
    if causal is not None:
        leaks += _future(model, batch, loss_fn, playback, *causal, samples)
    for call in playback.calls:
        hidden = _padding(call, samples)
        if hidden is not None and call.module:
            return leaks + _padded(model, batch, loss_fn, playback, call, hidden)
    return leaks


def _future(
    model: nn.Module,
    batch: Any,
    loss_fn: LossFunction,
    before: Playback,
    call: Call,
    steps: int,
    samples: int,
) -> list[Leak]:
    last = steps // 2 - 1 if steps > 3 else 0

    def change(x: Tensor) -> Tensor:
        axes = [a for a, n in enumerate(x.shape[:-1]) if n == steps and x.dim() > 2]
        if len(axes) != 1:
            return x
        later = torch.arange(steps, device=x.device) > last
        shape = [steps if axis == axes[0] else 1 for axis in range(x.dim())]
        return torch.where(later.view(shape), _noise(x), x)

    with _exchanged(model.get_submodule(call.module), change):
        after = play(model, batch, loss_fn)

    def early(x: Tensor) -> list[Tensor]:
        if x.dim() < 2:
            return []
        axes = [a for a, n in enumerate(x.shape) if n == steps and (n != samples or a == 1)]
        return [x.narrow(axis, 0, last + 1) for axis in axes]

    return _report(before, after, call, "future", early, samples)


def _padded(
    model: nn.Module,
    batch: Any,
    loss_fn: LossFunction,
    before: Playback,
    call: Call,
    hidden: Tensor,
) -> list[Leak]:
    samples, steps = hidden.shape

    def place(x: Tensor) -> Tensor | None:
        """Bring the mask to the axes of samples and steps of a tensor."""
        if x.dim() < 2:
            return None
        if x.shape[:2] == hidden.shape:
            return hidden.reshape(samples, steps, *[1] * (x.dim() - 2)).to(x.device)
        if x.shape[:2] == hidden.T.shape:
            return hidden.T.reshape(steps, samples, *[1] * (x.dim() - 2)).to(x.device)
        return None

    def change(x: Tensor) -> Tensor:
        where = place(x) if x.dim() > 2 else None
        return x if where is None else torch.where(where, _noise(x), x)

    with _exchanged(model.get_submodule(call.module), change):
        after = play(model, batch, loss_fn)

    def real(x: Tensor) -> list[Tensor]:
        where = place(x)
        if where is not None:
            return [torch.where(where, 0.0, x)]
        return [x] if x.dim() and x.shape[0] == samples and steps not in x.shape[1:] else []

    return _report(before, after, call, "padding", real, samples)


def _report(
    before: Playback,
    after: Playback,
    call: Call,
    hides: str,
    allowed: Callable[[Tensor], list[Tensor]],
    samples: int,
) -> list[Leak]:
    """Compare what must not change in the last outputs, and find where it first does."""

    def changed(one: Call, two: Call) -> bool:
        pairs = [(allowed(a), allowed(b)) for a, b in zip(one.outputs, two.outputs, strict=False)]
        same = [is_same(x, y) for xs, ys in pairs for x, y in zip(xs, ys, strict=False)]
        return bool(same) and not any(same)

    ends = [outputs_of(p, samples)[-1:] for p in (before, after)]
    if not all(ends) or not changed(ends[0][0], ends[1][0]):
        return []
    pairs = zip(before.calls, after.calls, strict=False)
    first = next((one for one, two in pairs if one.function and changed(one, two)), ends[0][0])
    (x, *_), (y, *_) = (allowed(end[0].outputs[0].detach()) for end in ends)
    change = float((x - y).abs().max()) / max(float(x.abs().max()), 1e-12)
    return [Leak(call.module, call.function, hides, first.module, first.line, change)]


@dataclass
class Collapsed:
    """A module whose input is the same at every step and in every sample.

    Args:
        module: That module.
        value: Size of the input.
        function: The first call whose result is the same for all, though what it got was not.
        place: The module in whose forward that is.
        line: Where.
    """

    module: str
    value: float
    function: str
    place: str
    line: str


def find_collapsed(model: nn.Module, playback: Playback, batch: Any) -> Collapsed | None:
    """Find the first module with weights that the data reach, but always as the same numbers."""
    data = {id(tensor) for tensor in flatten(batch)}
    weighted = {
        n for n, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))
    }
    culprit: Call | None = None
    for call in playback.calls:
        reached = [t for t in call.tensors if id(t) in data]
        if not reached or call.function.startswith("new_"):
            continue
        data |= {id(t) for t in call.results}
        alike = all(_alike(t) for t in call.outputs) and bool(call.outputs)
        if call.function and alike and culprit is None and not all(_alike(t) for t in reached):
            culprit = call
        if call.function or call.module not in weighted:
            continue
        inputs = [t for t in call.tensors if t.is_floating_point() and t.numel() > 1]
        if inputs and all(_alike(t) for t in inputs) and culprit is not None:
            value = float(inputs[0].detach().abs().max())
            return Collapsed(call.module, value, culprit.function, culprit.module, culprit.line)
    return None


def _alike(x: Tensor) -> bool:
    """Return whether all rows of a tensor are the same and not zero."""
    if x.dim() < 2 or not x.is_floating_point() or x.shape[0] < 3 or not x.numel():
        return False
    rows = x.detach().flatten(0, -2)
    size = rows.abs().max()
    return bool(size > 0) and bool((rows - rows[0]).abs().max() <= 1e-6 * size)
