"""Catch what passes through the poolings of a model in one training step."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

# B batch, T time steps, D hidden size.


@dataclass
class Caught:
    """One pooling's weights (B, T) or (T,), and the norm (T,) of dL/dh_t before it."""

    kind: str
    weights: Tensor
    grad_norm_t: Tensor | None = None
    hidden: Tensor | None = field(default=None, repr=False)


class PoolingHooks:
    """Forward hooks that last one step.

    A pooling is any module whose output is a named tuple with `pooled` and `weights`. Hooks neither
    change values nor draws random numbers, so the step computes what it would have computed.

    Args:
        modules: names and modules to listen to.

    Attributes:
        caught: by name, what came out of the poolings among them; the last call counts.
        error: what went wrong in a hook; raised there it would end the step.
    """

    def __init__(self, modules: Iterable[tuple[str, nn.Module]]) -> None:
        self.caught: dict[str, Caught] = {}
        self.error: Exception | None = None
        self._handles = [
            module.register_forward_hook(self._hook(name), with_kwargs=True)
            for name, module in modules
        ]

    def remove(self) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, name: str) -> Any:
        def listen(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            try:
                note(module, args, kwargs, output)
            except Exception as error:
                self.error = self.error or error

        def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if not is_pooled(output):
                return
            weights = output.weights.detach()
            caught = self.caught[name] = Caught(type(module).__name__, weights)
            for value in (*args, *kwargs.values()):
                if isinstance(value, Tensor) and value.dim() == 3 and value.requires_grad:
                    if value.shape[1] == weights.shape[-1]:
                        caught.hidden = value
                        value.register_hook(_norm_keeper(caught))
                    return

        return listen


def _norm_keeper(caught: Caught) -> Any:
    """Return a hook that keeps the norm per time step of a gradient (B, T, D)."""

    def keep(grad_btd: Tensor) -> None:
        caught.grad_norm_t = grad_btd.detach().float().square().sum((0, 2)).sqrt()
        caught.hidden = None

    return keep


def is_pooled(output: Any) -> bool:
    """Say whether a module's output is a named tuple with `pooled` and `weights` tensors."""
    fields = getattr(output, "_fields", ())
    return {"pooled", "weights"} <= set(fields) and isinstance(output.weights, Tensor)


def is_compiled(module: nn.Module) -> bool:
    """Say whether any part of a module was compiled: hooks would be traced in, for good."""
    return getattr(module, "_compiler_ctx", None) is not None or any(
        hasattr(part, "_orig_mod") or part._compiled_call_impl is not None
        for part in module.modules()
    )


def pooling_statistics(weights: Tensor, recent: int = 3) -> dict[str, float]:
    """Summarise pooling weights.

    Args:
        weights: (B, T) or (T,) weights over time.
        recent: latest steps whose weights are added up and compared with the largest ones.

    Returns:
        Of the weights averaged over the batch: `max`, `min`, `std` (over time, unbiased),
        `recent_3_sum`, and `top_3_recent` (1 if the largest three are the latest three). `entropy`
        is the mean over samples, in nats.

    >>> statistics = pooling_statistics(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    >>> round(statistics["recent_3_sum"], 6), statistics["top_3_recent"]
    (0.9, 1.0)
    """
    weights_bt = weights.detach().double().cpu().reshape(-1, weights.shape[-1])
    mean_t = weights_bt.mean(0)
    steps = len(mean_t)
    largest = set(mean_t.topk(min(recent, steps)).indices.tolist())
    return {
        "max": float(mean_t.max()),
        "min": float(mean_t.min()),
        "std": float(mean_t.std(correction=min(1, steps - 1))),
        f"recent_{recent}_sum": float(mean_t[-recent:].sum()),
        f"top_{recent}_recent": float(largest == set(range(steps)[-recent:])),
        "entropy": float(torch.special.entr(weights_bt).sum(-1).mean()),
    }
