"""Writes docs/verdict.md and its figures from the forecasts that are kept, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.files import write_text
from src.reporting.money_words import money_words
from src.reporting.predictability import store
from src.reporting.predictability.earning import Earnings, all_earnings
from src.reporting.predictability.figures import (
    coverage_figure,
    gains_figure,
    save,
    saved_figure,
)
from src.reporting.predictability.scores import ERRORS, GOAL, Judged, judge
from src.reporting.predictability.spread import DECAY, STEP
from src.reporting.predictability.store import NAMES
from src.reporting.predictability.tables import (
    KEY,
    bad_years,
    details,
    money_table,
    overview,
    years_table,
)
from src.reporting.predictability.words import (
    ASKED,
    gain_words,
    of_kind,
    plain_words,
    rival_list,
    rivals,
)
from src.reporting.text import TextTable, count_of, markdown

DOCS = store.ROOT / "docs"
NAME = "verdict"
_INTRO = """# What can be predicted

Made by `python -m src.report verdict` from `benchmarks/results/verdict.csv.gz`, without a run:
every number below is computed from the forecasts in that file, which `make verdict` makes."""
_HOW = """Every forecast is of a day that its model had not seen: the later part of the series
is cut into blocks, and before each block every model is fitted anew to all earlier days and
tuned on the last of them, a window's length apart. The naive forecast needs no model: of a
return no change, of a variance that of the latest days, of a direction the share of days that
rose in training. HAR is a regression on the variance of the latest day, week and month, GARCH a
model of returns whose variance has a memory. Variances are those of Garman and Klass, from
open, high, low and close; QLIKE is the loss that ranks forecasts of a variance alike however
noisy its estimate is (Patton 2011). Networks are trained once, with one seed: another one would
move their numbers. Their learning rates, and that the transformer is shown closes where a
variance is asked for, were chosen among four settings each by the loss on the next day's
variance of the S&P 500 from October 2012 on, which is judged here too: read what they win there
with that in mind. No table knows of the others: of ten tables some have a mark by chance."""
_LOSS = """Loss over that of the naive forecast, below 1 is better. """ + KEY
_STRATEGIES = """A sign strategy is wholly in or wholly short by the sign of the forecast; a
scaled one as far as the forecast is large beside those before it. A forecast of five days is
held for five days, a fifth of all each day. Sharpe ratios are those of a year, of returns from
close to close, without interest, ± the standard error (Lo 2002). Deflated: the probability that
one is more than the luck of the best of all strategies on this page (Bailey and Lopez de Prado
2014)."""


@dataclass(frozen=True)
class Verdict:
    """The page, and what it is made of.

    Args:
        answer: The paragraph in plain words.
        tables: The overview of each series.
        files: What was written.
    """

    answer: str
    tables: tuple[TextTable, ...]
    files: tuple[Path, ...]


def write_verdict(docs: Path = DOCS, results: Path | None = None) -> Verdict:
    """Judge the forecasts that are kept and write the page with its figures.

    Args:
        docs: Gets verdict.md, and the figures in verdict/.
        results: Holds the forecasts; None for benchmarks/results.

    Raises:
        ValueError: If there are none, or they are damaged.
    """
    kept, record = store.read(results or store.FOLDER)
    judged = [judge(one) for one in kept]
    money = all_earnings([one.kept for one in judged])
    figures = docs / NAME
    figures.mkdir(parents=True, exist_ok=True)
    drawn = {"gains": gains_figure, "saved": saved_figure, "coverage": coverage_figure}
    files = [save(draw(judged), figures / f"{name}.png") for name, draw in drawn.items()]
    files.insert(0, write_text(docs / f"{NAME}.md", page(judged, money, record)))
    series = dict.fromkeys(one.kept.series for one in judged)
    tables = tuple(overview(judged, name) for name in series)
    return Verdict(plain_words(judged), tables, tuple(files))


def page(judged: Sequence[Judged], money: Sequence[Earnings], record: Mapping[str, Any]) -> str:
    """Return the page in Markdown."""
    series = list(dict.fromkeys(one.kept.series for one in judged))
    parts = [
        _INTRO,
        "## In plain words",
        plain_words(judged),
        _HOW,
        "## What was found, with its interval",
        _found(judged),
        "## The table",
        _LOSS,
        *(markdown(overview(judged, name)) for name in series),
        "![Loss beside the naive forecast with 95% intervals](verdict/gains.png)",
        "## Volatility over time",
        "Where a line rises the model is better than the naive forecast in that time.",
        "![QLIKE saved against the naive forecast](verdict/saved.png)",
        "## Intervals by year",
        _intervals(judged),
        markdown(years_table(judged)),
        "![How often 95% intervals held in each year](verdict/coverage.png)",
        "## Money, carefully",
        "\n\n".join(_money(money, name) for name in series),
        _STRATEGIES,
        *(markdown(money_table(one)) for one in money),
        "## Each question",
        KEY,
        *(markdown(details(one)) for one in judged),
        "## How it was made",
        made_words(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _found(judged: Sequence[Judged]) -> str:
    """Return what was found of each question, and of our networks beside HAR."""
    told = [line for asked in ASKED for line in gain_words(asked, of_kind(judged, asked.kind))]
    told += rival_list(rivals(of_kind(judged, "volatility")))
    note = (
        "p-values are adjusted for the number of models or comparisons (Holm), intervals are not."
    )
    return "\n".join([*(f"- {line}" for line in told), "", note])


def _money(money: Sequence[Earnings], series: str) -> str:
    """Say what the strategies on a series earned, those of all questions together."""
    own = [one for one in money if one.kept.series == series]
    if not own:
        return ""
    strategies = [strategy for one in own for strategy in one.strategies]
    words = money_words(strategies, own[0].holding)
    return f"**Money, {NAMES.get(series, series)}:** {words}"


def _intervals(judged: Sequence[Judged]) -> str:
    """Say how intervals are made, and in which years they did not hold."""
    how = (
        f"An interval is the forecast plus the errors of the {ERRORS} days before, of returns each "
        f"in units of the volatility of its time (squared returns, decay {DECAY}), of variances "
        "those of their logarithm. Its level follows how often intervals held before (step "
        f"{STEP})."
    )
    low, high = GOAL
    beyond = _years_told(bad_years(judged, "!"))
    return (
        f"{how} Years in which they held on less than {low:.0%} or more than {high:.0%} of the "
        f"days: {_years_told(bad_years(judged))}. Of these, beyond what chance allows: {beyond}."
    )


def _years_told(bad: Mapping[int, Sequence[Judged]]) -> str:
    told = (f"{year} ({', '.join(map(_short, ones))})" for year, ones in bad.items())
    return "; ".join(told) or "none"


def _short(one: Judged) -> str:
    question = one.kept.question
    return f"{NAMES.get(one.kept.series, one.kept.series)} {question.kind} {question.horizon}"


def made_words(record: Mapping[str, Any]) -> str:
    """Say by which command, in which size and time the forecasts were made."""
    larger = record.get("larger")
    more = f" A larger size exists: `{larger}`." if larger else ""
    models = "\n".join(f"- {name}: `{options}`" for name, options in record["models"].items())
    return (
        f"Size `{record['size']}`, by `{record['command']}`: {count_of(record['folds'], 'block')} "
        f"of {record['refit_every']} days for each series and question, {record['fits']} fits and "
        f"trainings, {record['fitting_s'] / 60:.0f} minutes of them one after the other, on "
        f"{record['machine']}.{more} What was chosen on the validation part of each block is in "
        f"`benchmarks/results/verdict.json`. What each model is made by:\n\n{models}"
    )
