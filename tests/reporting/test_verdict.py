"""The words of a comparison, of numbers that are known."""

import math
from types import SimpleNamespace

import pytest

from src.reporting.standing import ALPHA
from src.reporting.statistics import Estimate
from src.reporting.verdict import _few, _first, _told, verdict

NAN = math.nan


def difference(mean=0.5, sd=0.5, n=3, p=0.2):
    return Estimate(mean, sd, mean - 1, mean + 1, n, p)


def group(name, apart=None, *, holm_p=0.9, detectable=0.5, n=3, runs=3, ratio=0.25):
    return SimpleNamespace(
        **{"name": name, "label": name, "metric_difference": apart, "holm_p": holm_p},
        **{"detectable": detectable, "runs": runs, "ratio": ratio},
        criterion=Estimate(0.1, 0.1, 0.0, 0.2, n, 0.1),
        metric=Estimate(2.0, 0.1, 0.0, 0.2, n, 0.1),
        days_to_baseline=None,
    )


def compared(*groups, criterion="val/loss"):
    return SimpleNamespace(
        **{"ranked": groups, "first": groups[:1], "metric": "test/rmse", "criterion": criterion},
        **{"effects": (), "daily": None},
    )


def test_the_first_is_told_with_its_criterion_metric_and_ratio():
    best = group("a")
    assert _first(compared(best)) == (
        'a: val/loss 0.1000 over 3 seeds, test/rmse 2.000 (0.2500 of "tomorrow = today").'
    )
    assert _first(compared(group("a", ratio=NAN), group("b", difference()))) == (
        "a ranks first, but is not shown to be better than the next: val/loss 0.1000 over 3 seeds, "
        "test/rmse 2.000."
    )
    assert _first(compared(group("a", n=1, ratio=NAN), criterion="test/rmse")) == (
        "a: test/rmse 0.1000 over 1 seed."
    )


@pytest.mark.parametrize(("n", "said"), [(1, " on one seed, which"), (2, ", but is not shown")])
def test_one_seed_says_nothing_of_noise_and_two_say_something(n, said):
    assert _first(compared(group("a", n=n), group("b", difference()))).startswith(
        f"a ranks first{said}"
    )


def test_two_groups_have_no_others_and_three_have():
    best, next_, last = group("a"), group("b", difference()), group("c", difference())
    assert not any("other groups" in s for s in verdict(compared(best, next_)))
    three = verdict(compared(best, next_, last))
    assert three[2] == "Of the 2 other groups: 2 not distinguishable from it (b, c)."
    assert not any("Not every run counts" in sentence for sentence in three)
    lacking = verdict(compared(best, group("b", difference(), n=2)))
    assert lacking[-1] == "Not every run counts, so these means may flatter: b (2 of 3)."


@pytest.mark.parametrize(
    ("mean", "sd", "p", "holm_p", "said"),
    [
        (0.0, 0.0, 1.0, 1.0, "no difference: test/rmse is the same (3 seeds)"),
        (
            *(0.0, 0.5, 1.0, 1.0),
            "the difference, test/rmse +0.0000, is not distinguishable from seed noise (95% "
            "interval -1.000 to +1.000, 3 seeds; one beyond ±0.5000 would have been)",
        ),
        (
            *(0.5, 0.5, 0.049, 0.15),
            "the difference, test/rmse +0.5000, is not distinguishable from seed noise (95% "
            "interval -0.5000 to +1.500, 3 seeds; alone it would be, not among so many "
            "comparisons: Holm p 0.15; one beyond ±0.5000 would have been)",
        ),
        (
            *(0.5, 0.5, ALPHA, 0.15),
            "the difference, test/rmse +0.5000, is not distinguishable from seed noise (95% "
            "interval -0.5000 to +1.500, 3 seeds; one beyond ±0.5000 would have been)",
        ),
        (
            *(0.5, 0.5, 0.01, 0.03),
            "the difference, test/rmse +0.5000, is distinguishable from seed noise (95% interval "
            "-0.5000 to +1.500, 3 seeds)",
        ),
        (
            *(-0.5, 0.5, 0.01, 0.03),
            "the difference, test/rmse -0.5000, is distinguishable from seed noise but in its "
            "favour: validation and test disagree (95% interval -1.500 to +0.5000, 3 seeds)",
        ),
    ],
)
def test_a_difference_is_told_with_what_it_is_worth(mean, sd, p, holm_p, said):
    other = group("b", difference(mean, sd, p=p), holm_p=holm_p)
    assert _told(other, compared(group("a"), other)) == said


def few(*others):
    return _few(compared(group("a"), *others))


def test_four_seeds_are_few_and_five_are_not():
    assert few(group("b", difference(n=4))) == [
        "All this rests on 4 seeds; among 2 groups a difference to the first beyond ±0.5000 in "
        "test/rmse would have been found."
    ]
    assert few(group("b", difference(n=5))) == []
    assert few() == []


def test_what_could_have_been_found_is_told_where_it_is_known():
    assert few(group("b", difference(n=2), detectable=0.0)) == ["All this rests on 2 seeds."]
    assert few(group("b", difference(n=2)), group("c", difference(n=3), detectable=0.7)) == [
        "All this rests on 2 to 3 seeds; among 3 groups a difference to the first beyond ±0.5000 "
        "to 0.7000 in test/rmse would have been found."
    ]
    assert few(group("b", difference(n=1))) == [
        "All this rests on 1 seed: nothing here can be told from seed noise."
    ]
    assert few(group("b", difference(n=0))) == []
