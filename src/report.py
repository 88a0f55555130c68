"""Compare runs: which is best, and is the difference real?

python -m src.report lightning_logs/sweeps/2026-11-20_18-45-00
python -m src.report 'lightning_logs/price_lstm/*-seed*' metric=test/mae format=md,html
python -m src.report lightning_logs --all
python -m src.report lightning_logs format=none --json
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.cli import Command, Job


def report(job: Job) -> Any:
    """Compare the runs and write the comparison beside them."""
    config = job.config
    if list(config.runs) == ["claims"] and not Path("claims").exists():
        raise ValueError("the claims have a command of their own: python -m benchmarks.claims")
    from src.reporting.report import as_plain, report_on

    formats = [name for name in config.format if name != "none"]
    done = report_on(list(config.runs), config.out, config.metric, formats)
    return as_plain(done) if config.json else done


def show(done: Any, job: Job) -> Iterator[Any]:
    """Yield the tables and the verdict, and what was written."""
    from src.reporting.report import report_view

    yield report_view(done, job.config.all)
    for file in done.files:
        yield f"wrote {file}"


main = Command("report", __doc__, report, show, word="runs")

if __name__ == "__main__":
    main()
