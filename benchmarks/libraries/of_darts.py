"""Models of darts, with a horizon of four steps and its data in their own scale, about -1 to 3."""

from typing import Any

import numpy as np
from darts import TimeSeries, models

from benchmarks.libraries.series import HISTORY, HORIZON, QUIET, STEPS, Train, tables

WINDOW = {"input_chunk_length": HISTORY, "output_chunk_length": HORIZON}
MODELS: dict[str, dict[str, Any]] = {
    "BlockRNNModel": {"model": "LSTM", "hidden_dim": 32},
    "RNNModel": {"model": "GRU", "hidden_dim": 32, "training_length": HISTORY + HORIZON},
    "TCNModel": {"num_filters": 16},
    "NBEATSModel": {"layer_widths": 64, "num_stacks": 3},
    "NHiTSModel": {"layer_widths": 64, "num_stacks": 3},
    "TransformerModel": {"d_model": 32, "nhead": 2, "dim_feedforward": 64},
    "TFTModel": {"hidden_size": 16, "add_relative_index": True},
    "NLinearModel": {},
    "DLinearModel": {},
    "TiDEModel": {"hidden_size": 64},
    "TSMixerModel": {"hidden_size": 16},
}
ONE_COLUMN = {"RNNModel"}
"""Models that take no column of the past beside the series."""


def trainer(name: str) -> Train:
    """Return what trains one model."""

    def train(dead_column: bool, callbacks: list[Any]) -> list[Any]:
        options = {**WINDOW, **MODELS[name]}
        if name == "RNNModel":
            del options["output_chunk_length"]
        parts = tables()
        series = [TimeSeries.from_values(part["y"].to_numpy(np.float32)) for part in parts]
        dead = [TimeSeries.from_values(part["dead"].to_numpy(np.float32)) for part in parts]
        windows = sum(len(part) - HISTORY - HORIZON + 1 for part in parts)
        batch = 64
        model = getattr(models, name)(
            **options,
            n_epochs=-(-STEPS * batch // windows),
            batch_size=batch,
            random_state=1,
            pl_trainer_kwargs={
                "accelerator": "cpu",
                "callbacks": callbacks,
                "enable_model_summary": False,
                **{key: QUIET[key] for key in ("enable_progress_bar", "logger")},
            },
        )
        model.fit(series, **({"past_covariates": dead} if dead_column else {}))
        return callbacks

    return train
