"""Score a finished run again: python -m src.evaluate ckpt_path=lightning_logs/.../<run>."""

import json
import sys

import hydra
from omegaconf import DictConfig

from src.config import CONFIG_DIR, stop
from src.config.compose import check_command_line


@hydra.main(config_path=str(CONFIG_DIR), config_name="evaluate", version_base="1.3")
def evaluate(config: DictConfig) -> None:
    """Load the checkpoint, score it on one split, print the scores; nothing is written."""
    from rich.console import Console

    from src.reporting.run_tables import score_table

    try:
        scores = _scores(config)
    except ValueError as error:
        stop(str(error))
    if config.json:
        print(json.dumps(scores))
    else:
        Console().print(
            score_table(
                scores["model"], scores["baseline"], title=f"Scores on the {config.split} split"
            )
        )


def _scores(config: DictConfig) -> dict[str, dict[str, float]]:
    import lightning.pytorch as pl

    from src.runs.build import build_trainer
    from src.runs.opening import open_run

    run = open_run(config.ckpt_path)
    module, datamodule = run.module, run.datamodule
    loaders = {
        "train": datamodule.train_dataloader,
        "val": datamodule.val_dataloader,
        "test": datamodule.test_dataloader,
    }
    if config.split not in loaders:
        raise ValueError(f"split must be one of {', '.join(loaders)}, got {config.split!r}")
    trainer: pl.Trainer = build_trainer(config, callbacks=[], folder=None)
    trainer.test(module, loaders[config.split](), verbose=False)
    return module.scores


def main() -> None:
    """Run the command line."""
    check_command_line("evaluate", sys.argv[1:])
    evaluate()


if __name__ == "__main__":
    main()
