"""Each word of the verdict can come out, and comes where the numbers say so."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from src.reporting.predictability.scores import RMSE, Against, Cell, judge
from src.reporting.predictability.store import QUESTIONS
from src.reporting.predictability.tables import bad_years, off, overview, years_table
from src.reporting.predictability.words import (
    ASKED,
    Rival,
    change_words,
    coverage_words,
    gain_words,
    headline,
    plain_words,
    rival_list,
    rival_words,
    rivals,
)
from src.reporting.standing import ALPHA
from tests.reporting.predictability.fabricate import kept

RETURN, DIRECTION, VOLATILITY = ASKED


def test_nothing_is_said_of_returns_that_nothing_predicts():
    judged = [judge(kept(skill=0.0))]
    assert headline(RETURN, judged).startswith(
        "**How far an index will rise or fall: no.** Nothing"
    )
    assert gain_words(RETURN, judged)[0].startswith(
        "S&P 500, return, 1 day: nothing told from the naive forecast; least by"
    )


def test_what_predicts_is_named_with_its_size():
    judged = [judge(kept("volatility_1", skill=0.7)), judge(kept("volatility_5", skill=0.7))]
    words = headline(VOLATILITY, judged)
    assert words.startswith("**How much it will swing: yes.** Best by har: it loses")
    assert "in 2 of 2 cases beyond chance" in words
    assert "best by har" in gain_words(VOLATILITY, judged)[0]


def test_some_questions_of_several_are_in_part():
    judged = [judge(kept("return_1", skill=0.6)), judge(kept("return_5", skill=0.0))]
    words = headline(RETURN, judged)
    assert words.startswith("**How far an index will rise or fall: in part.**")
    assert "in 1 of 2 cases" in words


def test_a_sure_gain_of_next_to_nothing_is_hardly_one():
    own = kept("return_1", skill=0.0, days=1500)
    forecasts = {"naive": own.forecasts["naive"], "ridge": 0.002 * own.actual}
    judged = [judge(replace(own, forecasts=forecasts))]
    assert "yes, but hardly.**" in headline(RETURN, judged)


def test_what_cannot_be_told_from_the_best_is_named_beside_it():
    own = kept("direction_1", skill=0.6)
    twin = {**own.forecasts, "arima": own.forecasts["har"] + 1e-9}
    judged = [judge(replace(own, forecasts=twin))]
    assert "cannot be told from it)" in headline(DIRECTION, judged)


def all_in_the_set(judged):
    """Return a question as if its confidence set kept every model."""
    cells = {
        measure: {name: cell._replace(in_set=True) for name, cell in column.items()}
        for measure, column in judged.cells.items()
    }
    return replace(judged, cells=cells)


def test_what_a_test_tells_from_the_best_is_not_called_a_tie_though_the_set_keeps_it():
    apart = kept("volatility_1", skill=0.9)
    twin = kept("volatility_5", skill=0.9)
    near = twin.forecasts["har"] * np.exp(np.random.default_rng(0).normal(0.0, 1e-3, 900))
    twin = replace(twin, forecasts={**twin.forecasts, "lstm": near})
    judged = [all_in_the_set(judge(one)) for one in (apart, twin)]
    assert [one.verdict for one in rivals(judged)] == ["loses to HAR", "cannot be told from HAR"]
    words = headline(VOLATILITY, judged)
    assert "Best by har (ridge, lstm in 1 of 2 cases cannot be told from it)" in words
    assert "lstm" not in headline(VOLATILITY, judged[:1])
    assert (
        "best by har (the confidence set keeps lstm, ridge too), "
        in gain_words(VOLATILITY, judged)[0]
    )


def rival(relative: float, p_value: float) -> Rival:
    own = Against(relative, relative - 0.05, relative + 0.05, p_value)
    return Rival("lstm", "S&P 500, 1 day:", own, p_value)


@pytest.mark.parametrize(
    ("found", "head", "verdict"),
    [
        ([rival(-0.1, 0.001)], "yes.**", "beats HAR"),
        ([rival(0.1, 0.001)], "no.**", "loses to HAR"),
        ([rival(-0.01, 0.4)], "no.**", "cannot be told from HAR"),
        ([rival(-0.1, 0.001), rival(0.1, 0.3)], "in part.**", "beats HAR"),
    ],
)
def test_our_networks_beside_har(found, head, verdict):
    assert f"classical model of swings: {head}" in rival_words(found)
    assert verdict in rival_list(found)[0]


def test_our_networks_are_compared_with_har_where_both_are():
    found = rivals([judge(kept("volatility_1", skill=0.9))])
    assert [one.verdict for one in found] == ["loses to HAR"]
    assert rival_words([]) == ""


def test_intervals_meet_the_goal_or_miss_it():
    calm = judge(kept(skill=0.0, days=2000))
    assert "days: yes.**" in coverage_words([calm])
    forced = {name: {0.95: np.zeros(10, bool)} for name in calm.spreads}
    none = replace(calm, covered=forced, rigid={})
    assert "days: no.** They held on 0.0% of them, within the goal in 0 of 4" in coverage_words(
        [none]
    )
    assert "days: in part.**" in coverage_words([none, calm])


def test_years_in_which_intervals_fail_are_named():
    own = judge(kept(skill=0.0, days=1000))
    years = np.array([date[:4] for date in own.kept.date])
    held = {name: {0.95: years != "2011"} for name in own.spreads}
    failed = replace(own, covered=held)
    assert 2011 in bad_years([failed])
    assert 2011 in bad_years([failed], "!")
    assert ("2011", "0.0%*!") in years_table([failed]).rows
    assert ("2012", "100.0%*!") in years_table([failed]).rows
    whole = {name: {0.95: np.arange(len(years)) % 20 > 0} for name in own.spreads}
    assert bad_years([replace(own, covered=whole)]) == {}
    assert off(0.90, 252)
    assert not off(0.94, 252)


def test_changes_are_said_with_their_interval():
    assert change_words(Against(-0.2, -0.25, -0.15, 0.0)) == (
        "20.0% less loss (95% interval 15.0% to 25.0% less)"
    )
    assert change_words(Against(0.2, 0.15, 0.25, 0.0)) == (
        "20.0% more loss (95% interval 15.0% to 25.0% more)"
    )


def test_the_paragraph_says_what_is_predictable_by_which_model_and_how_surely():
    judged = [judge(kept(key, 0.6)) for key in ("return_1", "direction_1", "volatility_1")]
    words = plain_words(judged)
    for part in ("rise or fall", "Whether", "swing", "HAR", "95% intervals", "chance"):
        assert part in words
    rows = overview(judged, "sp500").rows
    assert [row[0] for row in rows] == ["naive", "ridge", "har", "lstm"]
    assert rows[0][1] == "1.000"


def fake(place=0, measure=RMSE, shares=None, **cells):
    """Return a question as if models had lost so much, relative to the naive one and how surely."""
    made = {
        name: Cell(1 + r, Against(r, r, r, p), p, in_set) for name, (r, p, in_set) in cells.items()
    }
    losses = {measure: {name: np.array([cell.value]) for name, cell in made.items()}}
    made["naive"] = Cell(1.0, None, float("nan"), False)
    kept_ = SimpleNamespace(series="sp500", question=QUESTIONS[place])
    shares = shares or {}
    return SimpleNamespace(
        **{"kept": kept_, "cells": {measure: made}, "losses": losses, "spreads": shares},
        coverage=lambda name, level: {0.95: shares[name]}[level],
        rigid={name: np.array([True] * 95 + [False] * 5) for name in shares},
    )


@pytest.mark.parametrize(("gain", "hardly"), [(0.0099, True), (0.01, False), (0.015, False)])
def test_a_hundredth_is_worth_a_word(gain, hardly):
    words = headline(RETURN, [fake(ridge=(-gain, 0.01, True))])
    assert (": yes, but hardly.**" in words) == hardly


def test_the_best_wins_in_the_most_cases_and_there_by_the_most():
    both = [
        fake(ridge=(-0.1, 0.01, False), har=(-0.2, 0.01, False), lstm=(-0.9, 0.2, False)),
        fake(1, ridge=(-0.1, 0.01, False), drift=(-0.9, 0.01, False), har=(-0.05, 0.9, False)),
    ]
    assert "Best by ridge: it loses 10.0% less than" in headline(RETURN, both)
    one = [fake(ridge=(-0.1, 0.01, False), har=(-0.2, 0.01, False))]
    assert "Best by har: it loses 20.0% less than" in headline(RETURN, one)
    assert gain_words(RETURN, one) == [
        "S&P 500, return, 1 day: best by har, 20.0% less loss (95% interval 20.0% to 20.0% less) "
        "(p 0.010)"
    ]


def test_an_interval_that_ends_at_zero_has_both_words():
    assert change_words(Against(-0.1, -0.2, 0.0, 0.05)) == (
        "10.0% less loss (95% interval 20.0% less to 0.0% more)"
    )


def test_at_five_per_cent_no_network_is_told_from_har():
    assert rival(-0.1, ALPHA).verdict == "cannot be told from HAR"
    assert rival(-0.1, 0.049).verdict == "beats HAR"


@pytest.mark.parametrize(
    ("shares", "head", "said"),
    [
        (
            {"a": 0.94, "b": 0.96},
            "yes",
            "held on 94.0% to 96.0% of them, within the goal in 2 of 2",
        ),
        ({"a": 0.939}, "no", "held on 93.9% of them, within the goal in 0 of 1"),
        (
            {"a": 0.961, "b": 0.95},
            "in part",
            "held on 95.0% to 96.1% of them, within the goal in 1",
        ),
    ],
)
def test_the_ends_of_the_goal_lie_within_it(shares, head, said):
    words = coverage_words([fake(shares=shares)])
    assert f"of all days: {head}.** They {said}" in words
    assert f"({len(shares)} where their level does not follow" in words
    assert coverage_words([fake()]) == ""
