"""What the test days are said to show: the words, of numbers that are known."""

from types import SimpleNamespace

import pytest

from src.reporting.day_verdict import days_sentences
from src.reporting.standing import ALPHA
from src.reporting.statistics import DieboldMariano

NAN = float("nan")
WEIGHTS = (
    "Tests over hours take the trained weights as given: they are about these models, not about "
    "their recipes trained with another seed."
)


def group(name, statistic=-1.0, p=0.2, relative=-0.1, set_p=None, recipe=None, recipe_p=NAN):
    days = DieboldMariano(statistic, p, 50, relative)
    return SimpleNamespace(
        name=name, days_to_baseline=days, set_p=set_p, recipe_to_best=recipe, recipe_p=recipe_p
    )


def recipe(relative, least):
    """Return a comparison of recipes that finds `least` for each pair compared."""
    return SimpleNamespace(relative=relative, detectable=lambda tests: tests * least)


def told(*groups, set_p=None):
    comparison = SimpleNamespace(
        ranked=groups, daily=1, metric="test/rmse", step="hour", baseline_set_p=set_p
    )
    return days_sentences(comparison)


@pytest.mark.parametrize(
    ("statistic", "p", "relative", "said"),
    [
        (-2, 0.01, -0.1, "loses 10.0% less than {}, distinguishably better ({} 0.010)."),
        (2, 0.01, 0.1, "loses 10.0% more than {}, distinguishably worse ({} 0.010)."),
        (2, ALPHA, 0.1, "loses 10.0% more than {}, which is not distinguishable ({} 0.050)."),
        (2, 0.06, 0.1, "loses 10.0% more than {}, which is not distinguishable ({} 0.060)."),
        (
            *(-2, 0.01, -0.0009),
            "loses 0.1% less than {}, distinguishably better, and hardly so ({} 0.010).",
        ),
        (-2, 0.01, -0.001, "loses 0.1% less than {}, distinguishably better ({} 0.010)."),
        (0.5, 0.01, 0.1, "loses 10.0% more than {}, distinguishably worse ({} 0.010)."),
        (0, 1.0, 0.0, "loses as much as {}, which is not distinguishable ({} 1.000)."),
    ],
)
def test_the_first_group_is_told_against_no_model_size_before_p(statistic, p, relative, said):
    said = said.format('"tomorrow = today" (squared error)', "Diebold-Mariano p")
    first = told(group("a", statistic, p, relative))[0]
    assert first == f"Over the 50 test hours a {said}"


def test_without_days_or_a_test_nothing_is_said():
    best = group("a")
    best.days_to_baseline = None
    assert told(best) == []


def test_the_confidence_set_names_what_it_keeps_and_drops():
    groups = [group("a", set_p=1.0), group("b", set_p=ALPHA), group("c", set_p=0.06), group("d")]
    dropped = 'The 95% model confidence set keeps 2 of 3 groups and drops "tomorrow = today": a, c.'
    assert told(*groups, set_p=ALPHA)[1] == dropped
    assert told(*groups, set_p=0.06)[1] == (
        'The 95% model confidence set keeps 2 of 3 groups and "tomorrow = today": '
        "no group is shown to predict better than no model."
    )
    assert told(group("a", set_p=ALPHA), group("b", set_p=0.0), set_p=1.0)[1] == (
        'The 95% model confidence set drops all 2 groups and keeps "tomorrow = today" alone: '
        "to predict without a model is shown to be better than any of them."
    )
    assert told(group("a", set_p=0.0), set_p=1.0)[1] == (
        'The 95% model confidence set drops the one group and keeps "tomorrow = today" alone: '
        "to predict without a model is shown to be better than it."
    )
    for none in (0.01, 0.0):
        assert told(group("a", set_p=0.01), set_p=none)[1] == (
            'The 95% model confidence set keeps 0 of 1 group and drops "tomorrow = today".'
        )


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (
            {"a": (1, 0.01, 0.1), "b": (1, 0.03, 0.2)},
            "All 2 groups lose more than {}, by 10.0% to 20.0%; "
            "2 distinguishably (Holm p at most 0.030): a, b.",
        ),
        (
            {"a": (1, 1e-5, 0.1), "b": (-1, 0.03, -0.2)},
            "1 of 2 groups loses more than {}, by 10.0%; 1 distinguishably (Holm p <0.001): a.",
        ),
        (  # three tests: 3 x 0.01 and then 2 x 0.03
            {"a": (1, 0.01, 0.1), "b": (1, 0.03, 0.2), "c": (-1, 0.5, -0.1)},
            "2 of 3 groups lose more than {}, by 10.0% to 20.0%; "
            "1 distinguishably (Holm p at most 0.030): a.",
        ),
        (
            {"a": (-1, 0.01, -0.1), "b": (1, 0.04, 0.2), "c": (-1, 0.5, -0.1)},
            "1 of 3 groups loses more than {}, by 20.0%; none is distinguishably worse.",
        ),
        (
            {"a": (0.5, ALPHA, 0.1)},
            "a loses more than {}, by 10.0%; none is distinguishably worse.",
        ),
        (
            {"a": (1, 0.01, 0.1)},
            "a loses more than {}, by 10.0%; 1 distinguishably (Holm p at most 0.010): a.",
        ),
    ],
)
def test_who_loses_more_than_no_model_is_told_with_p_values_of_holm(tests, said):
    found = told(*(group(name, *numbers) for name, numbers in tests.items()))
    assert found[1:] == [said.format('"tomorrow = today"'), WEIGHTS]


def test_where_nobody_loses_more_nothing_is_said_of_it():
    assert told(group("a", -1), group("b", 0, relative=0.0))[1:] == [WEIGHTS]


def test_recipes_are_told_apart_by_their_own_test():
    near, far = recipe(0.01, 0.1), recipe(0.2, 0.1)
    groups = [group("a"), group("b", recipe=near, recipe_p=ALPHA)]
    assert told(*groups, group("c", recipe=far, recipe_p=0.04))[-1] == (
        "As recipes, seeds and hours both drawn anew, 1 of 2 other groups can be told from a: "
        "c (+20.0%, p 0.040)."
    )


def test_recipes_that_cannot_be_told_apart_come_with_what_would_have_been():
    groups = [
        group("a"),
        group("b", recipe=recipe(0.01, 0.01), recipe_p=0.06),
        group("c", recipe=recipe(0.01, 0.02), recipe_p=0.9),
        group("d", recipe=recipe(0.01, 0.9)),  # without a p-value it is not tested
    ]
    assert told(*groups)[-1] == (  # four groups are six pairs
        "As recipes, seeds and hours both drawn anew, none of 2 other groups can be told from a: "
        "a difference beyond ±6.0% to 12.0% of its loss would have been."
    )
    unknown = told(group("a"), group("b", recipe=recipe(0.01, 0.0), recipe_p=0.06))[-1]
    assert unknown.endswith("both drawn anew, b cannot be told from a.")


def test_recipes_without_two_seeds_in_common_leave_it_open():
    open_ = "Of recipes nothing can be said: no group shares two seeds with a."
    assert told(group("a"), group("b", recipe=recipe(0.1, 0.1)))[-1] == open_
    assert told(group("a"), group("b"))[-1] == WEIGHTS
