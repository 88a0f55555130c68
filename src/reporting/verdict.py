"""Says in plain sentences what a comparison shows, and what it does not."""

import math
from collections.abc import Sequence

from src.reporting.comparison import Comparison
from src.reporting.day_verdict import days_sentences
from src.reporting.groups import Effect, Group, Option
from src.reporting.losses import METRICS
from src.reporting.standing import ALPHA, Standing, standing
from src.reporting.statistics import difference
from src.reporting.text import count_of, interval, listed, number, span

FEW_SEEDS = 5
_UNSHOWN = ", but is not shown to be better than the next"
_NEXT = {
    "same": _UNSHOWN,
    "unknown": _UNSHOWN,
    "better": ", but the next is distinguishably better on the test part",
}
"""What the first is told with, by how the next stands to it."""


def verdict(comparison: Comparison) -> list[str]:
    """Return the answer: which group to use, and whether its lead is real.

    Args:
        comparison: groups tested on the same days.

    Returns:
        Sentences, the most important first.
    """
    ranked = comparison.ranked
    if not ranked:
        return ["No run finished with a number: there is nothing to compare."]
    sentences = [_first(comparison)]
    if len(ranked) > 1:
        whom = "" if ranked[1] in comparison.first else "the runner-up, "
        sentences.append(f"To {whom}{ranked[1].name}: {_told(ranked[1], comparison)}.")
    if len(ranked) > 2:
        sentences.append(_others(comparison))
    sentences += [_effect(effect, comparison) for effect in comparison.effects if effect.options]
    sentences += days_sentences(comparison)
    sentences += _few(comparison)
    lacking = [g for g in ranked if g.metric.n < g.runs]
    if lacking:
        shown = ", ".join(f"{g.name} ({g.metric.n} of {g.runs})" for g in lacking)
        sentences.append(f"Not every run counts, so these means may flatter: {shown}.")
    return sentences


def _few(comparison: Comparison) -> list[str]:
    """Say what so few seeds as two groups have in common could have found at all."""
    apart = [g.metric_difference for g in comparison.ranked[1:]]
    shared = [one.n for one in apart if one is not None and one.n]
    if not shared or min(shared) >= FEW_SEEDS:
        return []
    if max(shared) < 2:
        return ["All this rests on 1 seed: nothing here can be told from seed noise."]
    sizes = [g.detectable for g in comparison.ranked[1:] if g.detectable > 0]
    least = (
        f"; among {count_of(len(comparison.ranked), 'group')} a difference to the first beyond "
        f"±{span(sizes)} in {comparison.metric} would have been found"
        if sizes
        else ""
    )
    low, high = min(shared), max(shared)
    seeds = count_of(high, "seed") if low == high else f"{low} to {high} seeds"
    return [f"All this rests on {seeds}{least}."]


def _first(comparison: Comparison) -> str:
    best, metric, tied = comparison.ranked[0], comparison.metric, comparison.first
    seeds = count_of(best.metric.n, "seed")
    lead = f"{best.label} ranks first" if len(comparison.ranked) > 1 else best.label
    if len(tied) > 1:
        names = listed([group.label for group in tied])
        lead = f"{names} are equal in {comparison.criterion}: none is first; {best.label}"
    elif len(comparison.ranked) > 1 and best.metric.n == 1:
        lead += " on one seed, which says nothing of seed noise"
    elif len(comparison.ranked) > 1:
        lead += _NEXT.get(standing(comparison.ranked[1], metric), "")
    values = f"{comparison.criterion} {number(best.criterion.mean)} over {seeds}"
    if metric != comparison.criterion:
        values += f", {metric} {number(best.metric.mean)}"
    if math.isfinite(best.ratio):
        values += f' ({number(best.ratio)} of "{METRICS[metric].baseline}")'
    return f"{lead}: {values}."


def _told(compared: Group | Option, comparison: Comparison) -> str:
    """Say how far something is from the first, and whether seed noise alone would explain it."""
    found, metric = compared.metric_difference, comparison.metric
    assert found is not None
    if not found.n:
        return "no seed in common, so nothing can be said about their difference"
    if not found.mean and not found.sd > 0:
        return f"no difference: {metric} is the same ({count_of(found.n, 'seed')})"
    apart = f"the difference, {metric} {number(found.mean, '+')},"
    if math.isnan(found.p_value):
        return f"{apart} comes from one seed and cannot be told from seed noise (n=1)"
    facts = f"95% interval {interval(found, '+')}, {found.n} seeds"
    how = standing(compared, metric)
    if how != "same":
        toward = " but in its favour: validation and test disagree" if how == "better" else ""
        return f"{apart} is distinguishable from seed noise{toward} ({facts})"
    if found.p_value < ALPHA:
        facts += f"; alone it would be, not among so many comparisons: Holm p {compared.holm_p:.2f}"
    facts += f"; one beyond ±{number(compared.detectable)} would have been"
    return f"{apart} is not distinguishable from seed noise ({facts})"


def _others(comparison: Comparison) -> str:
    others = comparison.ranked[1:]
    by: dict[Standing, list[str]] = {"worse": [], "better": [], "same": [], "unknown": []}
    for group in others:
        by[standing(group, comparison.metric)].append(group.name)
    words = {
        "worse": "distinguishably worse",
        "better": f"distinguishably better on {comparison.metric}",
        "same": "not distinguishable from it",
        "unknown": "without seeds enough to say",
    }
    parts = [
        f"{len(labels)} {words[how]}{_by(how, labels, comparison)} ({listed(labels)})"
        for how, labels in by.items()
        if labels
    ]
    return f"Of the {len(others)} other groups: {'; '.join(parts)}."


def _by(how: Standing, labels: Sequence[str], comparison: Comparison) -> str:
    """Say by how much groups are apart from the first, where that is more than noise."""
    if how in ("same", "unknown"):
        return ""
    apart = [g.metric_difference for g in comparison.ranked[1:] if g.name in set(labels)]
    return f" by {span([abs(one.mean) for one in apart if one is not None])}"


def _effect(effect: Effect, comparison: Comparison) -> str:
    best, second = effect.options[:2]
    over = count_of(effect.combinations, "combination")
    first = f"{best.title} ranks first"
    if not difference(best.criterion.mean, second.criterion.mean):
        first = f"{best.title} and {second.title} are equal in {comparison.criterion}"
    lead = f"{effect.factor}: {first} on average over {over} of the rest"
    worse = [o.title for o in effect.options[2:] if standing(o, comparison.metric) == "worse"]
    also = f"; distinguishably worse: {listed(worse)}" if worse else ""
    return f"{lead}; to {second.title}, {_told(second, comparison)}{also}."
