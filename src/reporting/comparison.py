"""Compares runs: apart for each test set, over seeds and over test days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from src.reporting.common_days import CommonDays, find_common_days, rescored
from src.reporting.coverage import Coverage, coverage_of
from src.reporting.days import DailyLosses, daily_losses
from src.reporting.factors import Factor, find_factors
from src.reporting.groups import Effect, Group, find_effects, summarise
from src.reporting.losses import FIRST, METRICS, TODAY
from src.reporting.recipes import compare_recipes
from src.reporting.runs import fact_columns
from src.reporting.statistics import (
    FEWEST_DAYS,
    confidence_set,
    diebold_mariano,
    difference,
    holm,
    pairs,
)
from src.reporting.text import count_of

if TYPE_CHECKING:
    import pandas as pd

CRITERION = "val/loss"
DEFAULT_METRIC = "test/rmse"

# A validation loss is in units of the scaled target: these make the units.
_SAME_UNITS = {"data.batch_size", "data.context_length", "data.features", "data.input"}


@dataclass(frozen=True)
class Comparison:
    """All groups tested on the same days.

    Args:
        test_set: which days, of which data.
        metric: column of the run table that is compared.
        criterion: column the ranking goes by.
        baseline: the metric of the forecast that needs no model.
        factors: what varies.
        groups: best first; those without a number last.
        effects: of each factor, averaged over the others; empty where only one factor varies.
        scores: metric and criterion by group, seed by seed.
        daily: losses a test day; None without forecasts.
        baseline_set_p: p-value of the forecast without a model in the model confidence set.
        notes: what a reader has to know beside the numbers.
        coverage: how often intervals held, by group and by what made them.
    """

    test_set: str
    metric: str
    criterion: str
    baseline: float
    factors: tuple[Factor, ...]
    groups: tuple[Group, ...]
    effects: tuple[Effect, ...]
    scores: "pd.DataFrame"
    daily: DailyLosses | None
    baseline_set_p: float | None
    notes: tuple[str, ...]
    coverage: Coverage = field(default_factory=dict)

    @property
    def step(self) -> str:
        """What the distance between two forecasts is called."""
        return self.daily.step if self.daily else "day"

    @property
    def ranked(self) -> tuple[Group, ...]:
        """The groups that have a number, best first."""
        return tuple(group for group in self.groups if group.rank)

    @property
    def first(self) -> tuple[Group, ...]:
        """The groups whose criterion is the best, but for rounding: several are a tie."""
        best = [group.criterion.mean for group in self.ranked[:1]]
        return tuple(g for g in self.ranked if not difference(g.criterion.mean, best[0]))


def compare(runs: "pd.DataFrame", metric: str = DEFAULT_METRIC) -> list[Comparison]:
    """Compare the groups of a run table, apart for each test set.

    Test sets that overlap by enough are one: the days that all have.

    Args:
        runs: as from `load_runs`.
        metric: the column to compare by; runs that forecast something else than what it scores are
            compared by what scores that.

    Returns:
        One comparison per test set, the largest first.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    known = runs[runs["test_set"].notna()].reset_index(drop=True)
    known = known.assign(test_set=_test_sets(known))
    common = find_common_days(known)
    names = [common[name].name if name in common else name for name in known["test_set"]]
    parts = [part for _, part in known.groupby(names, sort=False)]
    parts.sort(key=len, reverse=True)
    return [_compare(part, metric, common.get(part["test_set"].iloc[0])) for part in parts]


def _test_sets(runs: "pd.DataFrame") -> "pd.Series":
    """Name each run's test set: its days, and where these hold several the baseline's error.

    The error of "tomorrow = today" depends on the days and their prices alone. A run without
    scores joins the first of its days.
    """
    import pandas as pd

    names: dict[Any, str] = {}
    seen: dict[str, list[float]] = {}
    scored_first = runs.sort_values("baseline/rmse", na_position="last", kind="stable")
    for index, row in scored_first.iterrows():
        days, error = row["test_set"], row["baseline/rmse"]
        errors = seen.setdefault(days, [])
        if error == error and not (errors and np.isclose(error, errors[-1], rtol=1e-3)):
            errors.append(error)
        is_first = error != error or len(errors) == 1
        names[index] = days if is_first else f"{days}, {TODAY} has {errors[-1]:.4g}"
    return pd.Series(names, dtype=object).reindex(runs.index)


def _compare(runs: "pd.DataFrame", metric: str, common: CommonDays | None) -> Comparison:
    kind, horizon = str(runs["kind"].iloc[0]), int(runs["horizon"].iloc[0])
    if METRICS[metric].kind != kind and metric != CRITERION:
        metric = FIRST[kind]
    if common and metric != CRITERION:
        runs = rescored(runs, common, metric, METRICS[metric])
    facts = runs[fact_columns(runs)]
    factors = find_factors(facts)
    rows = facts.to_dict("records")
    runs = runs.assign(group=[_label(row, factors) for row in rows])
    keys = {key for factor in factors for key in factor.keys}
    foreign = {k for k in keys if k.split(".")[0] == "data"} - _SAME_UNITS
    criterion = metric if foreign or common else CRITERION
    sign = -1 if criterion == metric and METRICS[metric].higher_is_better else 1
    scores, notes = _scores(runs, metric, criterion)
    groups = summarise(runs, scores, factors, sign)
    if foreign:
        notes.append(
            f"The runs differ in {', '.join(sorted(foreign))}, so their validation losses are in "
            f"different units: the ranking goes by {metric} itself, which flatters the first."
        )
    if common:
        notes.append(_shared_by(common, metric))
    notes += [factor.together for factor in factors if factor.together]
    notes += dict.fromkeys(f"The prices: {w}." for told in runs["data_warnings"] for w in told)
    counted = scores[["group", "seed", "path"]].to_dict("records")
    # A validation loss ranks alone; what a day loses is that of the kind.
    loss = METRICS[FIRST[kind] if metric == CRITERION else metric]
    daily = daily_losses(counted, loss, common.days if common else None, horizon)
    baseline_set_p = None
    if daily is None and len(scores):
        notes.append("There are no forecasts.csv: nothing can be said of single forecasts.")
    if daily is not None:
        if daily.left_out:
            notes.append(f"Without forecasts of these {daily.step}s: {', '.join(daily.left_out)}.")
        groups, baseline_set_p = _compare_days(groups, daily, notes)
    return Comparison(
        test_set=common.name if common else runs["test_set"].iloc[0],
        metric=metric,
        criterion=criterion,
        baseline=_baseline(runs, metric),
        factors=tuple(factors),
        groups=tuple(groups),
        effects=find_effects(scores.to_dict("records"), factors, sign),
        scores=scores,
        daily=daily,
        baseline_set_p=baseline_set_p,
        notes=tuple(notes),
        coverage=coverage_of(runs[["group", "intervals"]].to_dict("records")),
    )


def _shared_by(common: CommonDays, metric: str) -> str:
    """Say which test parts were cut down to what they share."""
    return (
        f"The test parts differ ({'; '.join(common.parts)}): compared is what was forecast on "
        f"{len(common.days)} days that all have. Their validation days differ too, so the ranking "
        f"goes by {metric} itself, which flatters the first."
    )


def _label(row: Mapping[Any, Any], factors: Sequence[Factor]) -> str:
    """Name a run's group by what varies; where nothing does, by what it is."""
    if not factors:
        shown = [f"{key}={row[key]}" for key in ("model", "pooling", "norm") if row.get(key)]
        return " ".join(shown) or "all runs"
    labels = [factor.label(factor.level(row)) for factor in factors]
    return " ".join(filter(None, labels)) or f"no {factors[0].name}"


def _scores(runs: "pd.DataFrame", metric: str, criterion: str) -> tuple["pd.DataFrame", list[str]]:
    """Return the runs that count, one per group and seed, and what was left out."""
    ratio = runs.get(metric.replace("test/", "ratio/")) if metric != CRITERION else float("nan")
    table = runs.assign(criterion=runs[criterion], metric=runs[metric], ratio=ratio)
    finished = table[table["status"] == "finished"]
    counted = finished[np.isfinite(finished[["criterion", "metric"]].astype(float)).all(axis=1)]
    in_time = counted.assign(at=counted["started"].astype(str)).sort_values("at", kind="stable")
    latest = in_time.drop_duplicates(["group", "seed"], keep="last")
    notes = []
    if len(counted) < len(finished):
        notes.append(
            f"{count_of(len(finished) - len(counted), 'run')} finished without a number "
            f"({criterion} or {metric} is not finite) and cannot count: "
            f"{', '.join(finished.drop(counted.index)['run'])}."
        )
    if len(latest) < len(counted):
        notes.append(
            f"{count_of(len(counted) - len(latest), 'run')} repeated by later ones with the same "
            "config and seed: the latest counts, for a repetition is no further seed."
        )
    commits = {commit for commit in latest["commit"] if commit}
    if len(commits) > 1:
        notes.append(f"The runs were made by {len(commits)} different commits of the code.")
    return latest.sort_index(), notes


def _baseline(runs: "pd.DataFrame", metric: str) -> float:
    column = metric.replace("test/", "baseline/")
    return float(runs[column].mean()) if column != CRITERION else float("nan")


def _compare_days(
    groups: Sequence[Group], daily: DailyLosses, notes: list[str]
) -> tuple[list[Group], float | None]:
    """Add the tests over days; return the groups and the set's p-value of the baseline."""
    compared = _with_recipes([_with_days(group, daily, groups[0].label) for group in groups])
    if len(daily.date) < FEWEST_DAYS:
        notes.append(
            f"{len(daily.date)} test {daily.step}s are too few for a model confidence set "
            f"({FEWEST_DAYS} or more)."
        )
        return compared, None
    labels = list(daily.groups)
    losses = np.column_stack([*daily.groups.values(), daily.baseline])
    *p_values, baseline_p = confidence_set(losses, horizon=daily.horizon).tolist()
    in_set = dict(zip(labels, p_values, strict=True))
    return [replace(g, set_p=in_set.get(g.label)) for g in compared], baseline_p


def _with_days(group: Group, daily: DailyLosses, best: str) -> Group:
    """Compare a group's losses with the best group's and the baseline's, days alone and both."""
    losses, reference = daily.groups.get(group.label), daily.groups.get(best)
    if losses is None or len(losses) < 2:
        return group
    own, others = daily.by_seed[group.label], daily.by_seed.get(best, {})
    by_seed, bars = np.stack([*own.values()]), min(daily.horizon, len(losses) - 1)
    without = np.broadcast_to(daily.baseline, by_seed.shape)
    group = replace(
        group,
        days_to_baseline=diebold_mariano(losses, daily.baseline, bars),
        recipe_to_baseline=compare_recipes(by_seed, without, bars),
    )
    if reference is None or group.label == best:
        return group
    group = replace(group, days_to_best=diebold_mariano(losses, reference, bars))
    shared = [seed for seed in own if seed in others]
    if not shared:
        return group
    mine, theirs = (np.stack([side[seed] for seed in shared]) for side in (own, others))
    return replace(group, recipe_to_best=compare_recipes(mine, theirs, bars))


def _with_recipes(groups: Sequence[Group]) -> list[Group]:
    """Adjust the recipes' p-values for as many pairs of groups as there are."""
    found = [g.recipe_to_best.p_value if g.recipe_to_best else float("nan") for g in groups]
    adjusted = holm(found, pairs(sum(group.rank is not None for group in groups)))
    return [replace(group, recipe_p=p) for group, p in zip(groups, adjusted, strict=True)]
