"""Look inside a trained transformer's layers: units that died, and what attention's bias is for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from src.diagnostics.isolation import untouched
from src.diagnostics.lightning.callback import Callback
from src.diagnostics.lightning.stand_in import StandIn

THIRDS = ("query", "key", "value")


class LayerMonitor(Callback):
    """Measure at the end of a fit, on the batch last validated on, in evaluation mode.

    Weights, gradients and random generators stay as they are.

    Attributes:
        dead_units: by layer, the share of feed-forward units whose ReLU is 0 at every step of every
            window.
        biases: by layer, for the query, key and value third of `in_proj_bias`: `gradient`, the norm
            of its loss gradient, and `shift`, by how much forecasts move (root mean square, scaled)
            if the third is raised by 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._batch: Any = None
        self.dead_units: dict[str, float] = {}
        self.biases: dict[str, dict[str, dict[str, float]]] = {}

    def on_validation_batch_end(
        self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Keep the batch."""
        self._batch = batch

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Measure, if there was a validation."""
        batch, self._batch = self._batch, None
        replay = StandIn(trainer, pl_module)
        layers = {
            name: module
            for name, module in replay.module.named_modules()
            if isinstance(module, nn.TransformerEncoderLayer)
        }
        if batch is None or not layers:
            return
        with untouched(replay.module), torch.enable_grad():
            replay.module.eval()
            self.dead_units = _dead_units(replay.module, layers, batch.x)
            gradients = _bias_gradients(replay, layers, batch)
            self.biases = {
                name: _thirds(replay.module, layer, batch.x, gradient)
                for (name, layer), gradient in zip(layers.items(), gradients, strict=True)
            }

    def report(self) -> dict[str, Any]:
        """Return what was measured as plain JSON values."""
        return {"layers": {"dead_units": self.dead_units, "biases": self.biases}}


def _dead_units(
    model: nn.Module, layers: dict[str, nn.TransformerEncoderLayer], x_btf: Tensor
) -> dict[str, float]:
    shares: dict[str, float] = {}

    def listen(name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
            shares[name] = float((output <= 0).flatten(0, -2).all(0).float().mean())

        return note

    handles = [layer.linear1.register_forward_hook(listen(n)) for n, layer in layers.items()]
    try:
        model(x_btf)
    finally:
        for handle in handles:
            handle.remove()
    return shares


def _bias_gradients(
    replay: StandIn, layers: dict[str, nn.TransformerEncoderLayer], batch: Any
) -> tuple[Tensor, ...]:
    losses = [loss.sum() for loss, _ in replay.losses(replay.module, batch)]
    biases = [layer.self_attn.in_proj_bias for layer in layers.values()]
    return torch.autograd.grad(torch.stack(losses).sum(), biases)


def _thirds(
    model: nn.Module, layer: nn.TransformerEncoderLayer, x_btf: Tensor, gradient: Tensor
) -> dict[str, dict[str, float]]:
    found = {}
    with torch.no_grad():
        before = model(x_btf)
        bias = layer.self_attn.in_proj_bias
        parts = zip(THIRDS, bias.chunk(3), gradient.chunk(3), strict=True)
        for name, part, own_gradient in parts:
            with _raised(part):
                moved = (model(x_btf) - before).double().square().mean().sqrt()
            found[name] = {"gradient": float(own_gradient.norm()), "shift": float(moved)}
    return found


@contextmanager
def _raised(part: Tensor) -> Iterator[None]:
    kept = part.clone()
    part += 1.0
    yield
    part.copy_(kept)
