"""A finished run scored again, on any of its parts."""

from typing import Any

from omegaconf import DictConfig

from src.runs.build import build_trainer
from src.runs.interval_report import interval_report
from src.runs.opening import open_run
from src.runs.process import log_to_terminal
from src.runs.run_report import scores_report


def score_run(ckpt_path: str, split: str, config: DictConfig) -> dict[str, Any]:
    """Load a run's checkpoint and score it; nothing is written.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        split: train, val or test.
        config: with the `trainer` to do it.

    Returns:
        The metrics of the `model`, of the `baseline` without one, and their `ratio`; of a run on
        several series also under `series` by ticker, of several steps under `steps`; of the test
        part also how its `intervals` did.

    Raises:
        ValueError: the run cannot be opened, or there is no such split.
    """
    log_to_terminal()
    run = open_run(ckpt_path)
    module, datamodule = run.module, run.datamodule
    loaders: dict[str, Any] = {
        "train": datamodule.train_dataloader,
        "val": datamodule.val_dataloader,
        "test": datamodule.test_dataloader,
    }
    if split not in loaders:
        raise ValueError(f"split must be one of {', '.join(loaders)}, got {split!r}")
    trainer = build_trainer(config, callbacks=[], folder=None)
    trainer.test(module, loaders[split](), verbose=False)
    scores = scores_report(module, datamodule)
    if split == "test" and (found := interval_report(module, datamodule, run.calibration)):
        scores["intervals"] = found
    return scores
