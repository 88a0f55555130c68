"""What the figures of the claims show is all there."""

import math

from matplotlib.figure import Figure

from benchmarks.claims.panels import draw_cures
from benchmarks.claims.remedies import CURE, NOTHING, Cure
from src.reporting.statistics import estimate


def cure(loss, word):
    zeros, none = estimate([-0.5, -0.6]), estimate([0.0, 0.0])
    return Cure("a remedy", "bars", "dead_inputs", zeros, none, loss, none, word)


def test_no_interval_of_a_remedy_is_cut():
    axes = Figure().subplots()
    wide = estimate([0.01, -0.03, 0.02])
    draw_cures(axes, [cure(wide, CURE), cure(estimate([0.001, 0.002]), NOTHING)])
    low, high = axes.get_xlim()
    assert low < wide.low < wide.high < high


def test_one_seed_leaves_a_point_without_an_interval():
    axes = Figure().subplots()
    draw_cures(axes, [cure(estimate([0.02]), NOTHING)])
    assert all(map(math.isfinite, axes.get_xlim()))
