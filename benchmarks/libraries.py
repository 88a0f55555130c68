"""Our callback on the models of a forecasting library that somebody else wrote and tuned.

In an environment of its own, since the library brings its own versions of everything:

    python -m venv build/libraries
    build/libraries/bin/pip install torch==2.13.0 neuralforecast ./src/diagnostics[lightning]
    build/libraries/bin/python benchmarks/libraries.py --write

Each model is trained a few epochs on series that it can learn, made here, with the callback at its
defaults: it has to stay silent. Then it gets a second column that is zero throughout: that has to
be what is named first. Without `--write` the result is only printed.
"""

import argparse
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

RESULT = Path(__file__).parent / "results" / "libraries.json"
SMALL = {"h": 4, "input_size": 24, "scaler_type": "standard", "random_seed": 1}
STEPS = 300
MODELS: dict[str, dict[str, Any]] = {
    "RNN": {"encoder_hidden_size": 32, "decoder_hidden_size": 32},
    "GRU": {"encoder_hidden_size": 32, "decoder_hidden_size": 32},
    "LSTM": {"encoder_hidden_size": 32, "decoder_hidden_size": 32},
    "TCN": {"encoder_hidden_size": 32, "decoder_hidden_size": 32},
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
NO_SECOND_COLUMN = {"NBEATS", "NLinear", "DLinear", "PatchTST", "TSMixer", "iTransformer"}


class Row(NamedTuple):
    """What was said of one model."""

    model: str
    dead_column: bool
    first_loss: float
    last_loss: float
    named: list[str]
    places: list[str]
    not_replayed: str
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the dead column is named first; of a healthy model, whether it is silent."""
        return self.named[:1] == ["dead_input"] if self.dead_column else not self.named


def series() -> Any:
    """Return four series with a season, a trend and a little noise, and a column of zeros."""
    import numpy as np
    import pandas as pd

    noise, steps, parts = np.random.default_rng(0), np.arange(400), []
    for number in range(4):
        values = np.sin(2 * np.pi * steps / 12 + number) + 0.002 * number * steps
        values += 0.05 * noise.standard_normal(len(steps))
        dates = pd.date_range("2020-01-01", periods=len(steps), freq="D")
        parts.append(
            pd.DataFrame({"unique_id": str(number), "ds": dates, "y": values, "dead": 0.0})
        )
    return pd.concat(parts, ignore_index=True)


def judge(name: str, dead_column: bool) -> Row:
    """Train one model under the callback, and return what was said."""
    import lightning.pytorch as pl
    from neuralforecast import NeuralForecast, models
    from whygrad.lightning import GradientHealth

    class Losses(pl.Callback):
        def __init__(self) -> None:
            self.values: list[float] = []

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            self.values.append(float(outputs["loss"]))

    columns = {"hist_exog_list": ["dead"]} if dead_column else {}
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    model = getattr(models, name)(
        **SMALL | MODELS[name] | columns,
        max_steps=STEPS,
        callbacks=[GradientHealth(), Losses()],
        accelerator="cpu",
        enable_model_summary=False,
        **quiet,
    )
    started = time.process_time()
    library = NeuralForecast(models=[model], freq="D")
    data = series()
    library.fit(data if dead_column else data.drop(columns="dead"))
    health, losses = library.models[0].trainer_kwargs["callbacks"][:2]  # copies of those above
    found = {(f.cause, f.location): None for f in [*health.diagnosis.alarms]}
    found |= {(f.cause, f.location): None for _, f in health.alerts}
    return Row(
        name,
        dead_column,
        round(sum(losses.values[:20]) / 20, 4),
        round(sum(losses.values[-20:]) / 20, 4),
        [cause for cause, _ in found],
        [place for _, place in found],
        health.diagnosis.not_replayed,
        round(time.process_time() - started, 1),
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "pytorch_lightning", "lightning", "whygrad"):
        logging.getLogger(name).setLevel(logging.ERROR)
    rows = []
    for name in options.models:
        for dead_column in (False, True):
            if dead_column and name in NO_SECOND_COLUMN:
                continue
            row = judge(name, dead_column)
            rows.append(row)
            if options.write:
                records = [{**row._asdict(), "right": row.right} for row in rows]
                RESULT.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
            state = "dead column" if dead_column else "healthy"
            said = ", ".join(map(" at ".join, zip(row.named, row.places, strict=True))) or "silent"
            course = f"loss {row.first_loss} -> {row.last_loss}, {row.seconds} s"
            print(f"{name}, {state}: {said} {row.not_replayed} ({course})", flush=True)
    for dead_column, what in ((False, "healthy and silent"), (True, "dead column named first")):
        part = [row for row in rows if row.dead_column == dead_column]
        print(f"{what}: {sum(row.right for row in part)} of {len(part)}")


if __name__ == "__main__":
    main()
