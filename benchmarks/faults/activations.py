"""Outputs of activation modules on a batch, units last: for rules and for the truth of a fault."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.faults.data import Batch
from benchmarks.faults.layers import ChannelsLast


def is_channels_first(model: nn.Module, path: str) -> bool:
    """Tell whether a module works on (B, D, T) tensors, inside a `ChannelsLast`."""
    parents = path.split(".")
    return any(
        isinstance(model.get_submodule(".".join(parents[:depth])), ChannelsLast)
        for depth in range(1, len(parents))
    )


def record_activations(
    model: nn.Module, batches: Sequence[Batch], kind: type[nn.Module]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Run a model and keep what goes into and comes out of every module of one kind.

    Args:
        model: left in the mode and with the hooks it came with; its buffers may move.
        batches: run one after the other.
        kind: of the modules to listen to.

    Returns:
        (input, output) per module name, each (samples, units).
    """
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def listen(name: str, channels_first: bool):
        def rows(tensor: Tensor) -> Tensor:
            tensor = tensor.transpose(1, -1) if channels_first else tensor
            return tensor.detach().float().flatten(0, -2)

        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            kept.setdefault(name, []).append((rows(inputs[0]), rows(output)))

        return hook

    handles = [
        module.register_forward_hook(listen(name, is_channels_first(model, name)))
        for name, module in model.named_modules()
        if isinstance(module, kind)
    ]
    with torch.no_grad():
        for batch in batches:
            model(batch.x, batch.mask)
    for handle in handles:
        handle.remove()
    return {
        name: (torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]))
        for name, pairs in kept.items()
    }


def dead_shares(model: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """Measure, per ReLU module, the share of units that fire on no sample."""
    recorded = record_activations(model, batches, nn.ReLU)
    return {
        name: 1 - (output > 0).any(0).float().mean().item()
        for name, (_, output) in recorded.items()
    }
