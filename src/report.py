"""Compare runs: which is best, and is the difference real?

python -m src.report lightning_logs/sweeps/2026-11-20_18-45-00
python -m src.report 'lightning_logs/price_lstm/*-seed*' metric=test/mae format=md,html
python -m src.report lightning_logs --all
python -m src.report lightning_logs format=none --json
python -m src.report verdict    # what can be predicted: docs/verdict.md, from kept forecasts
python -m src.report lightning_logs/verdict_quick/verdict.csv.gz    # the same, beside them
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.cli import Command, Job

VERDICT = "verdict.csv.gz"
"""Where the forecasts lie that the verdict is made of."""


def report(job: Job) -> Any:
    """Compare the runs and write the comparison beside them."""
    config = job.config
    if list(config.runs) == ["claims"] and not Path("claims").exists():
        raise ValueError("the claims have a command of their own: python -m benchmarks.claims")
    if _is_verdict(job):
        return _verdict(job)
    from src.reporting.report import as_plain, report_on

    formats = [name for name in config.format if name != "none"]
    done = report_on(list(config.runs), config.out, config.metric, formats)
    return as_plain(done) if config.json else done


def show(done: Any, job: Job) -> Iterator[Any]:
    """Yield the tables and the verdict, and what was written."""
    if _is_verdict(job):
        from src.reporting.text import rich_table

        yield from map(rich_table, done.tables)
        yield done.answer.replace("**", "")
    else:
        from src.reporting.report import report_view

        yield report_view(done, job.config.all)
    for file in done.files:
        yield f"wrote {file}"


def _is_verdict(job: Job) -> bool:
    """Say whether what can be predicted is asked for, and no runs of that name."""
    runs = list(job.config.runs)
    if len(runs) != 1:
        return False
    return Path(runs[0]).name == VERDICT or (runs[0] == "verdict" and not Path(runs[0]).exists())


def _verdict(job: Job) -> Any:
    """Write the page of what can be predicted: docs/verdict.md, or beside forecasts of a file."""
    from src.reporting.predictability.page import DOCS, write_verdict

    if list(job.config.format) == ["none"]:
        raise ValueError("format: the verdict is a page with figures, got none")
    results = None if job.config.runs[0] == "verdict" else Path(job.config.runs[0]).parent
    return write_verdict(Path(job.config.out or results or DOCS), results)


main = Command("report", __doc__, report, show, word="runs")

if __name__ == "__main__":
    main()
