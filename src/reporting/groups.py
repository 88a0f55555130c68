"""What the seeds tell of groups of runs, and of each factor by itself.

Groups are summed up, ranked and compared with the best; a factor's options are averaged over the
others and compared in the same way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from src.reporting.factors import Factor
from src.reporting.recipes import RecipeTest
from src.reporting.statistics import (
    DieboldMariano,
    Estimate,
    detectable,
    difference,
    estimate,
    holm,
    pairs,
)

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 56


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only.

    Args:
        label: what it is, as it would be typed.
        levels: its option of each factor.
        runs: runs of it, however they ended.
        criterion: over seeds, of what the ranking goes by.
        metric: over seeds, of what is compared.
        ratio: mean metric over that of the forecast that needs no model.
        rank: 1 for the best; None where no seed has a number.
        causes: how many seeds' diagnoses name each cause; `healthy` counts those that name none.
        zero_fraction: mean over seeds, of the gradient of the first weight.
        criterion_difference: to the best group over the seeds both have; None for the best.
        metric_difference: the same of the metric.
        holm_p: p-value of `metric_difference`, adjusted for the number of pairs of groups.
        detectable: the smallest `metric_difference` that would have been told from seed noise.
        days_to_best: Diebold-Mariano against the best group; positive where this one loses more.
        days_to_baseline: the same against the forecast that needs no model.
        set_p: p-value in the model confidence set.
        recipe_to_best: against the best group, over seeds and days together.
        recipe_to_baseline: the same against the forecast that needs no model.
        recipe_p: p-value of `recipe_to_best`, adjusted for the number of pairs of groups.
    """

    label: str
    levels: Mapping[str, str]
    runs: int
    criterion: Estimate
    metric: Estimate
    ratio: float
    rank: int | None = None
    causes: Mapping[str, int] = field(default_factory=dict)
    zero_fraction: float = float("nan")
    criterion_difference: Estimate | None = None
    metric_difference: Estimate | None = None
    holm_p: float = float("nan")
    detectable: float = float("nan")
    days_to_best: DieboldMariano | None = None
    days_to_baseline: DieboldMariano | None = None
    set_p: float | None = None
    recipe_to_best: RecipeTest | None = None
    recipe_to_baseline: RecipeTest | None = None
    recipe_p: float = float("nan")

    @property
    def name(self) -> str:
        """The label; where that is long its beginning, with the place in the ranking."""
        if len(self.label) <= LONGEST_NAME:
            return self.label
        return f"{self.label[: LONGEST_NAME - 6].rstrip()} ... (#{self.rank})"


def summarise(
    runs: "pd.DataFrame", scores: "pd.DataFrame", factors: Sequence[Factor], sign: int
) -> list[Group]:
    """Sum up each group over its seeds, rank the groups, and compare each with the best.

    Args:
        runs: all runs with a column `group`.
        scores: the ones that count, a row per group and seed: `criterion`, `metric`, `ratio`.
        factors: what varies.
        sign: 1 where a lower criterion is better, -1 where a higher one is.

    Returns:
        The groups, best first; those without a number last.
    """
    counted = dict(list(scores.groupby("group", sort=False)))
    nothing = scores.iloc[:0]
    groups = [
        _summary(str(label), members, counted.get(label, nothing), factors)
        for label, members in runs.groupby("group", sort=False)
    ]
    groups.sort(key=lambda group: (group.criterion.n == 0, sign * group.criterion.mean))
    if not groups or not groups[0].criterion.n:
        return groups
    ranked = [replace(g, rank=n) for n, g in enumerate(groups, start=1) if g.criterion.n]
    best = counted[ranked[0].label]
    compared = [ranked[0], *(_against(g, counted[g.label], best) for g in ranked[1:])]
    return [compared[0], *_adjusted(compared[1:]), *groups[len(ranked) :]]


def _summary(
    label: str, members: "pd.DataFrame", scores: "pd.DataFrame", factors: Sequence[Factor]
) -> Group:
    first = members.to_dict("records")[0]
    causes: Counter[str] = Counter()
    for found in scores["causes"].dropna():
        causes.update(set(found.split(", ")) if found else {"healthy"})
    return Group(
        label=label,
        levels={factor.name: factor.title(factor.level(first)) for factor in factors},
        runs=len(members),
        criterion=estimate(scores["criterion"]),
        metric=estimate(scores["metric"]),
        ratio=float(scores["ratio"].mean()),
        causes=dict(causes.most_common()),
        zero_fraction=float(scores["zero_fraction"].mean()),
    )


def _against(group: Group, scores: "pd.DataFrame", best: "pd.DataFrame") -> Group:
    """Compare a group with the best over the seeds both have."""
    paired = scores.merge(best, on="seed", suffixes=("", "_best"))
    return replace(
        group,
        criterion_difference=estimate(difference(paired["criterion"], paired["criterion_best"])),
        metric_difference=estimate(difference(paired["metric"], paired["metric_best"])),
    )


@dataclass(frozen=True)
class Option:
    """One option of a factor, averaged over the combinations of the others.

    Args:
        title: the option.
        criterion: over seeds, of what the ranking goes by.
        metric: over seeds, of what is compared.
        criterion_difference: to the best option, seed by seed; None for the best.
        metric_difference: the same of the metric.
        holm_p: p-value of `metric_difference`, adjusted for the number of pairs of options.
        detectable: the smallest `metric_difference` that would have been told from seed noise.
    """

    title: str
    criterion: Estimate
    metric: Estimate
    criterion_difference: Estimate | None = None
    metric_difference: Estimate | None = None
    holm_p: float = float("nan")
    detectable: float = float("nan")


_Compared = TypeVar("_Compared", Group, Option)


def _adjusted(others: Sequence[_Compared]) -> list[_Compared]:
    """Return what was compared with the best, with p-values for as many pairs as there are."""
    differences = [other.metric_difference or estimate([]) for other in others]
    tests = pairs(len(others) + 1)
    adjusted = holm([one.p_value for one in differences], tests)
    return [
        replace(other, holm_p=p, detectable=detectable(one, tests))
        for other, one, p in zip(others, differences, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class Effect:
    """A factor's options, best first; none where they cannot be compared.

    Args:
        factor: its name.
        options: best first.
        combinations: combinations of the other factors that were run with every option.
    """

    factor: str
    options: tuple[Option, ...]
    combinations: int

    @property
    def first(self) -> tuple[Option, ...]:
        """The options whose criterion is the best, but for rounding: several are a tie."""
        best = [option.criterion.mean for option in self.options[:1]]
        return tuple(o for o in self.options if not difference(o.criterion.mean, best[0]))


def find_effects(
    scores: Sequence[Mapping[Any, Any]], factors: Sequence[Factor], sign: int
) -> tuple[Effect, ...]:
    """Compare each factor's options over what they have in common.

    Only combinations of the other factors count that were run with every option under the same
    seed, so that no option gains from easier company. Their mean per seed is one observation: the
    seeds, not the combinations, are what another experiment would draw anew.

    Args:
        scores: `seed`, `criterion`, `metric` and the factors' keys of every run that counts.
        factors: what varies.
        sign: 1 where a lower criterion is better, -1 where a higher one is.

    Returns:
        An effect per factor; none where only one factor varies, for it has no company.
    """
    if len(factors) < 2:
        return ()
    return tuple(_effect(scores, factor, factors, sign) for factor in factors)


def _effect(
    scores: Sequence[Mapping[Any, Any]], factor: Factor, factors: Sequence[Factor], sign: int
) -> Effect:
    cells: dict[tuple[str, ...], dict[Any, tuple[float, float]]] = {}
    for row in scores:
        company = tuple(other.level(row) for other in factors if other is not factor)
        block = company, row["seed"]
        cells.setdefault(factor.level(row), {})[block] = (row["criterion"], row["metric"])
    shared = [b for b in next(iter(cells.values()), ()) if all(b in own for own in cells.values())]
    if len(cells) < 2 or not shared:
        return Effect(factor.name, (), 0)
    by_seed = {level: _means_by_seed(blocks, shared) for level, blocks in cells.items()}
    order = sorted(by_seed, key=lambda level: sign * by_seed[level][:, 0].mean())
    best = by_seed[order[0]]
    options = [_option(factor.title(level), by_seed[level], best) for level in order]
    options[1:] = _adjusted(options[1:])
    return Effect(factor.name, tuple(options), len({company for company, _ in shared}))


def _means_by_seed(blocks: Mapping[Any, tuple[float, float]], shared: Sequence[Any]) -> np.ndarray:
    """Return criterion and metric (seeds, 2), averaged over the shared combinations of a seed."""
    seeds = sorted({seed for _, seed in shared}, key=str)
    return np.array(
        [np.mean([blocks[b] for b in shared if b[1] == seed], axis=0) for seed in seeds]
    )


def _option(title: str, values: np.ndarray, best: np.ndarray) -> Option:
    option = Option(title, estimate(values[:, 0]), estimate(values[:, 1]))
    if values is best:
        return option
    criterion, metric = (estimate(difference(values[:, i], best[:, i])) for i in (0, 1))
    return replace(option, criterion_difference=criterion, metric_difference=metric)
