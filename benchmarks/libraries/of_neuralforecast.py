"""Models of neuralforecast, with a horizon of four steps."""

from typing import Any

import pandas as pd
from neuralforecast import NeuralForecast, models

from benchmarks.libraries.series import HISTORY, HORIZON, QUIET, STEPS, Train, tables

SMALL = {"h": HORIZON, "input_size": HISTORY, "scaler_type": "standard", "random_seed": 1}
RECURRENT = {"encoder_hidden_size": 32, "decoder_hidden_size": 32}
MODELS: dict[str, dict[str, Any]] = {
    "RNN": RECURRENT,
    "GRU": RECURRENT,
    "LSTM": RECURRENT,
    "TCN": RECURRENT,
    "MLP": {"hidden_size": 64},
    "NHITS": {"mlp_units": [[64, 64]] * 3},
    "NBEATS": {"mlp_units": [[64, 64]] * 3},
    "NLinear": {},
    "DLinear": {},
    "TFT": {"hidden_size": 16},
    "TiDE": {"hidden_size": 64},
    "BiTCN": {"hidden_size": 16},
    "PatchTST": {"hidden_size": 16, "n_heads": 2, "linear_hidden_size": 32},
    "TSMixer": {"n_series": 4, "ff_dim": 16},
    "iTransformer": {"n_series": 4, "hidden_size": 32, "n_heads": 2, "d_ff": 32},
}
ONE_COLUMN = {"NBEATS", "NLinear", "DLinear", "PatchTST", "TSMixer", "iTransformer"}


def trainer(name: str) -> Train:
    """Return what trains one model."""

    def train(dead_column: bool, callbacks: list[Any]) -> list[Any]:
        columns = {"hist_exog_list": ["dead"]} if dead_column else {}
        model = getattr(models, name)(
            **SMALL | MODELS[name] | columns,
            max_steps=STEPS,
            callbacks=callbacks,
            accelerator="cpu",
            enable_model_summary=False,
            **QUIET,
        )
        data = pd.concat(tables(), ignore_index=True)
        library = NeuralForecast(models=[model], freq="D")
        library.fit(data if dead_column else data.drop(columns="dead"))
        return library.models[0].trainer_kwargs["callbacks"]

    return train
