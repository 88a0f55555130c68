"""The claims page: judged, drawn, written, and shown in a terminal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group as Lines
from rich.text import Text

from benchmarks.claims.document import document
from benchmarks.claims.ledger import CLAIMS, Claim
from benchmarks.claims.remedies import Causes, Cure, find_causes, find_cures
from benchmarks.claims.store import FOLDER, Results, read
from benchmarks.claims.tables import cures_tables, ledger_table, words_table
from benchmarks.claims.verdict import Verdict
from src.files import write_text
from src.reporting.text import count_of, rich_table

PAGE = "claims.md"


@dataclass(frozen=True)
class Page:
    """What the results say.

    Args:
        results: the committed files.
        judged: every claim with its verdict.
        cures: what every remedy changes.
        causes: the two ways to one share of zeros.
        files: what was written.
    """

    results: Results
    judged: Sequence[tuple[Claim, Verdict]]
    cures: Sequence[Cure]
    causes: Sequence[Causes]
    files: Sequence[Path] = ()


def write_page(folder: Path) -> Page:
    """Judge the claims by the committed files and write the page and its figures.

    Args:
        folder: holds `claims/`; gets `claims.md`.

    Raises:
        ValueError: a file of results is missing or damaged.
    """
    # Imported here: matplotlib is slow to import, and only figures need it.
    from benchmarks.claims.figures import draw_figures

    results = read(folder / FOLDER)
    judged = [(claim, claim.verdict(results.runs)) for claim in CLAIMS]
    cures, causes = find_cures(results.runs), find_causes(results.runs)
    figures = draw_figures(results.curves, cures, folder / FOLDER)
    names = [figure.name for figure in figures]
    text = document(judged, cures, causes, results.meta, names)
    return Page(results, judged, cures, causes, (write_text(folder / PAGE, text), *figures))


def page_view(page: Page) -> Lines:
    """Return the page for a terminal: the cures first, the verdicts last, where the eye is."""
    lines: list[Any] = []
    for table in cures_tables(page.cures).values():
        lines += [rich_table(table), ""]
    if page.cures:
        lines += [rich_table(words_table(page.cures)), ""]
    lines += [rich_table(ledger_table(page.judged, sentence=True)), ""]
    meta = page.results.meta
    lines.append(Text(f"{count_of(meta['runs'], 'run')} used.", style="bold"))
    for status, names in meta["left_out"].items():
        lines.append(Text(f"{count_of(len(names), 'run')} {status}: {', '.join(names)}"))
    return Lines(*lines)


def as_plain(page: Page) -> dict[str, Any]:
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
