"""Says in plain sentences what a comparison shows, and what it does not."""

import math
from typing import Literal

from src.reporting.comparison import Comparison
from src.reporting.days import METRICS
from src.reporting.groups import Effect, Group, Option
from src.reporting.statistics import LEVEL
from src.reporting.text import count_of, interval, number, p_text

ALPHA = 1 - LEVEL
FEW_SEEDS = 5
Standing = Literal["worse", "better", "same", "unknown"]


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
    sentences = [_best(comparison)]
    if len(ranked) > 1:
        sentences.append(f"To the runner-up, {ranked[1].name}: {_told(ranked[1], comparison)}.")
    if len(ranked) > 2:
        sentences.append(_others(comparison))
    sentences += [_effect(effect, comparison) for effect in comparison.effects if effect.options]
    sentences += _days(comparison)
    seeds = max(group.metric.n for group in ranked)
    if len(ranked) > 1 and seeds < FEW_SEEDS:
        sentences.append(
            f"All this rests on {count_of(seeds, 'seed')}: more seeds can tell finer differences."
        )
    lacking = [g for g in ranked if g.metric.n < g.runs]
    if lacking:
        shown = ", ".join(f"{g.name} ({g.metric.n} of {g.runs})" for g in lacking)
        sentences.append(f"Not every run counts, so these means may flatter: {shown}.")
    return sentences


def standing(compared: Group | Option, metric: str) -> Standing:
    """Say how a group stands to the best one on the metric, seed noise considered.

    A difference counts as real if its p-value, adjusted for the number of comparisons (Holm), is
    below 5%.
    """
    if compared.metric_difference is None or math.isnan(compared.holm_p):
        return "unknown"
    if compared.holm_p >= ALPHA:
        return "same"
    higher = compared.metric_difference.mean > 0
    return "better" if higher == METRICS[metric].higher_is_better else "worse"


def _best(comparison: Comparison) -> str:
    best, metric = comparison.ranked[0], comparison.metric
    seeds = count_of(best.metric.n, "seed")
    lead = f"{best.label} is best" if len(comparison.ranked) > 1 else best.label
    values = f"{comparison.criterion} {number(best.criterion.mean)} over {seeds}"
    if metric != comparison.criterion:
        values += f", {metric} {number(best.metric.mean)}"
    if math.isfinite(best.ratio):
        values += f' ({number(best.ratio)} of "{METRICS[metric].baseline}")'
    return f"{lead}: {values}."


def _told(compared: Group | Option, comparison: Comparison) -> str:
    """Say how far something is from the best, and whether seed noise alone would explain it."""
    difference, metric = compared.metric_difference, comparison.metric
    assert difference is not None
    if not difference.n:
        return "no seed in common, so nothing can be said about their difference"
    apart = f"the difference, {metric} {number(difference.mean, '+')},"
    if math.isnan(difference.p_value):
        return f"{apart} comes from one seed and cannot be told from seed noise (n=1)"
    facts = f"95% interval {interval(difference, '+')}, {difference.n} seeds"
    how = standing(compared, metric)
    if how != "same":
        toward = " but in its favour: validation and test disagree" if how == "better" else ""
        return f"{apart} is distinguishable from seed noise{toward} ({facts})"
    if difference.p_value < ALPHA:
        facts += f"; alone it would be, not among so many comparisons: Holm p {compared.holm_p:.2f}"
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
        f"{len(labels)} {words[how]} ({_list(labels)})" for how, labels in by.items() if labels
    ]
    return f"Of the {len(others)} other groups: {'; '.join(parts)}."


def _list(labels: list[str], shown: int = 4) -> str:
    more = len(labels) - shown
    return ", ".join(labels[:shown]) + (f" and {more} more" if more > 0 else "")


def _effect(effect: Effect, comparison: Comparison) -> str:
    best, second = effect.options[:2]
    over = count_of(effect.combinations, "combination")
    lead = f"{effect.factor}: {best.title} is best on average over {over} of the rest"
    worse = [o.title for o in effect.options[2:] if standing(o, comparison.metric) == "worse"]
    also = f"; distinguishably worse: {_list(worse)}" if worse else ""
    return f"{lead}; to {second.title}, {_told(second, comparison)}{also}."


def _days(comparison: Comparison) -> list[str]:
    """Say what the test days tell: the best group against no model, and the confidence set."""
    best, daily = comparison.ranked[0], comparison.daily
    if daily is None or best.days_to_baseline is None:
        return []
    baseline, test = METRICS[comparison.metric].baseline, best.days_to_baseline
    how = "worse than" if test.statistic > 0 else "better than"
    how = how if test.p_value < ALPHA else "not distinguishable from"
    sentences = [
        f"Over the {test.n} test days {best.name} is {how} "
        f'"{baseline}" (Diebold-Mariano p {p_text(test.p_value)}).'
    ]
    if comparison.baseline_set_p is None:
        return sentences
    groups = [g for g in comparison.ranked if g.set_p is not None]
    kept = [g.name for g in groups if g.set_p is not None and g.set_p > ALPHA]
    held = f"The 95% model confidence set keeps {len(kept)} of {count_of(len(groups), 'group')}"
    if comparison.baseline_set_p > ALPHA:
        end = f'and "{baseline}": no group is shown to predict better than no model'
    else:
        end = f'and drops "{baseline}"' + (f": {_list(kept)}" if kept else "")
    return [*sentences, f"{held} {end}."]
