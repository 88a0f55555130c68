"""What forecasts of returns would have earned."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from src.reporting.money import (
    deflated_sharpe,
    earned,
    held,
    luckiest,
    net_returns,
    scaled_positions,
    sharpe_difference,
    sharpe_error,
    sharpe_ratio,
    sign_positions,
)
from src.reporting.money_words import Strategy, money_words


def test_a_strategy_earns_by_hand_what_it_should():
    # Bought, kept, sold short, closed: 1 + 0 + 2 + 1 traded; 0.01 + 0.02 + 0.01 + 0 earned.
    got = earned([1.0, 1.0, -1.0, 0.0], [0.01, 0.02, -0.01, 0.05])
    assert got.turnover == pytest.approx(252 * 4 / 4)
    assert got.mean == pytest.approx(252 * 0.04 / 4)
    assert got.break_even_bp == pytest.approx(0.04 / 4 * 10_000)
    deviation = math.sqrt((0.0**2 + 0.01**2 + 0.0**2 + 0.01**2) / 3)
    assert got.sharpe == pytest.approx(math.sqrt(252) * 0.01 / deviation)
    of_a_bar = 0.01 / deviation
    assert got.sharpe_se == pytest.approx(math.sqrt(252) * math.sqrt((1 + of_a_bar**2 / 2) / 4))


def test_nothing_is_left_at_the_break_even_cost():
    rng = np.random.default_rng(0)
    positions, returns = rng.choice([-1.0, 1.0], 500), rng.normal(0.001, 0.01, 500)
    break_even = earned(positions, positions * np.abs(returns)).break_even_bp
    assert earned(positions, positions * np.abs(returns), break_even).mean == pytest.approx(0)


def test_a_loss_has_no_break_even_cost_and_neither_has_standing_aside():
    assert math.isnan(earned([1.0, 1.0], [-0.01, -0.02]).break_even_bp)
    assert math.isnan(earned([0.0, 0.0], [0.01, 0.02]).break_even_bp)
    assert math.isnan(earned([0.0, 0.0], [0.01, 0.02]).sharpe)


def test_costs_are_of_what_is_traded():
    # Turning from 1 to -1 trades twice what is invested.
    net = net_returns([1.0, 1.0, -1.0], [0.0, 0.0, 0.0], cost_bp=5)
    assert net == pytest.approx([-0.0005, 0.0, -0.001])


def test_a_position_of_h_bars_is_taken_up_and_laid_down_in_shares():
    assert held([1.0, 1.0, 1.0, -1.0], 3) == pytest.approx([1 / 3, 2 / 3, 1.0, 1 / 3])
    assert held([1.0, -1.0], 1).tolist() == [1.0, -1.0]
    assert held([1.0, 1.0], 5) == pytest.approx([0.2, 0.4])


def test_positions_look_at_no_later_forecast():
    forecast = np.random.default_rng(1).normal(size=50)
    for positions in (sign_positions, scaled_positions):
        assert positions(forecast)[:30].tolist() == positions(forecast[:30]).tolist()


def test_a_forecast_of_nothing_holds_nothing():
    assert scaled_positions([0.0, 0.0, 0.02]).tolist() == [0.0, 0.0, 1.0]


def test_the_standard_error_is_that_of_many_samples():
    rng = np.random.default_rng(2)
    found = [sharpe_ratio(rng.normal(0.5, 1.0, 200)) for _ in range(2000)]
    assert np.std(found) == pytest.approx(sharpe_error(0.5, 200), rel=0.06)


def test_the_luckiest_of_a_hundred_tries_is_as_lucky_as_expected():
    rng = np.random.default_rng(3)
    best = [rng.normal(0.0, 0.1, 100).max() for _ in range(2000)]
    expected = np.mean([luckiest(rng.normal(0.0, 0.1, 100)) for _ in range(200)])
    assert expected == pytest.approx(np.mean(best), rel=0.03)
    assert luckiest([0.3]) == 0.0


def test_the_luckiest_of_three_by_hand():
    # z(2/3) = 0.4307, z(1 - 1/(3e)) = 1.1606, Euler's constant 0.5772, spread 0.1
    by_hand = 0.1 * ((1 - 0.5772157) * 0.4307273 + 0.5772157 * 1.1606)
    assert luckiest([-0.1, 0.0, 0.1]) == pytest.approx(by_hand, rel=1e-3)


def test_a_sharpe_ratio_is_deflated_by_the_number_of_tries():
    # Skew 0, kurtosis 1: the spread is 1, and the argument is the ratio times the root of n - 1.
    returns = np.tile([0.03, -0.01], 50)
    sharpe = 0.01 / returns.std(ddof=1)
    alone = deflated_sharpe(returns, [sharpe])
    z = sharpe * math.sqrt(99)
    assert alone == pytest.approx(0.5 * (1 + math.erf(z / math.sqrt(2))), abs=1e-9)
    many = [sharpe, *np.linspace(-sharpe, sharpe, 50)]
    assert deflated_sharpe(returns, many) < alone
    assert math.isnan(deflated_sharpe([0.0, 0.0], [0.0]))


def test_two_sharpe_ratios_are_told_apart_at_the_rate_that_is_said():
    rng = np.random.default_rng(4)
    tests = [
        sharpe_difference(*rng.multivariate_normal([0.1, 0.1], [[1, 0.5], [0.5, 1]], 250).T)
        for _ in range(1000)
    ]
    assert np.mean([test.p_value < 0.05 for test in tests]) == pytest.approx(0.05, abs=0.02)
    assert all((test.low <= 0 <= test.high) == (test.p_value >= 0.05) for test in tests)


def test_a_strategy_is_not_told_from_itself():
    same = sharpe_difference([0.01, -0.02, 0.03], [0.01, -0.02, 0.03])
    assert (same.difference, same.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("positions", "returns", "message"),
    [
        ([1.0], [0.1], r"2 bars or more, got \(1,\)"),
        ([1.0, 1.0], [0.1, 0.1, 0.1], r"got \(2,\) and \(3,\)"),
        ([1.0, math.nan], [0.1, 0.1], "must be finite"),
    ],
)
def test_what_is_no_strategy_is_refused(positions, returns, message):
    with pytest.raises(ValueError, match=message):
        earned(positions, returns)


def strategy(name: str, returns: np.ndarray, market: np.ndarray, tried: int = 1) -> Strategy:
    positions = np.where(market == 0, 0.0, returns / market)
    at_cost = tuple(earned(positions, market, cost) for cost in (0.0, 5.0, 10.0))
    spread = [sharpe_ratio(returns) * share for share in np.linspace(-1, 1, tried)]
    return Strategy(
        name, at_cost, deflated_sharpe(returns, spread), sharpe_difference(returns, market)
    )


def test_the_words_know_luck_from_more_and_never_promise():
    rng = np.random.default_rng(5)
    market = rng.normal(0.0, 0.01, 2500)
    knows, flips = np.sign(market + rng.normal(0, 0.02, 2500)), rng.choice([-1.0, 1.0], 2500)
    holding = earned(np.ones(2500), market)
    good = money_words([strategy("a", knows * market, market, 3)], holding)
    assert "more than the luck" in good
    assert "above it: a." in good
    luck = money_words([strategy("b", flips * market, market, 40)], holding)
    assert "by luck alone" in luck
    assert "None can be told" in luck
    assert "nothing is left" in luck
    for words in (good, luck):
        assert "not what will; it is no advice" in words
        assert not {"will earn", "guarantee", "profit"} & set(words.split())


def test_of_strategies_that_stand_aside_nothing_can_be_said():
    market = np.array([0.01, 0.02, 0.03])
    aside = strategy("aside", np.zeros(3), market)
    with pytest.raises(ValueError, match="no strategy has returns that vary"):
        money_words([aside], earned(np.ones(3), market))


def test_a_sharpe_ratio_is_deflated_by_skew_and_tails():
    # mean 0.01, deviation 0.02: ratio 0.5; of the population skew 2 / sqrt 3, kurtosis 7 / 3
    found = deflated_sharpe([0.0, 0.0, 0.0, 0.04], [0.5])
    spread = math.sqrt(1 - 2 / math.sqrt(3) * 0.5 + (7 / 3 - 1) / 4 * 0.25)
    assert found == pytest.approx(NormalDist().cdf(0.5 * math.sqrt(3) / spread))


@pytest.mark.parametrize(
    "a", [[-0.01, 0.01, 0.0, 0.02], [0.01, 0.03, 0.02, 0.04], [0.04, 0.0, 0.01, 0.02]]
)
def test_the_difference_of_two_sharpe_ratios_by_hand(a):
    b = [0.0, 0.01, 0.02, 0.03]
    one, other = (np.mean(x) / np.std(x, ddof=1) for x in (a, b))
    rho = np.corrcoef(a, b)[0, 1]
    # Memmel's variance of the difference, times the number of bars
    error = math.sqrt((2 * (1 - rho) + (one**2 + other**2 - 2 * one * other * rho**2) / 2) / 4)
    found = sharpe_difference(a, b)
    year = math.sqrt(252)
    assert found.difference == pytest.approx(year * (one - other), abs=1e-9)
    assert found.low == pytest.approx(year * (one - other - 1.959964 * error), rel=1e-6)
    assert found.high == pytest.approx(year * (one - other + 1.959964 * error), rel=1e-6)
    assert found.p_value == pytest.approx(2 * NormalDist().cdf(-abs(one - other) / error))


def test_a_strategy_that_never_varies_cannot_be_compared():
    for pair in (([0.0, 0.0], [0.01, 0.02]), ([0.01, 0.02], [0.0, 0.0])):
        assert all(map(math.isnan, sharpe_difference(*pair)))


def test_two_tries_have_some_luck():
    second = NormalDist().inv_cdf(1 - 1 / (2 * math.e))
    by_hand = math.sqrt(0.02) * 0.5772156649 * second
    assert luckiest([-0.1, 0.1]) == pytest.approx(by_hand)


def test_a_single_trade_may_break_even_and_what_gains_nothing_does_not():
    assert earned([1.0, 1.0], [0.01, 0.02]).break_even_bp == pytest.approx(300)
    assert math.isnan(earned([1.0, 1.0], [0.01, -0.01]).break_even_bp)


def test_without_a_word_of_costs_there_are_none():
    assert net_returns([1.0], [0.01]).tolist() == [0.01]


def test_a_scaled_position_is_whole_at_most_either_way():
    assert scaled_positions([0.0, 0.0, -0.02]).tolist() == [0.0, 0.0, -1.0]
