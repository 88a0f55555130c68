"""How far a run's forecasts were off on held-out windows, kept beside its checkpoints."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.data import PriceDataModule, WindowBatch
from src.runs.folder import CHECKPOINTS, folder_of
from src.serving.conformal import Calibration, errors
from src.training.module import RegressionModule

CALIBRATION = "calibration.json"


def calibrate(module: RegressionModule, datamodule: PriceDataModule) -> Calibration:
    """Measure a model's errors on the validation and test windows of the data it was trained on.

    Args:
        module: The trained module.
        datamodule: Its data, set up.

    Returns:
        The errors of both splits, in typical daily moves of each window.
    """
    closes = datamodule.closes
    val = _errors(module, datamodule, datamodule.val_dataloader(), closes)
    test = _errors(module, datamodule, datamodule.test_dataloader(), closes)
    return Calibration(val, test)


def write_calibration(folder: Path, module: RegressionModule, datamodule: PriceDataModule) -> None:
    """Keep the calibration of a run's best checkpoint, if there is one, in its folder."""
    if (folder / CHECKPOINTS / "best.ckpt").is_file():
        values = calibrate(module, datamodule).to_dict()
        (folder / CALIBRATION).write_text(json.dumps(values) + "\n")


def read_calibration(checkpoint: Path) -> Calibration | None:
    """Return what `write_calibration` kept for a checkpoint; None if it is not a run's best."""
    file = folder_of(checkpoint) / CALIBRATION
    if checkpoint.name != "best.ckpt" or not file.is_file():
        return None
    try:
        return Calibration.from_dict(json.loads(file.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__}: {error}") from None


def rows_shown(index: Tensor, context_length: int) -> np.ndarray:
    """Return the raw rows (W, T) that windows show, from the rows (W,) they predict.

    >>> rows_shown(torch.tensor([5, 9]), 3)
    array([[2, 3, 4],
           [6, 7, 8]])
    """
    return (index[:, None] - torch.arange(context_length, 0, -1)).numpy()


@torch.no_grad()
def _errors(
    module: RegressionModule,
    datamodule: PriceDataModule,
    loader: Iterable[WindowBatch],
    closes: np.ndarray,
) -> np.ndarray:
    """Return the errors of one split's windows (N,), ascending."""
    module.eval()
    predicted, price, rows = [], [], []
    for batch in loader:
        preds = module(batch.x.to(module.device)).cpu()
        predicted.append(datamodule.to_price(preds.double(), batch.last_price.double())[:, 0])
        price.append(batch.price[:, 0].double())
        rows.append(batch.index)
    windows = closes[rows_shown(torch.cat(rows), datamodule.context_length)]
    return errors(torch.cat(price).numpy(), torch.cat(predicted).numpy(), windows)
