"""Runs that differ in the seed only, as groups: summed up, ranked, compared with the best."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from src.reporting.factors import Factor
from src.reporting.statistics import DieboldMariano, Estimate, estimate, holm

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
        holm_p: p-value of `metric_difference`, adjusted for the number of groups.
        days_to_best: Diebold-Mariano against the best group; positive where this one loses more.
        days_to_baseline: the same against the forecast that needs no model.
        set_p: p-value in the model confidence set.
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
    days_to_best: DieboldMariano | None = None
    days_to_baseline: DieboldMariano | None = None
    set_p: float | None = None

    @property
    def name(self) -> str:
        """The label, or where that is long the group's place in the ranking."""
        return self.label if len(self.label) <= LONGEST_NAME else f"group {self.rank}"


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
    adjusted = holm([g.metric_difference.p_value for g in compared if g.metric_difference])
    compared[1:] = [replace(g, holm_p=p) for g, p in zip(compared[1:], adjusted, strict=True)]
    return [*compared, *groups[len(ranked) :]]


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
        criterion_difference=estimate(paired["criterion"] - paired["criterion_best"]),
        metric_difference=estimate(paired["metric"] - paired["metric_best"]),
    )
