"""Dropout that goes on in evaluation mode."""

from dataclasses import dataclass

from torch import nn

from .playback import Call, Playback

DROPOUTS = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"}
)


@dataclass
class ActiveDropout:
    """A call that drops values although the model is in evaluation mode.

    Args:
        function: The call.
        module: The module in whose forward it is.
        rate: Share of the values that it drops.
        line: Where.
    """

    function: str
    module: str
    rate: float
    line: str


def find_active_dropout(model: nn.Module, playback: Playback) -> ActiveDropout | None:
    """Find the first call of a dropout function that was not told of the evaluation mode.

    A module of dropout that still drops is kept in training mode on purpose.
    """
    for call in playback.calls:
        rate = _rate(call)
        if not rate or not any(tensor.requires_grad for tensor in call.tensors):
            continue
        if not isinstance(model.get_submodule(call.module), nn.modules.dropout._DropoutNd):
            return ActiveDropout(call.function, call.module, rate, call.line)
    return None


def _rate(call: Call) -> float:
    """Return the share of values that a call drops; 0 for one that drops none."""
    if call.function == "scaled_dot_product_attention":
        return float(call.argument(4, "dropout_p", 0.0))
    if call.function not in DROPOUTS or not call.argument(2, "training", True):
        return 0.0
    return float(call.argument(1, "p", 0.5))
