"""Judge the seventeen claims by the runs there are, and write the page that says so.

Usage:
    python -m benchmarks.claims lightning_logs/claims    # docs/claims.md, from these runs
    python -m benchmarks.claims FOLDER --add             # from these and those of docs/claims
    python -m benchmarks.claims                          # the same from docs/claims, without runs
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

WIDE = 400
"""Columns of what goes into a pipe or a file."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: what follows the command's name; None for the command line itself.
    """
    options = _parse(arguments)
    try:
        _write_and_show(options)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_and_show(options: argparse.Namespace) -> None:
    # Imported here: --help and a slip on the command line are answered at once.
    from rich.console import Console

    from benchmarks.claims.page import as_plain, page_view, write_page
    from benchmarks.claims.store import FOLDER, collect

    collected = collect(options.runs, options.out / FOLDER, options.add) if options.runs else []
    page = write_page(options.out)
    if options.json:
        print(json.dumps(as_plain(page), allow_nan=False))
        return
    # Into a pipe nothing is folded to fit a terminal that is not there.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(page_view(page))
    for file in (*collected, *page.files):
        console.print(f"wrote {file}", soft_wrap=True, highlight=False, markup=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        help="run folders, folders above them, sweep folders, or globs; none: DIR/claims as it is",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("docs"), help="default: %(default)s"
    )
    parser.add_argument(
        "--add", action="store_true", help="keep the runs in DIR/claims that these do not repeat"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
