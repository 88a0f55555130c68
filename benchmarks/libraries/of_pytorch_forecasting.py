"""Models of pytorch-forecasting, with a horizon of four steps and its data set's normalisation."""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytorch_forecasting as library
from pytorch_forecasting import TimeSeriesDataSet

from benchmarks.libraries.series import HISTORY, HORIZON, QUIET, STEPS, Train, tables

MODELS: dict[str, dict[str, Any]] = {
    "TemporalFusionTransformer": {"hidden_size": 16, "loss": "QuantileLoss"},
    "NBeats": {"widths": [64, 64], "loss": "MAE"},
    "NHiTS": {"hidden_size": 64, "loss": "MAE"},
    "RecurrentNetwork": {"hidden_size": 32, "loss": "MAE"},
    "DeepAR": {"hidden_size": 32, "loss": "NormalDistributionLoss"},
    "DecoderMLP": {"hidden_size": 32, "loss": "MAE"},
}
ONE_COLUMN = {"NBeats", "DeepAR", "RecurrentNetwork", "DecoderMLP"}
"""Models that take no column of the past beside the series; DecoderMLP takes only the future's."""


def trainer(name: str) -> Train:
    """Return what trains one model."""

    def train(dead_column: bool, callbacks: list[Any]) -> list[Any]:
        pl.seed_everything(1)
        data = pd.concat(tables(), ignore_index=True)
        data["step"] = data.groupby("unique_id").cumcount()
        options = dict(MODELS[name])
        for way in ("sin", "cos"):
            data[way] = getattr(np, way)(2 * np.pi * data["step"] / 12)
        known = ["sin", "cos"] if name == "DecoderMLP" else []
        windows = TimeSeriesDataSet(
            data,
            time_idx="step",
            target="y",
            group_ids=["unique_id"],
            min_encoder_length=HISTORY,
            max_encoder_length=HISTORY,
            max_prediction_length=HORIZON,
            time_varying_unknown_reals=["y", *(["dead"] if dead_column else [])],
            time_varying_known_reals=known,
            scalers={"dead": None},
        )
        loss = getattr(library, options.pop("loss"))()
        model = getattr(library, name).from_dataset(
            windows, loss=loss, learning_rate=3e-3, log_interval=-1, **options
        )
        trainer = pl.Trainer(
            max_steps=STEPS,
            accelerator="cpu",
            callbacks=callbacks,
            gradient_clip_val=1.0,
            enable_model_summary=False,
            **QUIET,
        )
        trainer.fit(model, windows.to_dataloader(train=True, batch_size=64))
        return callbacks

    return train
