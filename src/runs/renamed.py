"""Configs of earlier runs under the names that their classes bear today."""

from typing import Any

from src.config import ALLOWED_TARGETS

LOGGERS = ("CSVLogger", "MLFlowLogger", "TensorBoardLogger", "WandbLogger")
RENAMED = {
    "src.callbacks.gradient_scaling.GradientScaling": (
        "src.interventions.gradient_scaling.GradientScaling"
    ),
    "src.callbacks.pooling_prior.DirectUpdate": "src.interventions.logits.DirectUpdate",
    "src.callbacks.pooling_prior.GradientInjection": "src.interventions.logits.GradientInjection",
    "src.data.Schedule": "src.interventions.schedule.Schedule",
    "src.training.prior.PoolingPrior": "src.interventions.prior.PoolingPrior",
    **{f"src.training.loggers.{name}": f"src.board.loggers.{name}" for name in LOGGERS},
    **{
        f"src.models.{target.rpartition('.')[2]}": target
        for target in ALLOWED_TARGETS
        if target.startswith("src.models.")
    },
}
"""What a stored config may name, and where it is now."""


def with_present_names(node: Any) -> Any:
    """Return a stored config, plain values, with every `_target_` under its present name.

    >>> with_present_names({"schedule": {"_target_": "src.data.Schedule", "scale": 0.1}})
    {'schedule': {'_target_': 'src.interventions.schedule.Schedule', 'scale': 0.1}}
    """
    if isinstance(node, dict):
        changed = {key: with_present_names(value) for key, value in node.items()}
        target = str(changed.get("_target_"))
        return changed | ({"_target_": RENAMED[target]} if target in RENAMED else {})
    return [with_present_names(value) for value in node] if isinstance(node, list) else node
