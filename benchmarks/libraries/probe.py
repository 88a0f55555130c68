"""Judge models of one library; a line of JSON a training, on standard output.

Runs in that library's environment: `python -m benchmarks.libraries.probe darts [model ...]`.
"""

import importlib
import json
import logging
import sys
import time
import warnings
from typing import Any

import torch

from benchmarks.libraries.series import Train, loss_keeper

CALLBACKS = {
    "neuralforecast": "pytorch_lightning",
    "darts": "pytorch_lightning",
    "pytorch-forecasting": "lightning.pytorch",
}
"""Library -> the Lightning that it trains with."""


def judge(train: Train, library: str, dead_column: bool) -> dict[str, Any]:
    """Train one model under the callback, and return what was said."""
    from whygrad.lightning import GradientHealth

    base = importlib.import_module(CALLBACKS[library]).Callback
    started = time.process_time()
    health, losses = train(dead_column, [GradientHealth(), loss_keeper(base)])[:2]
    found = {(f.cause, f.location): None for f in health.diagnosis.alarms}
    found |= {(f.cause, f.location): None for _, f in health.alerts}
    return {
        "dead_column": dead_column,
        "first_loss": round(sum(losses.values[:20]) / 20, 4),
        "last_loss": round(sum(losses.values[-20:]) / 20, 4),
        "named": [cause for cause, _ in found],
        "places": [place for _, place in found],
        "not_replayed": health.diagnosis.not_replayed,
        "seconds": round(time.process_time() - started, 1),
    }


def main(library: str, chosen: list[str]) -> None:
    """Judge the models of one library, or those chosen."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "pytorch_lightning", "lightning", "whygrad", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    own = importlib.import_module(f"benchmarks.libraries.of_{library.replace('-', '_')}")
    for name in own.MODELS:
        for dead_column in (False, True):
            if (chosen and name not in chosen) or (dead_column and name in own.ONE_COLUMN):
                continue
            facts: dict[str, Any] = {"library": library, "model": name, "dead_column": dead_column}
            try:
                facts |= judge(own.trainer(name), library, dead_column)
            except Exception as error:
                facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
