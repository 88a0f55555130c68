"""Score a finished run again, on its training, validation or test part; nothing is written.

python -m src.evaluate lightning_logs/<experiment>/<run>
python -m src.evaluate <run> split=val --json
"""

from collections.abc import Iterator
from typing import Any

from src.cli import Command, Job
from src.importing import importing


def evaluate(job: Job) -> dict[str, Any]:
    """Return the scores of the model, and of no model, on one part of the run's data."""
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.runs.evaluation import score_run

    return score_run(job.config.ckpt_path, job.config.split, job.config)


def show(scores: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield the table of the scores."""
    from src.reporting.score_tables import interval_table, score_table, series_table, steps_table

    title = f"Scores on the {job.config.split} split"
    yield score_table(scores["model"], scores["baseline"], title=title)
    if "series" in scores:
        yield series_table(scores, title=title)
    if "steps" in scores:
        yield steps_table(scores, title=title)
    if "intervals" in scores:
        yield interval_table(scores["intervals"])


main = Command("evaluate", __doc__, evaluate, show)

if __name__ == "__main__":
    main()
