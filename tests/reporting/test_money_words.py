"""What is said of strategies, of numbers that are known."""

import math

import pytest

from src.reporting.money import Earned, SharpeDifference
from src.reporting.money_words import Strategy, money_words

HOLDING = Earned(0.1, 0.5, 0.2, 0.1, 10.0, 252)
END = "This is what happened on these days, not what will; it is no advice."


def cost(sharpe, mean=0.1, even=12.34):
    return Earned(mean, sharpe, 0.25, 100.0, even, 252)


def strategy(name="a", sharpes=(1.0, 0.8, 0.6), mean=0.1, deflated=0.5, apart=0.0, p=1.0, even=9.0):
    at_cost = (cost(sharpes[0], even=even), cost(sharpes[1]), cost(sharpes[2], mean))
    return Strategy(name, at_cost, deflated, SharpeDifference(apart, -1.0, 1.0, p))


def test_the_best_without_costs_is_told_beside_holding_with_its_costs():
    others = [strategy("b", (0.9, 2.0, 2.0)), strategy("c", (math.nan, 3.0, 3.0))]
    assert money_words([strategy(), *others], HOLDING) == (
        "Of 2 strategies the best one without costs was a, with a Sharpe ratio of 1.00 (standard "
        "error 0.25) beside 0.50 (standard error 0.20) of buying and holding. The best of so many "
        "tries may reach that by luck alone (deflated: 0.50, 0.95 is the usual mark). None can be "
        "told from buying and holding as the better one. It breaks even at 9.0, and at 10 basis "
        f"points a trade its Sharpe ratio is 0.60. {END}"
    )


@pytest.mark.parametrize(("mean", "left"), [(0.0, False), (-0.1, False), (0.5, True)])
def test_nothing_is_left_where_costs_take_all(mean, left):
    words = money_words([strategy(mean=mean, even=math.nan)], HOLDING)
    assert ("; nothing is left." in words) != left
    assert "breaks even" not in words


@pytest.mark.parametrize(("deflated", "sure"), [(0.95, True), (0.949, False)])
def test_the_usual_mark_is_enough(deflated, sure):
    words = money_words([strategy(deflated=deflated)], HOLDING)
    assert ("more than the luck of the best" in words) == sure


@pytest.mark.parametrize(
    ("apart", "p", "told"),
    [(0.5, 0.024, True), (0.5, 0.026, False), (-0.5, 0.001, False), (0.0, 0.001, False)],
)
def test_two_strategies_are_tested_at_half_the_level(apart, p, told):
    words = money_words([strategy(apart=apart, p=p), strategy("b", (0.1, 0.1, 0.1))], HOLDING)
    assert ("Told from buying and holding, and above it: a." in words) == told
