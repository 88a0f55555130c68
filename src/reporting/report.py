"""The report on a set of runs, shown in a terminal and written to files."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group as Lines
from rich.text import Text

from src.files import to_plain, write_text
from src.reporting.comparison import DEFAULT_METRIC, Comparison, compare
from src.reporting.losses import METRICS
from src.reporting.runs import Paths, load_runs
from src.reporting.tables import comparison_tables, ranking, unfinished
from src.reporting.text import count_of, markdown, rich_table
from src.reporting.verdict import verdict

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("md", "csv", "json", "html")
NAME = "comparison"
MOST_ROWS, MOST_SENTENCES = 10, 3
"""Of a ranking and of an answer, on a screen."""


@dataclass(frozen=True)
class Report:
    """What a set of runs shows.

    Args:
        runs: a row per run.
        comparisons: one per test set, the largest first.
        files: what was written.
        folder: where to; links lead from there.
    """

    runs: "pd.DataFrame"
    comparisons: tuple[Comparison, ...]
    files: tuple[Path, ...] = ()
    folder: Path = Path()

    @property
    def title(self) -> str:
        """How many runs, and how they ended; apart, those that ended before they had begun."""
        nothing = self.runs["test_set"].isna() & (self.runs["status"] != "running")
        begun = self.runs[~nothing]
        ended = begun["status"].value_counts()
        how = ", ".join(f"{count} {status}" for status, count in ended.items())
        count = count_of(len(begun), "run") + (f": {how}" if how else "")
        aside = f"; besides, {nothing.sum()} that ended before reading any data"
        return count + (aside if nothing.any() else "")


def write_report(
    runs: "pd.DataFrame | Paths",
    output_folder: str | Path,
    metric: str = DEFAULT_METRIC,
    formats: Sequence[str] = FORMATS,
) -> Report:
    """Compare runs and write the comparison into a folder, each file whole or not at all.

    Args:
        runs: a table from `load_runs`, or what `load_runs` takes.
        output_folder: gets comparison.md, comparison.json, comparison.html, comparison.csv (a row
            per group) and runs.csv (a row per run).
        metric: the column to compare by.
        formats: which of these to write.

    Returns:
        The report, for `report_view`.

    Raises:
        ValueError: there are no runs, no such metric, no such format.
    """
    import pandas as pd

    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    table = runs if isinstance(runs, pd.DataFrame) else load_runs(runs)
    folder = Path(output_folder)
    report = Report(table, tuple(compare(table, metric)), folder=folder)
    texts = {name: text for form in formats for name, text in _FILES[form](report).items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(write_text(folder / name, text) for name, text in texts.items())
    return replace(report, files=files)


def report_on(
    given: Sequence[str],
    output_folder: str | None = None,
    metric: str = DEFAULT_METRIC,
    formats: Sequence[str] = FORMATS,
) -> Report:
    """Compare the runs that were named, as `write_report`; by default write beside them.

    Args:
        given: run folders, folders above them, sweep folders, or globs.
        output_folder: where to write; None for the folder given, or the one that holds the runs.
        metric: the metric to compare.
        formats: what to write, some of md, csv, json and html.
    """
    runs = load_runs(given)
    return write_report(runs, output_folder or _beside(given, list(runs["path"])), metric, formats)


def _beside(given: Sequence[str], runs: Sequence[str]) -> Path:
    """Return the folder given, if it is one and no run itself, else the one that holds the runs."""
    if len(given) == 1 and Path(given[0]).is_dir() and given[0] not in set(runs):
        return Path(given[0])
    return Path(os.path.commonpath([os.path.dirname(os.path.abspath(run)) for run in runs]))


def report_view(report: Report, every: bool = False) -> Lines:
    """Return the report for a terminal: tables first, the answer last, where the eye is.

    Args:
        report: the report.
        every: all tables and sentences of all test sets; otherwise what fits on a screen.
    """
    return Lines(*(_everything(report) if every else _a_screen(report)))


def _everything(report: Report) -> Iterator[Any]:
    yield Text(report.title, style="bold")
    if rest := unfinished(report.runs):
        yield from (rich_table(rest), "")
    for comparison in report.comparisons:
        for table in comparison_tables(comparison):
            yield from (rich_table(table), "")
        yield Text(f"On {comparison.test_set}:", style="bold")
        yield from (Text(f"- {sentence}") for sentence in verdict(comparison))
        yield from (Text(f"- {note}", style="dim") for note in comparison.notes)
    yield from (Text(note, style="bold") for note in _apart(report))


def _a_screen(report: Report) -> Iterator[Any]:
    """Yield the ranking on the largest test set, its answer in short, and what there is besides."""
    yield Text(report.title, style="bold")
    for comparison in report.comparisons[:1]:
        table = ranking(comparison)
        if (more := len(table.rows) - MOST_ROWS) > 0:
            caption = f"{count_of(more, 'group')} more. {table.caption}"
            table = replace(table, rows=table.rows[:MOST_ROWS], caption=caption)
        yield rich_table(table)
        told = verdict(comparison)
        answer = told[:MOST_SENTENCES]
        answer += [s for s in told[MOST_SENTENCES:] if "confidence set" in s]
        yield from (Text(f"- {sentence}") for sentence in answer)
    for comparison in report.comparisons[1:]:
        yield Text(f"On {comparison.test_set}: {verdict(comparison)[0]}")
    yield from (Text(note, style="bold") for note in _apart(report))
    if rest := unfinished(report.runs):
        yield Text(f"{count_of(len(rest.rows), 'run')} without a result.", style="yellow")
    if report.comparisons:
        yield Text("Differences, test days, factors, gradients and every sentence: --all", "dim")


def _apart(report: Report) -> list[str]:
    if not report.comparisons:
        return ["No run got as far as its data: there is nothing to compare."]
    if len(report.comparisons) == 1:
        return []
    return [
        f"The runs were tested on {len(report.comparisons)} different sets of dates: errors of "
        "different test sets are not compared."
    ]


def _markdown(report: Report) -> dict[str, str]:
    parts = ["# Comparison of runs", report.title + ".", *_apart(report)]
    for comparison in report.comparisons:
        parts.append(f"## {comparison.test_set}")
        parts.append("\n".join(f"- {s}" for s in (*verdict(comparison), *comparison.notes)))
        parts += [markdown(table) for table in comparison_tables(comparison)]
    rest = unfinished(report.runs)
    parts += [markdown(rest)] if rest else []
    return {f"{NAME}.md": "\n\n".join(parts) + "\n"}


def _csv(report: Report) -> dict[str, str]:
    """Return a table of groups and one of runs."""
    import pandas as pd

    rows = [_flat_group(c, group) for c in report.comparisons for group in c.groups]
    return {
        f"{NAME}.csv": pd.DataFrame(rows).convert_dtypes().to_csv(index=False) if rows else "",
        "runs.csv": report.runs.to_csv(index=False),
    }


def _flat_group(comparison: Comparison, group: Any) -> dict[str, Any]:
    """Return a group as one row: a column per number, named <what>_<number>."""
    row: dict[str, Any] = {"test_set": comparison.test_set, "criterion_is": comparison.criterion}
    row |= {"metric_is": comparison.metric, "baseline": comparison.baseline}
    for name, value in vars(group).items():
        if hasattr(value, "_asdict"):
            numbers = value._asdict()
            if name in ("criterion", "metric"):  # that a loss is not 0 is no finding
                del numbers["p_value"]
            row |= {f"{name}_{part}": number for part, number in numbers.items()}
        elif name == "levels":
            row |= value
        elif name == "causes":
            row[name] = ", ".join(f"{cause} ({count})" for cause, count in value.items())
        elif value is not None:
            row[name] = value
    return row


def _json(report: Report) -> dict[str, str]:
    text = json.dumps(as_plain(report), indent=2, allow_nan=False)
    return {f"{NAME}.json": text + "\n"}


def as_plain(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON values; numbers that JSON lacks become None."""
    comparisons = [
        {
            **{key: getattr(c, key) for key in ("test_set", "metric", "criterion", "baseline")},
            "baseline_name": METRICS[c.metric].baseline,
            "baseline_set_p": c.baseline_set_p,
            "verdict": verdict(c),
            "notes": c.notes,
            "groups": c.groups,
            "effects": c.effects,
        }
        for c in report.comparisons
    ]
    return to_plain({"comparisons": comparisons, "runs": report.runs.to_dict("records")})


def _html(report: Report) -> dict[str, str]:
    # Imported here: matplotlib is slow to import, and only figures need it.
    from src.reporting.page import page

    text = page(report.title, report.comparisons, report.runs, _apart(report), report.folder)
    return {f"{NAME}.html": text}


_FILES = {"md": _markdown, "csv": _csv, "json": _json, "html": _html}
