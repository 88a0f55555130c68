"""Where the benchmarks keep their results: numbers as JSON, and the page that shows them."""

from pathlib import Path
from typing import Any

from src.files import write_json, write_text

RESULTS = Path(__file__).parent / "results"


def keep(name: str, result: Any, page: str, folder: Path = RESULTS) -> None:
    """Write a benchmark's result, replacing that of an earlier time.

    Args:
        name: of the benchmark, and of its two files.
        result: plain values; numbers that JSON lacks become null.
        page: the same in Markdown.
        folder: where to write.
    """
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{name}.json", result)
    write_text(folder / f"{name}.md", page)
