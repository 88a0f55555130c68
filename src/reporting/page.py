"""The report as one HTML page that needs nothing but itself."""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from src.reporting.comparison import Comparison
from src.reporting.figures import days_figure, differences_figure, scores_figure
from src.reporting.tables import comparison_tables, unfinished
from src.reporting.texttable import TextTable
from src.reporting.verdict import number, verdict

if TYPE_CHECKING:
    import pandas as pd

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 0 auto;
  max-width: 62rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
.answer { background: #f2f7f4; border-left: 4px solid #1a6b3c; padding: .6rem 1rem; }
.answer p { margin: .3rem 0; } .answer p:first-child { font-weight: 600; }
.note, figcaption { color: #55606e; font-size: .88rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 2px solid #9aa3ad; vertical-align: bottom; }
th, td { padding: .25rem .7rem .25rem 0; } td { border-bottom: 1px solid #e6e9ec; }
.number { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; }
details { margin-top: 2rem; } summary { cursor: pointer; font-weight: 600; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_METHODS = (
    "A group is the runs that differ in the seed only. Groups are ranked by the criterion named "
    "above the ranking; the metric on the test part is shown beside it and took no part in the "
    "choice.",
    "Over seeds: mean, sample standard deviation and 95% t interval; differences to the best group "
    "are paired by seed, and a difference is called real where its p-value, adjusted by Holm's "
    "method for the number of comparisons, is below 5%.",
    "Over test days: each day's loss is averaged over a group's seeds, then compared by the "
    "Diebold-Mariano test (1995) with the small-sample correction of Harvey, Leybourne and Newbold "
    "(1997) at horizon 1, and by the 95% model confidence set of Hansen, Lunde and Nason (2011; "
    "1,000 stationary block bootstrap samples, seed 0).",
    "A factor by itself: its options over those combinations of the other factors that were run "
    "with every option under the same seed, averaged per seed.",
)


def page(
    title: str, comparisons: Sequence[Comparison], runs: "pd.DataFrame", remarks: Sequence[str]
) -> str:
    """Return the whole page.

    Args:
        title: one line on all runs.
        comparisons: one per test set.
        runs: a row per run.
        remarks: what concerns all of them.
    """
    parts = ["<h1>Comparison of runs</h1>", _p(title, "note"), *(_p(text) for text in remarks)]
    for comparison in comparisons:
        parts += _section(comparison)
    rest = unfinished(runs)
    parts += [_table(rest)] if rest else []
    parts += ["<details><summary>Every run</summary>", _table(_every_run(runs)), "</details>"]
    methods = "".join(_p(text, "note") for text in _METHODS)
    parts += [f"<details><summary>How this was computed</summary>{methods}</details>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Comparison of runs</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _section(comparison: Comparison) -> list[str]:
    answer = "".join(_p(sentence) for sentence in verdict(comparison))
    tables = [_table(table) for table in comparison_tables(comparison)]
    notes = [_p(note, "note") for note in comparison.notes]
    head = [f"<h2>{escape(comparison.test_set)}</h2>", f'<div class="answer">{answer}</div>']
    return [*head, *notes, tables[0], *_figures(comparison), *tables[1:]]


def _figures(comparison: Comparison) -> list[str]:
    figures: list[tuple[bool, Callable[[Comparison], str], str]] = [
        (
            bool(comparison.ranked),
            scores_figure,
            "Every seed (dots), the mean (diamond) and its 95% interval (line; cut where two seeds "
            "leave it wider than the figure). Green: the best. Red or blue: distinguishably worse "
            "or better.",
        ),
        (
            any(g.metric_difference for g in comparison.ranked),
            differences_figure,
            "Difference to the best group, paired by seed, with its 95% interval.",
        ),
        (
            bool(comparison.daily and comparison.daily.groups),
            days_figure,
            "Rising: better than no model on these days. Falling: worse.",
        ),
    ]
    return [_figure(draw(comparison), caption) for wanted, draw, caption in figures if wanted]


def _figure(svg: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure role="img" aria-label="{text}">{svg}<figcaption>{text}</figcaption></figure>'


def _every_run(runs: "pd.DataFrame") -> TextTable:
    scores = ("val/loss", "test/rmse", "ratio/rmse", "duration_s")
    words = ("experiment", "run", "status", "cause")
    rows = tuple(
        (*(str(row[name] or "-") for name in words), *(number(row[name]) for name in scores))
        for row in runs.to_dict("records")
    )
    return TextTable("", (*words, *scores), rows, len(words))


def _table(table: TextTable) -> str:
    def cell(tag: str, place: int, text: str) -> str:
        kind = "" if place < table.names else ' class="number"'
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    def row(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(cell(tag, place, text) for place, text in enumerate(cells))}</tr>"

    head = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    body = "\n".join(row("td", cells) for cells in table.rows)
    caption = _p(table.caption, "note") if table.caption else ""
    return (
        f'{head}<div class="wide"><table><thead>{row("th", table.headers)}</thead>'
        f"<tbody>{body}</tbody></table></div>{caption}"
    )


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"
