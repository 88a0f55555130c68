"""What the figures of the verdict hold, without looking at pixels."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.reporting.predictability import figures
from src.reporting.predictability.figures import BLUE, DARK, GREY, RED
from src.reporting.predictability.scores import QLIKE, RMSE, Against, Cell
from src.reporting.predictability.store import QUESTIONS

RETURN, VOLATILITY = QUESTIONS[0], QUESTIONS[3]
DATES = np.array(["2010-01-04", "2010-01-05", "2011-01-04", "2011-01-05"])


def judged(question=RETURN, cells=None, losses=None, covered=None, names=("naive", "ridge")):
    kept = SimpleNamespace(
        **{"question": question, "title": "a title", "series": "sp500", "date": DATES},
        forecasts=dict.fromkeys(names),
    )
    return SimpleNamespace(kept=kept, cells=cells, losses=losses, covered=covered or {})


def drawn(axes):
    return [(np.ravel(li.get_xdata()).tolist(), np.ravel(li.get_ydata()).tolist()) for li in axes]


CELLS = {
    "naive": Cell(1.0, None, math.nan, True),
    "ridge": Cell(0.9, Against(-0.125, -0.25, -0.0625, 0.01), 0.01, True),
    "lstm": Cell(1.1, Against(0.125, -0.0625, 0.25, 0.05), 0.05, False),
}


def test_a_gain_is_a_mark_on_its_interval_the_first_model_on_top():
    axes = Figure().add_subplot()
    names = ("lstm", "naive", "ridge", "har")  # har has no number
    figures._draw_gains(axes, judged(cells={RMSE: CELLS}, names=names))
    assert drawn(axes.lines) == [
        ([-6.25, 25.0], [0, 0]),
        ([12.5], [0]),
        ([-25.0, -6.25], [1, 1]),
        ([-12.5], [1]),
        ([0, 0], [0, 1]),
    ]
    assert [line.get_color() for line in axes.lines] == [GREY, GREY, DARK, DARK, RED]
    assert [axes.lines[n].get_marker() for n in (1, 3)] == ["D", "o"]
    assert {axes.lines[n].get_markersize() for n in (1, 3)} == {6.0}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lstm", "ridge"]
    assert axes.get_title(loc="left") == "a title"
    shown = {side: axes.spines[side].get_visible() for side in ("top", "right", "left")}
    assert shown == {"top": False, "right": False, "left": True}
    assert axes.get_xticklabels()[0].get_fontsize() == 8


@pytest.mark.parametrize(("count", "panels"), [(1, 2), (2, 2), (3, 4)])
def test_two_panels_stand_side_by_side_and_an_empty_one_is_hidden(count, panels):
    gains = figures.gains_figure([judged(cells={RMSE: CELLS})] * count)
    losses = {QLIKE: {"naive": np.ones(4), "ridge": np.zeros(4)}}
    saved = figures.saved_figure([judged(VOLATILITY, losses=losses)] * count + [judged()])
    for figure in (gains, saved):
        assert len(figure.axes) == panels
        assert [axes.get_visible() for axes in figure.axes] == [n < count for n in range(panels)]
        assert figure.axes[0].get_subplotspec().get_gridspec().ncols == 2


def test_what_a_model_saves_is_summed_over_time():
    losses = {"naive": np.array([1.0, 2.0, 1.0, 1.0]), "har": np.array([0.5, 2.5, 0.0, 1.0])}
    losses["other"] = np.ones(4)
    names = ("naive", "har", "other")
    (axes, _) = figures.saved_figure([judged(VOLATILITY, losses={QLIKE: losses}, names=names)]).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [
        [0.5, 0.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 1.0],
        [0, 0],
    ]
    assert [line.get_label() for line in axes.lines[:2]] == ["har", "other"]
    assert [line.get_color() for line in axes.lines] == [BLUE, GREY, DARK]
    assert axes.get_legend()._ncols == 2
    assert not axes.get_legend().get_frame_on()


def test_coverage_is_a_line_a_question_of_the_mean_over_models_each_year():
    held = {"a": {0.95: np.array([1, 0, 1, 1])}, "b": {0.95: np.array([1, 1, 1, 1])}}
    own = [judged(RETURN, covered=held), *[judged(VOLATILITY, covered=held)] * 4, judged()]
    (axes,) = figures.coverage_figure(own).axes
    assert drawn(axes.lines) == [([2010, 2011], [75.0, 100.0])] * 5
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", ":", "-.", "-"]
    assert [line.get_color() for line in axes.lines[:2]] == [BLUE, RED]
    assert axes.lines[1].get_label() == "sp500 volatility, 1"
    (band,) = axes.patches
    assert [band.get_y(), band.get_y() + band.get_height()] == [94, 96]
    assert list(axes.get_xticks()) == [2010, 2011]
    assert axes.get_legend()._ncols == 4
    assert not axes.get_legend().get_frame_on()
