"""The tables of a report: every cell, of groups that are known."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from src.reporting import tables
from src.reporting.groups import Effect, Group, Option
from src.reporting.standing import ALPHA
from src.reporting.statistics import DieboldMariano, Estimate

KINDS = ("ranking", "differences", "days", "by_series", "coverage", "effects", "gradients")


def estimate(mean, sd=0.5, n=3, p=0.01):
    low, high = (mean - 1, mean + 1) if n > 1 else (math.nan, math.nan)
    return Estimate(mean, sd if n > 1 else math.nan, low, high, n, p)


def group(label, rank, mean=2.0, *, n=3, runs=3, levels=None, **more):
    levels = {"pooling": label} if levels is None else levels
    return Group(label, levels, runs, estimate(0.5, n=n), estimate(mean, n=n), 0.25, rank, **more)


def compared(*groups, factors=1, **more):
    known = {
        **{"metric": "test/rmse", "criterion": "val/loss", "baseline": 4.0, "test_set": "days"},
        **{"daily": None, "effects": (), "coverage": {}, "step": "hour"},
    }
    known["factors"] = [SimpleNamespace(name=f"f{n}") for n in range(factors)]
    ranked = [g for g in groups if g.rank]
    return SimpleNamespace(groups=groups, ranked=ranked, first=ranked[:1], **known | more)


@pytest.mark.parametrize(
    ("groups", "more", "expected"),
    [
        ([group("a", 1)], {}, ["ranking"]),
        ([group("a", 1), group("b", 2)], {}, ["ranking", "differences"]),
        ([group("a", 1, causes={"healthy": 1})], {}, ["ranking", "gradients"]),
        ([group("a", 1)], {"coverage": {("a", "own"): {}}}, ["ranking", "coverage"]),
        ([group("a", 1)], {"effects": [Effect("f", (), 0)]}, ["ranking"]),
        ([group("a", 1)], {"effects": [Effect("f", (1,), 1)]}, ["ranking", "effects"]),
        ([group("a", 1)], {"daily": SimpleNamespace(series={})}, ["ranking", "days"]),
        (
            [group("a", 1)],
            {"daily": SimpleNamespace(series={"A": {}})},
            ["ranking", "days", "by_series"],
        ),
    ],
)
def test_there_is_a_table_for_what_there_is_to_show(monkeypatch, groups, more, expected):
    for kind in KINDS:
        monkeypatch.setattr(tables, kind, lambda comparison, kind=kind: kind)
    assert tables.comparison_tables(compared(*groups, **more)) == expected


def test_a_ranking_has_options_seeds_and_both_means():
    table = tables.ranking(compared(group("a", 1), group("b", 2, n=1), group("c", None, n=0)))
    assert table.title == "Ranking on days"
    assert table.headers == (
        *("#", "f0", "seeds", "val/loss", "test/rmse"),
        *("95% interval", "ratio"),
    )
    assert table.rows[0] == (
        *("1", "a", "3", "0.5000 ± 0.5000", "2.000 ± 0.5000", "1.000 to 3.000", "0.2500"),
    )
    assert table.rows[1][:6] == ("2", "b", "1 of 3", "0.5000", "2.000", "n=1")
    assert table.rows[2][:3] == ("-", "c", "0 of 3")
    assert table.names == 2
    assert table.caption.endswith(' "tomorrow = today" has test/rmse 4.000.')


def test_a_ranking_by_the_metric_shows_it_once_and_without_a_baseline_none():
    shown = compared(group("a", 1), criterion="test/rmse", baseline=math.nan)
    table = tables.ranking(shown)
    assert table.headers == ("#", "f0", "seeds", "test/rmse", "95% interval", "ratio")
    assert table.caption == (
        "Ranked by test/rmse. Mean ± standard deviation and t interval over seeds."
    )


@pytest.mark.parametrize(("count", "columns"), [(0, False), (1, True), (3, True), (4, False)])
def test_up_to_three_factors_have_a_column_each(count, columns):
    assert tables._has_columns(range(count)) == columns


def test_a_spread_of_rounding_is_none():
    assert tables._mean(Estimate(100.0, 9e-6, 0, 0, 2, 0)) == "100.0 ± 0.0000"
    assert tables._mean(Estimate(100.0, 0.5, 0, 0, 2, 0)) == "100.0 ± 0.5000"
    assert tables._mean(Estimate(100.0, math.nan, 0, 0, 1, 0)) == "100.0"


def test_differences_say_by_how_much_and_whether_they_are_real():
    worse = group("b", 2, metric_difference=estimate(0.5), holm_p=0.01, detectable=0.25)
    same = group("c", 3, metric_difference=estimate(0.0), holm_p=0.9, detectable=0.25)
    alone = group("d", 4, metric_difference=Estimate(*[math.nan] * 4, 0, math.nan))
    equal = group("e", 5, metric_difference=Estimate(0.0, 0.0, 0.0, 0.0, 3, 1.0), holm_p=1.0)
    table = tables.differences(compared(group("a", 1), worse, same, alone, equal))
    assert table.headers == ("#", "f0", "test/rmse\nto first", "95% interval", "real?")
    assert table.names == 2
    assert table.rows == (
        ("1", "a", "first", "-", "-"),
        ("2", "b", "+0.5000", "-0.5000 to +1.500", "worse, p 0.010"),
        ("3", "c", "+0.0000", "-1.000 to +1.000", "no, < 0.2500, p 0.900"),
        ("4", "d", "-", "n=0", "-"),
        ("5", "e", "equal", "-", "-"),
    )


def test_days_have_both_tests_the_set_and_the_recipe():
    def days(statistic, p):
        return DieboldMariano(statistic, p, 50, 0.1)

    recipe = SimpleNamespace(relative=0.2)
    best = group("a", 1, days_to_baseline=days(-0.5, 0.01), set_p=ALPHA)
    more = {"days_to_best": days(0.5, 0.01), "days_to_baseline": days(2.0, ALPHA)}
    other = group("b", 2, set_p=0.06, recipe_to_best=recipe, recipe_p=0.04, **more)
    lone = group("c", 3, recipe_to_best=recipe)
    daily = SimpleNamespace(date=np.arange(50))
    table = tables.days(compared(best, other, lone, daily=daily))
    assert table.title == "Is the difference real? Over 50 test hours"
    assert table.headers == (
        *("#", "f0", "to first", "to\ntomorrow = today", "in 95% set"),
        "as recipe,\nto first",
    )
    assert table.names == 2
    assert table.rows == (
        ("1", "a", "-", "+10.0%, p 0.010 better", "no", "-"),
        ("2", "b", "+10.0%, p 0.010 worse", "+10.0%, p 0.050", "yes", "+20.0%, p 0.040"),
        ("3", "c", "-", "-", "-", "-"),
    )
    assert "seeds and hours are both drawn anew" in table.caption
    assert tables._test_days(compared()) == "test hours"


def test_the_first_four_groups_stand_side_by_side_on_each_series():
    groups = [group(name, n) for n, name in enumerate("abcdef", start=1)]
    scores = dict.fromkeys("abcde", 2.0) | {"tomorrow = today": 4.0}
    still = dict.fromkeys("abcde", 2.0) | {"tomorrow = today": 0.0}
    daily = SimpleNamespace(groups=dict.fromkeys("bcdefg"), series={"A": scores, "B": still})
    scores["f"] = still["f"] = 1.0
    table = tables.by_series(compared(*groups, daily=daily))
    assert table.headers == (
        "series",
        "tomorrow = today",
        *(h for n in "bcde" for h in (n, "ratio")),
    )
    assert table.rows == (
        ("A", "4.000", *["2.000", "0.5000"] * 4),
        ("B", "0.0000", *["2.000", "-"] * 4),
    )
    assert table.names == 1


def test_coverage_has_levels_first_and_years_last():
    shares = {"95% in 2018": 0.875, "95%": 0.9, "50%": 0.5}
    found = {("b", "own"): {"95%": 1.0}, ("a", "conformal"): shares, ("a", "own"): shares}
    table = tables.coverage(compared(group("a", 1), group("b", 2), coverage=found))
    assert table.headers == ("f0", "intervals", "50%", "95%", "95% in 2018")
    assert table.rows == (
        ("a", "conformal", "50.0%", "90.0%", "87.5%"),
        ("a", "own", "50.0%", "90.0%", "87.5%"),
        ("b", "own", "-", "100.0%", "-"),
    )
    assert table.names == 2


def test_options_that_are_first_alone_are_called_so_and_factors_without_any_are_named():
    option = Option("x", estimate(0.5), estimate(2.0))
    table = tables.effects(compared(effects=[Effect("f", (option,), 1), Effect("g", (), 0)]))
    assert table.rows == (("f", "x", "0.5000", "2.000", "first", "-", "-"),)
    assert table.caption.endswith("run with. No such combination: g.")
    by_metric = compared(effects=[Effect("f", (option,), 1)], criterion="test/rmse")
    assert tables.effects(by_metric).rows == (("f", "x", "2.000", "first", "-", "-"),)


def test_causes_are_counted_beside_the_zeros():
    groups = [group("a", 1, causes={"dead_input": 2, "healthy": 1}, zero_fraction=0.25)]
    groups += [group("b", 2, causes={"healthy": 3}), group("c", 3)]
    table = tables.gradients(compared(*groups))
    assert table.headers == ("#", "f0", "findings (seeds)", "zeros in first weight")
    assert table.rows == (
        ("1", "a", "dead_input (2), healthy (1)", "25.0%"),
        ("2", "b", "healthy (3)", "-"),
    )
    assert table.names == 3


def test_with_many_factors_groups_bear_their_label_in_the_ranking_and_a_name_below_it():
    levels = dict.fromkeys("wxyz", "1")
    long = group("l" * 60, 1, levels=levels, causes={"healthy": 1})
    shown = compared(long, factors=4)
    assert tables.ranking(shown).headers[:2] == ("#", "group")
    assert tables.ranking(shown).rows[0][1] == "l" * 60
    assert tables.gradients(shown).rows[0][1] == "l" * 50 + " ... (#1)"


def test_runs_that_did_not_finish_are_words_only():
    runs = pd.DataFrame(
        {
            "run": ["a", "b", "c"],
            "status": ["finished", "failed", "killed"],
            "reason": [None, "no", None],
        },
        dtype=object,
    )
    table = tables.unfinished(runs)
    assert table.rows == (("b", "failed", "no"), ("c", "killed", "-"))
    assert table.names == 3
    assert tables.unfinished(runs[:1]) is None
