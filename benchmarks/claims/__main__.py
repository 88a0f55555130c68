"""`python -m src.report claims`: judge the seventeen claims by the runs there are."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.claims.page import Page

_EPILOG = """Without run folders the page is made again from the files in DIR/claims.
A folder that is called claims itself: ./claims."""


def run(arguments: Sequence[str]) -> None:
    """Run the command line behind `claims`.

    Args:
        arguments: what follows the word.

    Raises:
        ValueError: there are no runs, or a file of results is missing or damaged.
    """
    options = _parse(arguments)
    # Imported here: --help and a slip on the command line are answered at once.
    from rich.console import Console

    from benchmarks.claims.page import page_view, write_page
    from benchmarks.claims.store import FOLDER, collect

    collected = collect(options.runs, options.out / FOLDER) if options.runs else []
    page = write_page(options.out)
    if options.json:
        print(json.dumps(as_plain(page), allow_nan=False))
        return
    console = Console()
    console.print(page_view(page))
    for file in (*collected, *page.files):
        console.print(f"wrote {file}", soft_wrap=True, highlight=False, markup=False)


def as_plain(page: "Page") -> dict[str, Any]:
    """Return the page as plain JSON values; numbers that JSON lacks become None."""
    claims = [
        {
            **{"id": claim.id, "title": claim.title, "verdict": verdict.word},
            **{"sentence": verdict.sentence, "seeds": verdict.seeds},
            "provisional": verdict.is_provisional,
            "rows": [
                {key: getattr(row, key) for key in ("world", "condition", "quantity", "met")}
                | _numbers(row.value)
                for row in verdict.rows
            ],
        }
        for claim, verdict in page.judged
    ]
    cures = [
        {key: _numbers(v) if hasattr(v, "_asdict") else v for key, v in vars(cure).items()}
        for cure in page.cures
    ]
    return {"claims": claims, "cures": cures, "meta": dict(page.results.meta)}


def _numbers(value: Any) -> dict[str, float | None]:
    numbers = {key: getattr(value, key) for key in ("mean", "low", "high", "n")}
    return {key: v if math.isfinite(v) else None for key, v in numbers.items()}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m src.report claims",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", nargs="*", help="run folders, folders above them, sweep folders, or globs"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("docs"), help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)
