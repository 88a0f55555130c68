"""Says in plain sentences what the test days show: of these models, and of the recipes."""

from collections.abc import Sequence

from src.reporting.comparison import Comparison
from src.reporting.groups import Group
from src.reporting.losses import METRICS
from src.reporting.standing import ALPHA
from src.reporting.statistics import DieboldMariano, holm, pairs
from src.reporting.text import change, count_of, listed, p_text, percents

HARDLY = 0.001
"""Of what is lost: a difference that no decision hangs on, however sure it is."""


def days_sentences(comparison: Comparison) -> list[str]:
    """Return what the test days tell: against no model, the confidence set, and the recipes."""
    best, daily = comparison.ranked[0], comparison.daily
    if daily is None or best.days_to_baseline is None:
        return []
    baseline, test = METRICS[comparison.metric].baseline, best.days_to_baseline
    sentences = [
        f'Over the {test.n} test {comparison.step}s {best.name} {_loses(test)} "{baseline}" '
        f"({_unit(comparison)}), {_how(test)} (Diebold-Mariano p {p_text(test.p_value)})."
    ]
    sentences += [_set(comparison)] if comparison.baseline_set_p is not None else []
    sentences += _below(comparison)
    sentences.append(
        f"Tests over {comparison.step}s take the trained weights as given: they are about these "
        "models, not about their recipes trained with another seed."
    )
    return sentences + _recipes(comparison)


def _unit(comparison: Comparison) -> str:
    return METRICS[comparison.metric].unit.split(",")[0]


def _loses(test: DieboldMariano) -> str:
    if not test.statistic:
        return "loses as much as"
    size = change(test.relative).lstrip("+-")
    return f"loses {size} {'more' if test.statistic > 0 else 'less'} than"


def _how(test: DieboldMariano) -> str:
    if not test.p_value < ALPHA:
        return "which is not distinguishable"
    how = f"distinguishably {'worse' if test.statistic > 0 else 'better'}"
    return how + (", and hardly so" if abs(test.relative) < HARDLY else "")


def _set(comparison: Comparison) -> str:
    """Say what the model confidence set keeps."""
    baseline = METRICS[comparison.metric].baseline
    groups = [g for g in comparison.ranked if g.set_p is not None]
    kept = [g.name for g in groups if g.set_p is not None and g.set_p > ALPHA]
    if not kept and (comparison.baseline_set_p or 0.0) > ALPHA:
        dropped = "the one group" if len(groups) == 1 else f"all {len(groups)} groups"
        return (
            f'The 95% model confidence set drops {dropped} and keeps "{baseline}" alone: to '
            f"predict without a model is shown to be better than {'it' * (len(groups) == 1)}"
            f"{'any of them' * (len(groups) > 1)}."
        )
    held = f"The 95% model confidence set keeps {len(kept)} of {count_of(len(groups), 'group')}"
    if (comparison.baseline_set_p or 0.0) <= ALPHA:
        return f'{held} and drops "{baseline}"' + (f": {listed(kept)}." if kept else ".")
    return f'{held} and "{baseline}": no group is shown to predict better than no model.'


def _below(comparison: Comparison) -> list[str]:
    """Say which groups lose more than no model: all of them, or how many, and how surely."""
    tests = {g.name: g.days_to_baseline for g in comparison.ranked if g.days_to_baseline}
    adjusted = dict(zip(tests, holm([t.p_value for t in tests.values()]), strict=True))
    more = [name for name, test in tests.items() if test.statistic > 0]
    if not more:
        return []
    surely = [name for name in more if adjusted[name] < ALPHA]
    baseline = METRICS[comparison.metric].baseline
    who = f"{len(more)} of {count_of(len(tests), 'group')}"
    if len(more) == len(tests):
        who = f"All {len(tests)} groups" if len(tests) > 1 else more[0]
    verb = "loses" if len(more) == 1 else "lose"
    sizes = percents([tests[name].relative for name in more])
    end = f'{who} {verb} more than "{baseline}", by {sizes}'
    if not surely:
        return [f"{end}; none is distinguishably worse."]
    worst = p_text(max(adjusted[name] for name in surely))
    at_most = worst if worst.startswith("<") else f"at most {worst}"
    return [f"{end}; {len(surely)} distinguishably (Holm p {at_most}): {listed(surely)}."]


def _recipes(comparison: Comparison) -> list[str]:
    """Say which recipes are told apart where seeds and days are both drawn anew."""
    others = [g for g in comparison.ranked[1:] if g.recipe_to_best]
    tested = [g for g in others if g.recipe_p == g.recipe_p]
    if not others:
        return []
    first, who = comparison.ranked[0].name, count_of(len(tested), "other group")
    if not tested:
        return [f"Of recipes nothing can be said: no group shares two seeds with {first}."]
    told = [g for g in tested if g.recipe_p < ALPHA]
    lead = f"As recipes, seeds and {comparison.step}s both drawn anew,"
    if not told:
        least = _least(comparison, tested)
        none = f"none of {who} can" if len(tested) > 1 else f"{tested[0].name} cannot"
        return [f"{lead} {none} be told from {first}{least}."]
    names = listed([f"{g.name} ({_signed(g)}, p {p_text(g.recipe_p)})" for g in told])
    return [f"{lead} {len(told)} of {who} can be told from {first}: {names}."]


def _signed(group: Group) -> str:
    assert group.recipe_to_best is not None
    return change(group.recipe_to_best.relative)


def _least(comparison: Comparison, tested: Sequence[Group]) -> str:
    """Say what would have been found."""
    tests = pairs(len(comparison.ranked))
    sizes = [g.recipe_to_best.detectable(tests) for g in tested if g.recipe_to_best]
    sizes = [size for size in sizes if size > 0]
    return f": a difference beyond ±{percents(sizes)} of its loss would have been" if sizes else ""
