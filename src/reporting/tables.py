"""The tables of a report as plain text cells, for every way of showing them."""

import math
from collections.abc import Sized
from typing import TYPE_CHECKING

from src.reporting.comparison import Comparison
from src.reporting.groups import Group, Option
from src.reporting.losses import METRICS
from src.reporting.standing import ALPHA, standing
from src.reporting.statistics import TIE, DieboldMariano, Estimate
from src.reporting.text import NOTHING, TextTable, change, count_of, interval, number, p_text

if TYPE_CHECKING:
    import pandas as pd

NAMED_COLUMNS = 3
SHOWN_GROUPS = 4
"""Groups side by side, best first, where series are the rows."""


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """Return what a comparison has to show: ranking, differences, effects, gradients."""
    tables = [ranking(comparison)]
    if len(comparison.ranked) > 1:
        tables.append(differences(comparison))
    if comparison.daily:
        tables.append(days(comparison))
    if comparison.daily and comparison.daily.series:
        tables.append(by_series(comparison))
    if comparison.coverage:
        tables.append(coverage(comparison))
    if any(effect.options for effect in comparison.effects):
        tables.append(effects(comparison))
    if any(group.causes for group in comparison.groups):
        tables.append(gradients(comparison))
    return tables


def ranking(comparison: Comparison) -> TextTable:
    """Return the groups, best first, with their scores over seeds."""
    criterion, metric = comparison.criterion, comparison.metric
    both = criterion != metric
    rows = []
    for group in comparison.groups:
        seeds = f"{group.metric.n}" + f" of {group.runs}" * (group.metric.n != group.runs)
        means = [_mean(group.criterion)] * both + [_mean(group.metric)]
        last = (interval(group.metric), number(group.ratio))
        rows.append((_place(comparison, group), *_options(group), seeds, *means, *last))
    caption = f"Ranked by {criterion}. Mean ± standard deviation and t interval over seeds."
    if math.isfinite(comparison.baseline):
        caption += f' "{METRICS[metric].baseline}" has {metric} {number(comparison.baseline)}.'
    options = _option_headers(comparison)
    headers = ("#", *options, "seeds", *[criterion] * both, metric, "95% interval", "ratio")
    title = f"Ranking on {comparison.test_set}"
    return TextTable(title, headers, tuple(rows), 1 + len(options), caption)


def _place(comparison: Comparison, group: Group) -> str:
    """Return the place in the ranking: those that are equal to the first share its place."""
    return "1" if group in comparison.first else str(group.rank or NOTHING)


def _mean(estimate: Estimate) -> str:
    # Equal values have a deviation of some 1e-17: that is their rounding, not their spread.
    spread = 0.0 if estimate.sd <= TIE * abs(estimate.mean) else estimate.sd
    return number(estimate.mean) + (f" ± {number(spread)}" if estimate.n > 1 else "")


def _has_columns(levels: Sized) -> bool:
    """Say whether there are few enough factors for a column each."""
    return 0 < len(levels) <= NAMED_COLUMNS


def _option_headers(comparison: Comparison) -> tuple[str, ...]:
    factors = comparison.factors
    return tuple(f.name for f in factors) if _has_columns(factors) else ("group",)


def _options(group: Group) -> tuple[str, ...]:
    return tuple(group.levels.values()) if _has_columns(group.levels) else (group.label,)


def _name(group: Group) -> tuple[str, ...]:
    """Return the options again, or where they are many the place in the ranking."""
    return _options(group) if _has_columns(group.levels) else (group.name,)


def coverage(comparison: Comparison) -> TextTable:
    """Return how often the intervals of each group held on the test part, by level and year."""
    found = comparison.coverage
    columns = sorted({column for shares in found.values() for column in shares}, key=_by_year)
    rows = [
        (*_name(group), maker, *(_share(found[group.label, maker].get(c)) for c in columns))
        for group in comparison.groups
        for maker in ("conformal", "own")
        if (group.label, maker) in found
    ]
    headers = (*_option_headers(comparison), "intervals", *columns)
    caption = (
        "The share of outcomes inside intervals that should hold so many, mean over seeds. "
        "conformal: from the errors on the validation part; own: the model's quantiles."
    )
    return TextTable(
        "Intervals that held", headers, tuple(rows), len(headers) - len(columns), caption
    )


def _by_year(column: str) -> tuple[bool, str]:
    return " in " in column, column


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def differences(comparison: Comparison) -> TextTable:
    """Return each group's difference to the best over seeds."""
    metric, options = comparison.metric, _option_headers(comparison)
    alone = len(comparison.first) < 2
    rows = [
        (_place(comparison, group), *_name(group), *_difference_cells(group, metric, alone))
        for group in comparison.ranked
    ]
    headers = ("#", *options, f"{metric}\nto first", "95% interval", "real?")
    caption = (
        "Differences to the first group, paired by seed; p adjusted for all pairs (Holm), for the "
        'first was picked by looking. "no, < 0.1": one beyond ±0.1 would have been found.'
    )
    title = "Is the difference real? Over seeds"
    return TextTable(title, headers, tuple(rows), 1 + len(options), caption)


def days(comparison: Comparison) -> TextTable:
    """Return how each group's forecasts stand over the test days."""
    baseline, options = METRICS[comparison.metric].baseline, _option_headers(comparison)
    rows = [
        (
            *(_place(comparison, group), *_name(group)),
            *(_days_cell(group.days_to_best), _days_cell(group.days_to_baseline)),
            NOTHING if group.set_p is None else "yes" if group.set_p > ALPHA else "no",
            _recipe_cell(group),
        )
        for group in comparison.ranked
    ]
    headers = ("#", *options, "to first", f"to\n{baseline}", "in 95% set", "as recipe,\nto first")
    caption = (
        f"How much more is lost ({METRICS[comparison.metric].unit}), and the Diebold-Mariano "
        "p-value, each for itself; the model confidence set accounts for their number. These are "
        f"about the trained weights; as recipes, seeds and {comparison.step}s are both drawn anew "
        "(p adjusted for all pairs)."
    )
    title = f"Is the difference real? Over {_test_days(comparison)}"
    return TextTable(title, headers, tuple(rows), 1 + len(options), caption)


def by_series(comparison: Comparison) -> TextTable:
    """Return the metric of the first groups on each of several series."""
    assert comparison.daily is not None
    baseline = METRICS[comparison.metric].baseline
    groups = [g for g in comparison.ranked if g.label in comparison.daily.groups][:SHOWN_GROUPS]
    rows = []
    for ticker, scores in comparison.daily.series.items():
        without = scores[baseline]
        cells = [number(without)]
        for group in groups:
            score = scores[group.label]
            cells += [number(score), number(score / without if without else math.nan)]
        rows.append((ticker, *cells))
    heads = [head for group in groups for head in (group.name, "ratio")]
    title = f"Each series by itself: {comparison.metric}"
    return TextTable(title, ("series", baseline, *heads), tuple(rows), 1, "Means over seeds.")


def _test_days(comparison: Comparison) -> str:
    noun = f"test {comparison.step}"
    return count_of(len(comparison.daily.date), noun) if comparison.daily else f"{noun}s"


def _difference_cells(
    compared: Group | Option, metric: str, is_alone: bool = True
) -> tuple[str, ...]:
    """Return the difference to the first, its interval and what it is worth.

    Args:
        compared: a group or an option.
        metric: what is compared.
        is_alone: whether the first is first alone.
    """
    difference = compared.metric_difference
    if difference is None:
        return ("first" if is_alone else NOTHING, NOTHING, NOTHING)
    if difference.n and not difference.mean and not difference.sd > 0:
        return ("equal", NOTHING, NOTHING)
    how = standing(compared, metric)
    real = {"unknown": NOTHING, "same": f"no, < {number(compared.detectable)}"}.get(how, how)
    real += "" if how == "unknown" else f", p {p_text(compared.holm_p)}"
    return (number(difference.mean, "+"), interval(difference, "+"), real)


def _days_cell(test: DieboldMariano | None) -> str:
    if test is None:
        return NOTHING
    how = "" if not test.p_value < ALPHA else " worse" if test.statistic > 0 else " better"
    return f"{change(test.relative)}, p {p_text(test.p_value)}{how}"


def _recipe_cell(group: Group) -> str:
    test = group.recipe_to_best
    if test is None or math.isnan(group.recipe_p):  # of one seed nothing can be said
        return NOTHING
    return f"{change(test.relative)}, p {p_text(group.recipe_p)}"


def effects(comparison: Comparison) -> TextTable:
    """Return each factor's options, averaged over the combinations of the others."""
    metric, criterion = comparison.metric, comparison.criterion
    rows = []
    for effect in comparison.effects:
        alone = len(effect.first) < 2
        for place, option in enumerate(effect.options):
            first = effect.factor if place == 0 else ""
            means = [option.criterion.mean] * (criterion != metric) + [option.metric.mean]
            shown = (*map(number, means), *_difference_cells(option, metric, alone))
            rows.append((first, option.title, *shown))
    headers = ("factor", "option", *[criterion] * (criterion != metric), metric)
    headers = (*headers, "to first", "95% interval", "real?")
    caption = _effects_caption(comparison)
    return TextTable("Each factor by itself", headers, tuple(rows), 2, caption)


def _effects_caption(comparison: Comparison) -> str:
    caption = "Averaged over the combinations of the other factors that every option was run with."
    lone = [effect.factor for effect in comparison.effects if not effect.options]
    return caption + (f" No such combination: {', '.join(lone)}." if lone else "")


def gradients(comparison: Comparison) -> TextTable:
    """Return what the seeds' diagnoses found in each group."""
    rows = [
        (_place(comparison, group), *_name(group), _counts(group), _percent(group.zero_fraction))
        for group in comparison.ranked
        if group.causes
    ]
    options = _option_headers(comparison)
    headers = ("#", *options, "findings (seeds)", "zeros in first weight")
    caption = "Seeds whose diagnosis names the cause; exactly zero gradient entries at the end."
    return TextTable("Gradients", headers, tuple(rows), 2 + len(options), caption)


def _counts(group: Group) -> str:
    return ", ".join(f"{cause} ({count})" for cause, count in group.causes.items()) or NOTHING


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else NOTHING


def unfinished(runs: "pd.DataFrame") -> TextTable | None:
    """Return the runs that did not finish, with their reasons; None if all did."""
    rest = runs[runs["status"] != "finished"]
    if rest.empty:
        return None
    rows = tuple(
        (str(row["run"]), str(row["status"]), str(row["reason"] or NOTHING))
        for row in rest.to_dict("records")
    )
    return TextTable("Runs that did not finish", ("run", "status", "reason"), rows, 3)
