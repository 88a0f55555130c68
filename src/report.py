"""Compare runs: which is best, and is the difference real?

Usage:
    python -m src.report lightning_logs/sweeps/2026-11-20_18-45-00
    python -m src.report 'lightning_logs/price_lstm/*-seed*' --metric test/mae --format md,html
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

FORMATS = ("md", "csv", "json", "html")


def main() -> None:
    """Run the command line."""
    try:
        _report(_parse(sys.argv[1:]))
    except ValueError as error:
        _stop(str(error))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(arguments: argparse.Namespace) -> None:
    # Imported here: --help and a slip on the command line are answered at once.
    from rich.console import Console

    from src.reporting.report import as_plain, report_view, write_report
    from src.reporting.runs import load_runs

    runs = load_runs(arguments.runs)
    folder = arguments.out or _beside(arguments.runs, list(runs["path"]))
    formats = [] if arguments.format == "none" else arguments.format.split(",")
    report = write_report(runs, folder, arguments.metric, formats)
    if arguments.json:
        print(json.dumps(as_plain(report), allow_nan=False))
        return
    console = Console()
    console.print(report_view(report))
    for file in report.files:
        console.print(f"wrote {file}", soft_wrap=True, highlight=False, markup=False)


def _beside(given: list[str], runs: list[str]) -> Path:
    """Return the folder given, if it is one and no run itself, else the one that holds the runs."""
    if len(given) == 1 and Path(given[0]).is_dir() and given[0] not in set(runs):
        return Path(given[0])
    return Path(os.path.commonpath([os.path.dirname(os.path.abspath(run)) for run in runs]))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m src.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", nargs="+", help="run folders, folders above them, sweep folders, or globs"
    )
    parser.add_argument(
        "--metric", default="test/rmse", help="test/rmse, test/mae, test/mape, ..., val/loss"
    )
    parser.add_argument("--out", metavar="DIR", help="where to write (default: beside the runs)")
    parser.add_argument(
        "--format", default=",".join(FORMATS), help="files to write: some of %(default)s, or none"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)


def _stop(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
