"""Time our complete training against the loop a user would write by hand.

Both train the same model on the same windows for the same epochs and score the same validation
part after each. The loop has no logger, checkpoint, progress bar or diagnosis; ours has them all.
Each side runs in a process of its own, in turn, and the ratio is taken pair by pair.

Usage: python -m benchmarks.throughput [--rounds 5] [--epochs 10] [--write]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.keeping import keep
from src.config import CONFIG_DIR
from src.reporting.text import markdown_rows

WORKLOADS = {
    "LSTM 2x50, (32, 60, 1)": ["experiment=price_lstm"],
    "LSTM 2x50, (256, 60, 1)": ["experiment=price_lstm", "data.batch_size=256"],
    "transformer, 2 layers, (64, 20, 129)": ["experiment=bars_transformer"],
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="rewrite results/throughput.*")
    parser.add_argument("--side", choices=["hand", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--workload", choices=list(WORKLOADS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        config = _config(WORKLOADS[arguments.workload], arguments.epochs)
        print(json.dumps(_train_by_hand(config) if arguments.side == "hand" else _train(config)))
        return
    rows = [_compare(name, arguments.rounds, arguments.epochs) for name in WORKLOADS]
    results = {
        "command": f"python -m benchmarks.throughput --rounds {arguments.rounds} "
        f"--epochs {arguments.epochs} --write",
        "machine": {"system": platform.platform(), "threads": 1},
        "rows": rows,
    }
    text = _markdown(results)
    print(text)
    if arguments.write:
        keep("throughput", results, text)


def _config(overrides: list[str], epochs: int) -> DictConfig:
    to_the_end = [f"trainer.max_epochs={epochs}", f"callbacks.early_stopping.patience={epochs}"]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("train", [*overrides, "trainer=cpu", *to_the_end])


def _compare(name: str, rounds: int, epochs: int) -> dict[str, Any]:
    pairs = [
        {side: _in_new_process(name, side, epochs) for side in ("hand", "ours")}
        for _ in range(rounds)
    ]
    ratios = [pair["ours"]["seconds"] / pair["hand"]["seconds"] for pair in pairs]
    return {
        "workload": name,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "hand_seconds": statistics.median(pair["hand"]["seconds"] for pair in pairs),
        "hand_val_loss": pairs[0]["hand"]["val_loss"],
        "val_loss": pairs[0]["ours"]["val_loss"],
    }


def _in_new_process(workload: str, side: str, epochs: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.throughput", "--side", side]
    command += ["--workload", workload, "--epochs", str(epochs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _train_by_hand(config: DictConfig) -> dict[str, float]:
    """One tensor of windows, a shuffled index, Adam's defaults: what a tutorial shows."""
    import lightning.pytorch as pl
    import torch
    from torch.nn import functional as F

    from src.runs.build import build_datamodule, build_module

    pl.seed_everything(config.seed, verbose=False)
    data = build_datamodule(config)
    model = build_module(config, data).model
    train, val = (
        data.datasets[name][torch.arange(data.windows(name))] for name in ("train", "val")
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optimizer.lr)
    started = time.perf_counter()
    for _ in range(config.trainer.max_epochs):
        model.train()
        for index in torch.randperm(len(train.x)).split(config.data.batch_size):
            loss = F.mse_loss(model(train.x[index]).preds, train.y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = F.mse_loss(model(val.x).preds, val.y).item()
    return {"seconds": time.perf_counter() - started, "val_loss": val_loss}


def _train(config: DictConfig) -> dict[str, float]:
    """Our own training with everything it does by default."""
    import lightning.pytorch as pl

    from src.runs.build import build_callbacks, build_datamodule, build_module, build_trainer
    from src.runs.process import keep_freed_memory

    keep_freed_memory()
    pl.seed_everything(config.seed, verbose=False)
    data = build_datamodule(config)
    module = build_module(config, data)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = build_callbacks(config, module, data, Path(folder))
        trainer = build_trainer(config, callbacks, Path(folder))
        started = time.perf_counter()
        trainer.fit(module, datamodule=data)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "val_loss": float(trainer.callback_metrics["val/loss"])}


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        "Time of complete training (logger, checkpoints, progress, diagnosis) over the time",
        "of a hand-written loop without any of it; one thread, median of pairs run in turn.",
        f"Repeat: `{results['command']}`.",
        "",
    ]
    headers = ("workload", "ratio", "min to max", "loop, s", "val loss, loop", "val loss, ours")
    rows = [
        (
            *(row["workload"], f"{row['ratio']:.2f}"),
            *(f"{row['ratio_min']:.2f} to {row['ratio_max']:.2f}", f"{row['hand_seconds']:.1f}"),
            *(f"{row['hand_val_loss']:.4f}", f"{row['val_loss']:.4f}"),
        )
        for row in results["rows"]
    ]
    return "\n".join([*lines, *markdown_rows(headers, rows)]) + "\n"


if __name__ == "__main__":
    main()
