"""Train one model, or many with -m: every part of it can be swapped on the command line.

python -m src.train experiment=price_lstm
python -m src.train pooling=attention norm=layer optimizer.lr=3e-4
python -m src.train -m pooling=mean,learnable seed=0,1
python -m src.train resume=lightning_logs/<experiment>/<run> trainer.max_epochs=40
"""

from collections.abc import Sequence

from src.cli import Command, Job
from src.importing import importing
from src.runs.stopping import listening


def train(job: Job) -> None:
    """Train what the config describes, and leave a run folder."""
    # Imported here: --help and --cfg answer at once, without torch; so does a slip in data.path.
    with importing():
        from src.data.reading.ahead import refuse_unreadable

    if job.config.evaluation.get("fold", 0) is None:  # each fold is a job of a sweep
        if code := sweep(job.overrides):
            raise SystemExit(code)
        return
    if job.config.get("resume") in (None, "auto"):  # a run that goes on has data of its own
        refuse_unreadable(job.config.data)
    with importing():
        from src.runs.run import run

    run(job.config, job.choices, job.overrides)


def sweep(overrides: Sequence[str]) -> int:
    """Train one model for each combination of values; return the exit code."""
    # Not Hydra's own multirun: that one forgets what has run when something ends it.
    from src.sweeping.sweep import sweep

    return sweep("train", overrides)


command = Command("train", __doc__, train, word=None, sweep=sweep)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; SIGTERM ends it with exit code 143, Ctrl-C with 130, wherever it is."""
    with listening():
        command(arguments)


if __name__ == "__main__":
    main()
