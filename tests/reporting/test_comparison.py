import math
import re
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from src.reporting import load_runs
from src.reporting.comparison import _with_days, _with_recipes, compare
from src.reporting.days import DailyLosses
from src.reporting.groups import Group
from src.reporting.statistics import diebold_mariano, estimate
from src.reporting.tables import days, differences, effects, ranking
from src.reporting.verdict import verdict
from tests.reporting.fabricate import LAST, PRICE, fabricate


def compared(folder, metric="test/rmse"):
    (comparison,) = compare(load_runs(folder), metric)
    return comparison


def test_groups_are_ranked_by_validation_and_compared_on_the_test_part(tmp_path):
    for seed in range(3):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.4 + seed / 100, rmse=2.0 + seed)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.5, rmse=1.0)
    best, other = compared(tmp_path).groups
    assert (best.label, best.rank, other.label, other.rank) == (
        "pooling=mean",
        1,
        "pooling=last",
        2,
    )
    assert best.criterion.mean == pytest.approx(0.41)
    # 2, 3, 4: mean 3, sd 1, 4.30265 / sqrt(3) = 2.48414
    assert best.metric[:4] == pytest.approx((3.0, 1.0, 0.51586, 5.48414), abs=1e-5)
    assert best.ratio == pytest.approx(0.75)
    # -1, -2, -3, seed by seed
    assert other.metric_difference[:4] == pytest.approx((-2.0, 1.0, -4.48414, 0.48414), abs=1e-5)
    assert best.metric_difference is None


def test_differences_are_paired_by_seed(tmp_path):
    for seed, rmse in enumerate((1.0, 5.0, 9.0)):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=rmse)
        fabricate(tmp_path, pooling="last", seed=seed, rmse=rmse + 1 + seed / 100)
    fabricate(tmp_path, pooling="last", seed=7, rmse=100.0)
    difference = compared(tmp_path).groups[1].metric_difference
    assert difference.mean == pytest.approx(1.01)
    assert difference.n == 3
    assert difference.low > 0


def test_a_real_lead_is_told_from_seed_noise(tmp_path):
    for seed in range(3):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=1.0 + seed)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.2, rmse=2.0 + seed * 1.01)
        fabricate(tmp_path, pooling="max", seed=seed, val=0.3, rmse=1.0 + 2 * seed)
    first, second, third, *_ = verdict(compared(tmp_path))
    assert first.startswith(
        "pooling=mean ranks first: val/loss 0.1000 over 3 seeds, test/rmse 2.000"
    )
    assert "test/rmse +1.010, is distinguishable from seed noise (95% interval" in second
    assert "1 distinguishably worse by 1.010 (pooling=last)" in third
    assert "1 not distinguishable from it (pooling=max)" in third


def test_a_lead_on_validation_that_the_test_part_contradicts_is_named(tmp_path):
    for seed in range(3):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=2.0 + seed)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.2, rmse=1.0 + seed * 1.01)
    first, second, *_ = verdict(compared(tmp_path))
    assert "but the next is distinguishably better on the test part" in first
    assert "in its favour: validation and test disagree" in second


def test_many_comparisons_ask_more_of_each(tmp_path):
    rng = np.random.default_rng(0)
    for pooling in ("a", "b", "c", "d", "e", "f", "g", "h"):
        for seed in range(4):
            apart = 0.02 * (3 + seed) if pooling == "b" else rng.normal(0, 1)
            val, rmse = (0.1, 2.0) if pooling == "a" else (0.2, 2.0 + apart)
            fabricate(tmp_path, pooling=pooling, seed=seed, val=val, rmse=rmse)
    group = next(g for g in compared(tmp_path).groups if g.label == "pooling=b")
    assert group.metric_difference.p_value < 0.05
    assert group.holm_p == pytest.approx(
        min(1, 28 * group.metric_difference.p_value)
    )  # 8 groups, 28 pairs


def test_one_seed_says_so_and_gives_no_interval(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1)
    fabricate(tmp_path, pooling="last", val=0.2, rmse=3.0)
    comparison = compared(tmp_path)
    assert math.isnan(comparison.groups[1].metric_difference.low)
    assert "comes from one seed and cannot be told from seed noise (n=1)" in verdict(comparison)[1]


def test_groups_without_a_seed_in_common_are_not_compared(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1, seed=0)
    fabricate(tmp_path, pooling="last", val=0.2, seed=1)
    assert "no seed in common" in verdict(compared(tmp_path))[1]


def test_one_run_is_described_without_comparison(tmp_path):
    fabricate(tmp_path)
    comparison = compared(tmp_path)
    assert comparison.factors == ()
    assert verdict(comparison)[0].startswith("model=lstm pooling=mean norm=none: val/loss 0.5000")


def test_failed_runs_and_runs_without_a_number_are_left_out_and_counted(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1, seed=0)
    fabricate(tmp_path, pooling="mean", seed=1, rmse=None)
    fabricate(tmp_path, pooling="last", seed=0, status="failed", reason="ValueError: no")
    comparison = compared(tmp_path)
    mean, last = comparison.groups
    assert (mean.metric.n, mean.runs) == (1, 2)
    assert (last.rank, last.metric.n, last.runs) == (None, 0, 1)
    assert any("1 run finished without a number" in note for note in comparison.notes)
    assert verdict(comparison)[-1].endswith("pooling=mean (1 of 2).")


def test_nothing_is_compared_where_all_failed(tmp_path):
    fabricate(tmp_path, status="failed")
    fabricate(tmp_path, status="interrupted", pooling="last")
    assert verdict(compared(tmp_path)) == [
        "No run finished with a number: there is nothing to compare."
    ]


def test_a_repeated_seed_is_no_further_seed(tmp_path):
    fabricate(tmp_path, seed=0, rmse=9.0)
    fabricate(tmp_path, seed=0, rmse=2.0)
    comparison = compared(tmp_path)
    assert comparison.groups[0].metric[:1] == (2.0,)
    assert comparison.groups[0].metric.n == 1
    assert "1 run repeated by later ones" in comparison.notes[0]


def test_errors_of_different_test_sets_are_kept_apart(tmp_path):
    fabricate(tmp_path, seed=0)
    fabricate(tmp_path, seed=1)
    other_days = {"data": "sp500", "test": {"first": "a", "last": "b", "windows": 7}}
    fabricate(tmp_path, seed=0, data=other_days)
    scores = dict.fromkeys(("rmse", "mae", "mape", "directional_accuracy"), 5.0)
    other_prices = {"model": scores, "baseline": scores, "ratio": scores}
    fabricate(tmp_path, seed=2, test=other_prices)
    failed = fabricate(tmp_path, seed=3, status="failed")
    found = compare(load_runs(tmp_path))
    assert [sum(g.runs for g in c.groups) for c in found] == [3, 1, 1]
    assert failed.exists()
    assert {c.test_set for c in found} == {
        "sp500, 2018-01-01 to 2018-02-09, 40 windows",
        "sp500, 2018-01-01 to 2018-02-09, 40 windows, tomorrow = today has 5",
        "sp500, a to b, 7 windows",
    }


def test_validation_losses_in_different_units_do_not_rank(tmp_path):
    for target, val, rmse in (("price", 0.1, 3.0), ("log_return", 0.9, 2.0)):
        fabricate(tmp_path, config={"data": {"target": target}}, val=val, rmse=rmse)
    comparison = compared(tmp_path)
    assert comparison.criterion == "test/rmse"
    assert comparison.groups[0].label == "target=log_return"
    assert "different units" in comparison.notes[0]


def test_higher_is_better_for_directional_accuracy(tmp_path):
    for seed in range(3):
        for pooling, share in (("mean", 0.5), ("last", 0.6)):
            folder = fabricate(tmp_path, pooling=pooling, seed=seed, val=share)
            text = (folder / "report.json").read_text()
            shown = f'"directional_accuracy": {share + seed / 100 * (share == 0.6)}'
            (folder / "report.json").write_text(text.replace('"directional_accuracy": 0.5', shown))
    comparison = compared(tmp_path, "test/directional_accuracy")
    assert "in its favour" in verdict(comparison)[1]


def test_an_unknown_metric_is_refused_with_the_known_ones(tmp_path):
    fabricate(tmp_path)
    with pytest.raises(ValueError, match=r"metric must be one of test/rmse, .* got 'rmse'"):
        compare(load_runs(tmp_path), "rmse")


def test_each_factor_is_averaged_over_what_its_options_share(tmp_path):
    # rmse by (pooling, norm); ("max", "layer") was not run, so max counts nowhere
    table = {("mean", "none"): 2.0, ("mean", "layer"): 3.0, ("last", "none"): 5.0}
    table |= {("last", "layer"): 8.0}
    for (pooling, norm), rmse in table.items():
        for seed in range(2):
            value = rmse + seed * (0.5 if pooling == "last" else 0.1)
            fabricate(tmp_path, pooling=pooling, norm=norm, seed=seed, val=value, rmse=value)
    pooling, norm = compared(tmp_path).effects
    assert [option.title for option in pooling.options] == ["mean", "last"]
    assert pooling.combinations == 2
    # seed 0: 2.5 and 6.5; seed 1: 2.6 and 7.0
    assert pooling.options[0].metric.mean == pytest.approx(2.55)
    assert pooling.options[1].metric_difference.mean == pytest.approx((4.0 + 4.4) / 2)
    # 4.0 and 4.4, seed by seed: their deviation is 0.4 / sqrt 2
    assert pooling.options[1].metric_difference.sd == pytest.approx(0.4 / math.sqrt(2))
    assert pooling.options[1].metric_difference.n == 2
    # none: 3.5, 3.8; layer: 5.5, 5.8
    assert [option.title for option in norm.options] == ["none", "layer"]
    assert norm.options[1].metric_difference[:2] == pytest.approx((2.0, 0.0), abs=1e-12)


def test_a_factor_whose_options_share_nothing_has_no_effect(tmp_path):
    fabricate(tmp_path, pooling="mean", norm="none")
    fabricate(tmp_path, pooling="last", norm="layer")
    fabricate(tmp_path, pooling="max", norm="layer")
    effects = compared(tmp_path).effects
    assert [(effect.options, effect.combinations) for effect in effects] == [((), 0), ((), 0)]


def test_days_are_compared_on_the_losses_averaged_over_seeds(tmp_path):
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(2, 2, len(PRICE)))
    for pooling, val in (("mean", 0.1), ("last", 0.2)):
        for seed in range(2):
            error = errors[int(pooling == "last"), seed]
            fabricate(tmp_path, pooling=pooling, val=val, seed=seed, error=error)
    best, other = compared(tmp_path).groups
    losses = (errors**2).mean(axis=1)
    baseline = (LAST - PRICE) ** 2
    assert other.days_to_best[:2] == pytest.approx(diebold_mariano(losses[1], losses[0])[:2])
    assert best.days_to_baseline[:2] == pytest.approx(diebold_mariano(losses[0], baseline)[:2])
    assert best.days_to_best is None


def test_the_confidence_set_drops_what_is_worse_every_day(tmp_path):
    rng = np.random.default_rng(0)
    fabricate(tmp_path, pooling="mean", val=0.1, error=rng.normal(0, 0.01, len(PRICE)))
    fabricate(tmp_path, pooling="last", val=0.2, error=3 + rng.normal(0, 0.01, len(PRICE)))
    comparison = compared(tmp_path)
    mean, last = comparison.groups
    assert mean.set_p == 1.0
    assert last.set_p < 0.05
    assert comparison.baseline_set_p < 0.05
    assert (
        'The 95% model confidence set keeps 1 of 2 groups and drops "tomorrow = today": '
        "pooling=mean." in verdict(comparison)
    )


def test_few_days_or_no_forecasts_are_said_and_not_guessed(tmp_path):
    few = fabricate(tmp_path / "few", days=10)
    assert "10 test days are too few" in compared(tmp_path / "few").notes[0]
    (few / "forecasts.csv").unlink()
    comparison = compared(tmp_path / "few")
    assert comparison.daily is None
    assert "no forecasts.csv" in comparison.notes[0]


def test_causes_are_counted_once_a_seed(tmp_path):
    def found(*causes):
        return {"findings": [{"cause": cause, "benign": False} for cause in causes]}

    fabricate(tmp_path, seed=0, diagnosis=found("dead_input", "dead_input", "vanishing"))
    fabricate(tmp_path, seed=1, diagnosis=found("dead_input"))
    fabricate(tmp_path, seed=2, diagnosis=found())
    causes = compared(tmp_path).groups[0].causes
    assert causes == {"dead_input": 2, "vanishing": 1, "healthy": 1}


def test_the_verdict_on_a_factor_names_the_options_to_leave(tmp_path):
    for norm, add in (("none", 0.0), ("layer", 0.5)):
        for pooling, rmse in (("mean", 1.0), ("last", 1.0), ("max", 3.0)):
            for seed in range(3):
                noise = seed * (1 + (pooling == "last") * (-1) ** seed) / 100
                val, rmse_here = rmse + (pooling == "last") / 10, rmse + add + noise
                fabricate(tmp_path, pooling=pooling, norm=norm, seed=seed, val=val, rmse=rmse_here)
    (told,) = (s for s in verdict(compared(tmp_path)) if s.startswith("pooling:"))
    assert told.startswith("pooling: mean ranks first on average over 2 combinations of the rest")
    assert told.endswith("; distinguishably worse: max.")


def test_a_filtered_and_joined_table_can_be_compared(tmp_path):
    import pandas as pd

    for seed in range(2):
        fabricate(tmp_path / "a", pooling="mean", seed=seed)
        fabricate(tmp_path / "b", pooling="last", seed=seed)
    joined = pd.concat([load_runs(tmp_path / "a"), load_runs(tmp_path / "b")])
    (comparison,) = compare(joined[joined["seed"] == 1])
    assert {group.label for group in comparison.groups} == {"pooling=mean", "pooling=last"}


def test_ties_within_rounding_are_no_difference_and_have_no_first(tmp_path):
    for seed in range(3):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.5, rmse=2.0)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.5 * (1 + 1e-12), rmse=2.0 + 3.6e-15)
    comparison = compared(tmp_path)
    first, second, *_ = verdict(comparison)
    assert first.startswith(
        "pooling=mean, pooling=last are equal in val/loss: none is first; pooling=mean: val/loss"
    )
    assert second == "To pooling=last: no difference: test/rmse is the same (3 seeds)."
    assert comparison.groups[1].metric_difference[:2] == (0.0, 0.0)
    rows = differences(comparison).rows
    assert [(row[0], row[2]) for row in rows] == [("1", "-"), ("1", "equal")]
    assert [(row[0], row[3]) for row in ranking(comparison).rows] == [
        *[("1", "0.5000 ± 0.0000")] * 2,
    ]


def test_a_group_of_one_seed_is_not_first_without_a_word(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1)
    for seed in range(5):
        fabricate(tmp_path, pooling="last", seed=seed, val=0.2, rmse=3.0 + seed / 10)
    comparison = compared(tmp_path)
    told = verdict(comparison)
    assert told[0].startswith(
        "pooling=mean ranks first on one seed, which says nothing of seed noise: val/loss 0.1000"
    )
    assert told[-1] == "All this rests on 1 seed: nothing here can be told from seed noise."
    assert days(comparison).rows[1][-1] == "-", "a recipe of one shared seed has no size to show"


def test_a_first_whose_next_has_one_seed_is_not_first_without_a_word(tmp_path):
    for seed in range(5):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=3.0 + seed / 10)
    fabricate(tmp_path, pooling="last", val=0.2)
    first = verdict(compared(tmp_path))[0]
    assert first.startswith("pooling=mean ranks first, but is not shown to be better than the next")


def test_seeds_are_counted_where_two_groups_share_them(tmp_path):
    for seed in range(6):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=2.0)
    for pooling, count in (("last", 2), ("max", 5)):
        for seed in range(count):
            rmse = 2.5 + seed / 10
            fabricate(tmp_path, pooling=pooling, seed=seed, val=0.2, rmse=rmse)
    assert verdict(compared(tmp_path))[-1].startswith("All this rests on 2 to 5 seeds; among 3")


def test_options_that_are_equal_have_no_first(tmp_path):
    for pooling, norm in product(("mean", "last"), ("none", "layer")):
        for seed in range(2):
            val = 0.1 if norm == "none" else 0.2
            rmse = 2.0 + val + seed / 10
            fabricate(tmp_path, pooling=pooling, norm=norm, seed=seed, val=val, rmse=rmse)
    comparison = compared(tmp_path)
    cells = {(row[1], row[4]) for row in effects(comparison).rows}
    assert {("mean", "-"), ("none", "first")} <= cells or {
        ("last", "-"),
        ("none", "first"),
    } <= cells
    (told,) = (s for s in verdict(comparison) if s.startswith("pooling:"))
    assert "mean and last are equal in val/loss on average" in told or "last and mean are" in told


def test_one_seed_each_can_tell_nothing(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1)
    fabricate(tmp_path, pooling="last", val=0.2)
    assert verdict(compared(tmp_path))[-1] == (
        "All this rests on 1 seed: nothing here can be told from seed noise."
    )


def test_two_seeds_say_what_they_could_have_found(tmp_path):
    # differences 0.1 and 0.3: mean 0.2, sd 0.1 sqrt 2, error 0.1; t(0.975; 1) = 12.706
    for seed, apart in enumerate((0.1, 0.3)):
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, rmse=2.0)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.2, rmse=2.0 + apart)
    comparison = compared(tmp_path)
    assert comparison.groups[1].detectable == pytest.approx(1.27062, abs=1e-5)
    told = verdict(comparison)
    assert told[1].endswith(
        "is not distinguishable from seed noise (95% interval -1.071 to +1.471, 2 seeds; one "
        "beyond ±1.271 would have been)."
    )
    assert told[-1] == (
        "All this rests on 2 seeds; among 2 groups a difference to the first beyond ±1.271 in "
        "test/rmse would have been found."
    )
    assert differences(comparison).rows[1][-1].startswith("no, < 1.271, p 0.")


def test_groups_that_are_all_worse_than_no_model_are_called_so(tmp_path):
    rng = np.random.default_rng(0)
    for pooling, val in (("mean", 0.1), ("last", 0.2)):
        for seed in range(3):
            error = 3 + rng.normal(0, 0.3, len(PRICE))
            fabricate(tmp_path, pooling=pooling, val=val, seed=seed, error=error)
    told = " ".join(verdict(compared(tmp_path)))
    assert 'All 2 groups lose more than "tomorrow = today", by ' in told
    assert "; 2 distinguishably (Holm p <0.001): pooling=mean, pooling=last." in told
    assert 'drops all 2 groups and keeps "tomorrow = today" alone' in told


def test_some_groups_worse_than_no_model_are_named(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.1, error=0.01 * np.cos(np.arange(40)))
    fabricate(tmp_path, pooling="last", val=0.2, error=3.0)
    told = " ".join(verdict(compared(tmp_path)))
    assert '1 of 2 groups loses more than "tomorrow = today", by ' in told
    assert "1 distinguishably (Holm p <0.001): pooling=last." in told


def test_sizes_come_before_p_values_and_days_are_about_these_weights(tmp_path):
    rng = np.random.default_rng(0)
    for pooling, val in (("mean", 0.1), ("last", 0.2)):
        for seed in range(3):
            error = 0.2 + rng.normal(0, 0.1, len(PRICE))
            fabricate(tmp_path, pooling=pooling, val=val, seed=seed, error=error)
    comparison = compared(tmp_path)
    told = verdict(comparison)
    (against,) = (s for s in told if s.startswith("Over the 40 test days"))
    assert re.search(
        r'pooling=mean loses \d+\.\d% less than "tomorrow = today" \(squared error\), '
        r"distinguishably better \(Diebold-Mariano p <0\.001\)\.",
        against,
    )
    assert (
        "Tests over days take the trained weights as given: they are about these models, not about "
        "their recipes trained with another seed." in told
    )
    (recipes,) = (s for s in told if s.startswith("As recipes"))
    assert re.fullmatch(
        "As recipes, seeds and days both drawn anew, pooling=last cannot be told from "
        r"pooling=mean: a difference beyond ±\d+\.\d% of its loss would have been\.",
        recipes,
    )
    assert re.fullmatch(r"[+-]\d+\.\d%, p [01]\.\d{3}", days(comparison).rows[1][2])


def test_recipes_that_differ_by_much_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    for pooling, level in (("mean", 0.2), ("last", 2.0), ("max", 0.2)):
        for seed in range(4):
            error = level + rng.normal(0, 0.05, len(PRICE))
            fabricate(tmp_path, pooling=pooling, val=level, seed=seed, error=error)
    told = verdict(compared(tmp_path))
    (recipes,) = (s for s in told if s.startswith("As recipes"))
    assert "1 of 2 other groups can be told from pooling=m" in recipes
    assert "pooling=last (+" in recipes


@pytest.mark.parametrize(("error", "sets"), [(4.001, 1), (4.006, 2), (4.4, 2)])
def test_test_sets_whose_baseline_differs_by_more_than_a_thousandth_are_apart(
    tmp_path, error, sets
):
    scores = dict.fromkeys(("rmse", "mae", "mape", "directional_accuracy"), error)
    other = {"model": scores, "baseline": scores, "ratio": scores}
    fabricate(tmp_path, seed=0)
    fabricate(tmp_path, seed=1, test=other)
    assert len(compare(load_runs(tmp_path))) == sets


def test_where_the_metric_itself_ranks_the_higher_accuracy_is_first(tmp_path):
    for target, share in (("price", 0.4), ("log_return", 0.6)):
        scores = {"rmse": 2.0, "mae": 2.0, "mape": 2.0, "directional_accuracy": share}
        test = {"model": scores, "baseline": scores, "ratio": scores}
        for seed in range(2):
            fabricate(tmp_path, config={"data": {"target": target}}, seed=seed, test=test)
    accurate = compared(tmp_path, "test/directional_accuracy").groups[0]
    assert (accurate.label, accurate.criterion.mean) == ("target=log_return", 0.6)


def test_a_groups_p_counts_the_pairs_of_those_that_have_a_rank():
    nothing = estimate([])

    def group(label, rank, p=None):
        test = None if p is None else SimpleNamespace(p_value=p)
        return Group(label, {}, 1, nothing, nothing, 1.0, rank, recipe_to_best=test)

    ranked = [group("a", 1), group("b", 2, 0.01), group("c", 3, 0.5), group("d", 4)]
    found = [g.recipe_p for g in _with_recipes([*ranked, group("failed", None)])]
    assert found[1:3] == [pytest.approx(6 * 0.01), 1.0]
    assert all(math.isnan(found[n]) for n in (0, 3, 4))


def test_recipes_are_adjusted_for_all_pairs(tmp_path):
    rng = np.random.default_rng(0)
    for pooling in ("a", "b", "c", "d"):
        for seed in range(3):
            error = 0.3 + rng.normal(0, 0.1, len(PRICE))
            fabricate(tmp_path, pooling=pooling, seed=seed, val=0.1, error=error)
    found = sorted(g.recipe_to_best.p_value for g in compared(tmp_path).groups if g.recipe_to_best)
    adjusted = sorted(g.recipe_p for g in compared(tmp_path).groups if g.recipe_to_best)
    assert adjusted[0] == pytest.approx(min(1.0, 6 * found[0]))


@pytest.mark.parametrize(
    ("level", "word"), [(0.01, "better"), (3.0, "worse")], ids=["better", "worse"]
)
def test_a_cell_of_days_says_which_way(tmp_path, level, word):
    for seed in range(2):
        error = level * (1 + 0.1 * np.cos(np.arange(len(PRICE))))
        fabricate(tmp_path, pooling="mean", seed=seed, val=0.1, error=error)
        fabricate(tmp_path, pooling="last", seed=seed, val=0.2, error=error + 0.1)
    comparison = compared(tmp_path)
    cells = [row[3] for row in days(comparison).rows]
    assert all(cell.endswith(f"p <0.001 {word}") for cell in cells)
    how = f"distinguishably {word} (Diebold-Mariano"
    assert any(how in sentence for sentence in verdict(comparison))


def test_a_validation_loss_ranks_alone_and_has_no_forecast_without_a_model(tmp_path):
    fabricate(tmp_path, pooling="mean", val=0.2, rmse=1.0)
    fabricate(tmp_path, pooling="last", val=0.1, rmse=2.0)
    comparison = compared(tmp_path, "val/loss")
    assert (comparison.metric, comparison.criterion) == ("val/loss", "val/loss")
    assert [(g.label, g.metric.mean) for g in comparison.groups] == [
        ("pooling=last", 0.1),
        ("pooling=mean", 0.2),
    ]
    assert math.isnan(comparison.baseline)
    assert math.isnan(comparison.groups[0].ratio)
    assert comparison.daily.groups["pooling=last"] == pytest.approx([4.0] * len(PRICE))


def test_by_absolute_errors_days_lose_these(tmp_path):
    fabricate(tmp_path, rmse=2.0)
    daily = compared(tmp_path, "test/mae").daily
    (lost,) = daily.groups.values()
    assert lost == pytest.approx([2.0] * len(PRICE))


@pytest.mark.parametrize(("count", "enough"), [(30, True), (29, False)])
def test_thirty_days_have_a_confidence_set(tmp_path, count, enough):
    fabricate(tmp_path, days=count)
    comparison = compared(tmp_path)
    assert (comparison.baseline_set_p is not None) == enough
    assert any("too few for a model confidence set" in n for n in comparison.notes) != enough


@pytest.mark.parametrize(("count", "tested"), [(1, False), (2, True)])
def test_two_days_are_enough_to_be_compared_with_no_model(tmp_path, count, tested):
    fabricate(tmp_path, days=count)
    assert (compared(tmp_path).groups[0].days_to_baseline is not None) == tested


def test_of_few_days_fewer_hang_together_than_a_forecast_covers():
    losses, none = np.array([1.0, 2.0, 5.0, 8.0, 4.0]), np.array([1.0, 1.0, 2.0, 1.0, 3.0])
    daily = DailyLosses(np.arange(5), {"a": losses}, none, {"a": {0: losses}}, horizon=5)
    group = Group("a", {}, 1, estimate([1.0]), estimate([1.0]), 1.0, 1)
    found = _with_days(group, daily, "a").days_to_baseline
    assert found == diebold_mariano(losses, none, 4)
    assert DailyLosses(np.arange(5), {}, none, {}).horizon == 1


def test_runs_of_several_commits_and_with_odd_prices_say_so(tmp_path):
    odd = {"data": "sp500", "warnings": ["3 days are missing"]}
    odd["test"] = {"first": "a", "last": "b", "windows": 40}
    for seed, commit in enumerate(("abc", "def", None)):
        made = {"started": f"2026-01-01T00:00:0{seed}", "commit": commit}
        fabricate(tmp_path, seed=seed, environment=made, data=odd)
    notes = compared(tmp_path).notes
    assert "The runs were made by 2 different commits of the code." in notes
    assert notes.count("The prices: 3 days are missing.") == 1
    fabricate(tmp_path / "one", seed=0)
    assert not any("commits" in note for note in compared(tmp_path / "one").notes)


def test_of_equals_what_was_given_first_comes_first(tmp_path):
    fabricate(tmp_path / "b", pooling="z")
    fabricate(tmp_path / "a", pooling="c")
    (comparison,) = compare(load_runs([tmp_path / "b", tmp_path / "a"]))
    assert [g.label for g in comparison.groups] == ["pooling=z", "pooling=c"]
    for name in ("z", "a"):
        other = {"data": name, "test": {"first": "a", "last": "b", "windows": 7}}
        fabricate(tmp_path / f"sets{name}", data=other)
    found = compare(load_runs([tmp_path / "setsz", tmp_path / "setsa"]))
    assert [c.test_set for c in found] == ["z, a to b, 7 windows", "a, a to b, 7 windows"]


def test_a_factor_ranks_by_the_criterion_and_shows_the_metric_beside_it(tmp_path):
    val = {"mean": 0.1, "last": 0.3}
    for pooling, norm in product(val, ("none", "layer")):
        for seed in range(2):
            rmse = 5.0 if pooling == "mean" else 2.0
            more = (0.0 if norm == "none" else 0.5) + seed / 10
            one = val[pooling] + more
            fabricate(tmp_path, pooling=pooling, norm=norm, seed=seed, val=one, rmse=rmse + more)
    comparison = compared(tmp_path)
    best, other = comparison.effects[0].options
    assert (best.title, other.title) == ("mean", "last")
    assert (best.criterion.mean, best.metric.mean) == pytest.approx((0.4, 5.3))
    assert other.criterion_difference.mean == pytest.approx(0.2)
    assert other.metric_difference.mean == pytest.approx(-3.0)
    table = effects(comparison)
    assert table.headers == (
        *("factor", "option", "val/loss", "test/rmse"),
        *("to first", "95% interval", "real?"),
    )
    assert table.names == 2
    assert [row[0] for row in table.rows] == ["pooling", "", "norm", ""]
    assert table.rows[0][2:] == ("0.4000", "5.300", "first", "-", "-")
    assert table.caption.endswith("that every option was run with.")


@pytest.mark.parametrize(("length", "whole"), [(56, True), (57, False)])
def test_a_name_is_cut_where_it_is_longer_than_56_letters(length, whole):
    nothing = estimate([])
    group = Group("x" * length, {}, 1, nothing, nothing, 1.0, 3)
    assert group.name == ("x" * length if whole else "x" * 50 + " ... (#3)")
