"""What each factor does by itself: its options compared, averaged over the other factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from src.reporting.factors import Factor
from src.reporting.statistics import Estimate, estimate, holm


@dataclass(frozen=True)
class Option:
    """One option of a factor, averaged over the combinations of the others.

    Args:
        title: the option.
        criterion: over seeds, of what the ranking goes by.
        metric: over seeds, of what is compared.
        criterion_difference: to the best option, seed by seed; None for the best.
        metric_difference: the same of the metric.
        holm_p: p-value of `metric_difference`, adjusted for the number of options.
    """

    title: str
    criterion: Estimate
    metric: Estimate
    criterion_difference: Estimate | None = None
    metric_difference: Estimate | None = None
    holm_p: float = float("nan")


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
    shared = set.intersection(*(set(blocks) for blocks in cells.values())) if cells else set()
    if len(cells) < 2 or not shared:
        return Effect(factor.name, (), 0)
    by_seed = {level: _means_by_seed(blocks, shared) for level, blocks in cells.items()}
    order = sorted(by_seed, key=lambda level: sign * by_seed[level][:, 0].mean())
    best = by_seed[order[0]]
    options = [_option(factor.title(level), by_seed[level], best) for level in order]
    adjusted = holm([o.metric_difference.p_value for o in options[1:] if o.metric_difference])
    options[1:] = [replace(o, holm_p=p) for o, p in zip(options[1:], adjusted, strict=True)]
    return Effect(factor.name, tuple(options), len({company for company, _ in shared}))


def _means_by_seed(blocks: Mapping[Any, tuple[float, float]], shared: set[Any]) -> np.ndarray:
    """Return criterion and metric (seeds, 2), averaged over the shared combinations of a seed."""
    seeds = sorted({seed for _, seed in shared}, key=str)
    return np.array(
        [np.mean([blocks[b] for b in shared if b[1] == seed], axis=0) for seed in seeds]
    )


def _option(title: str, values: np.ndarray, best: np.ndarray) -> Option:
    option = Option(title, estimate(values[:, 0]), estimate(values[:, 1]))
    if values is best:
        return option
    criterion, metric = estimate(values[:, 0] - best[:, 0]), estimate(values[:, 1] - best[:, 1])
    return replace(option, criterion_difference=criterion, metric_difference=metric)
