"""Models that are fitted and not trained: fit one, and keep it as a run's best checkpoint."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from src.data import PriceDataModule
from src.models.fitted.fitted import FittedRegressor, Windows
from src.runs.folder import CHECKPOINTS
from src.training.module import RegressionModule

BEST = "best.ckpt"


def fit_model(module: RegressionModule, datamodule: PriceDataModule) -> dict[str, Any] | None:
    """Fit a model to the training part, and choose its options on the validation part.

    Returns:
        What report.json says of it: the options `chosen`, and all `tried` with their `val_loss`;
        None for a model that is not fitted.
    """
    model = module.model
    if not isinstance(model, FittedRegressor):
        return None
    parts: list[Windows] = []
    for name in ("train", "val"):
        dataset = datamodule.datasets[name]
        batch = dataset[torch.arange(len(dataset))]
        parts.append(Windows(batch.x, batch.y))
    with torch.inference_mode():
        found = model.fit(parts[0], parts[1], datamodule.target)
    return {"chosen": found.chosen, "tried": found.tried}


def keep(trainer: pl.Trainer, folder: Path) -> None:
    """Keep a model that no step has moved as the run's best checkpoint, if it keeps any."""
    if trainer.checkpoint_callback is not None:
        trainer.save_checkpoint(folder / CHECKPOINTS / BEST)
