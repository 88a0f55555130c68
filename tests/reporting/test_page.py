"""What the figures of a page hold, without looking at pixels."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from src.reporting import load_runs, page
from src.reporting.page import COLOURS
from src.reporting.statistics import Estimate
from tests.reporting.fabricate import fabricate

GREY = "#9aa3ad"


@pytest.fixture
def axes(monkeypatch):
    own = Figure().add_subplot()
    monkeypatch.setattr(page, "_rows", lambda draw, groups: draw(own))
    return own


def estimate(mean, n=2):
    low, high = (mean - 1, mean + 1) if n > 1 else (math.nan, math.nan)
    return Estimate(mean, 0.5, low, high, n, 0.01)


def group(label, mean=2.0, apart=None, holm_p=0.01, n=2):
    return SimpleNamespace(
        label=label, name=label, metric=estimate(mean, n), metric_difference=apart, holm_p=holm_p
    )


def compared(*groups, baseline=math.nan, **more):
    rows = [(g.label, g.metric.mean + side) for g in groups for side in (-0.5, 0.5)]
    scores = pd.DataFrame(rows, columns=["group", "metric"])
    known = {"ranked": groups, "scores": scores, "baseline": baseline, "daily": None}
    return SimpleNamespace(**known | {"metric": "test/rmse", "step": "day"} | more)


def drawn(axes):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_scores_are_dots_with_a_diamond_and_an_interval_where_there_is_one(axes):
    worse = group("b", 3.0, estimate(1.0), n=1)
    page.scores_figure(compared(group("a"), worse))
    assert drawn(axes) == [
        ([1.5, 2.5], [0, 0]),
        ([1.0, 3.0], [0, 0]),
        ([2.0], [0]),
        ([2.5, 3.5], [1, 1]),
        ([3.0], [1]),
    ]
    assert [line.get_color() for line in axes.lines[1:4]] == [
        *[COLOURS["best"]] * 2,
        COLOURS["worse"],
    ]
    assert {line.get_markersize() for line in axes.lines if line.get_marker() in "oD"} == {5.0}
    assert axes.get_xlabel() == "test/rmse"


def test_differences_are_drawn_where_seeds_are_shared(axes):
    groups = [group("a"), group("b", apart=estimate(1.0)), group("c", apart=estimate(math.nan, 0))]
    page.differences_figure(compared(*groups, group("d")))
    assert drawn(axes) == [([0, 0], [0, 1]), ([0.0, 2.0], [0, 0]), ([1.0], [0])]
    assert axes.get_xlabel() == "test/rmse, difference to a"


def test_thirty_groups_are_shown(monkeypatch):
    monkeypatch.setattr(page, "_rows", lambda draw, groups: [g.label for g in groups])
    names = [f"{n}" for n in range(40)]
    comparison = compared(*map(group, names))
    assert page.scores_figure(comparison) == names[:30]
    assert page.differences_figure(comparison) == names[1:31]


def test_days_sum_up_what_was_gained_on_no_model(monkeypatch):
    axes, heights = Figure().add_subplot(), []
    monkeypatch.setattr(page, "_svg", lambda draw, height: (heights.append(height), draw(axes)))
    daily = SimpleNamespace(
        date=np.array(["2020-01-01", "2020-01-02"]),
        baseline=np.array([2.0, 2.0]),
        groups={"a": np.array([0.5, 3.0])},
    )
    page.days_figure(compared(group("a"), group("b"), daily=daily))
    zero, gained = axes.lines
    assert list(zero.get_ydata()) == [0, 0]
    assert list(gained.get_ydata()) == [1.5, 0.5]
    assert gained.get_label() == "a"
    assert not axes.get_legend().get_frame_on()
    assert heights == [3.4]


@pytest.mark.parametrize(
    ("value", "said", "marked"),
    [
        (5.0, "", True),
        (0.0, "", True),
        (20.0, ' ("tomorrow = today", at 20.000, lies outside)', False),
        (math.nan, "", False),
    ],
)
def test_no_model_is_marked_or_said_to_lie_outside(value, said, marked):
    axes = Figure().add_subplot()
    axes.set_xlim(0, 10)
    assert page._draw_baseline(axes, compared(baseline=value)) == said
    assert [list(line.get_xdata()) for line in axes.lines] == [[value, value]] * marked
    assert [text.xy for text in axes.texts] == [(value, 1.0)] * marked


def test_rows_have_no_ticks_a_grid_behind_and_a_third_of_an_inch_each(monkeypatch):
    axes, heights = Figure().add_subplot(), []
    monkeypatch.setattr(page, "_svg", lambda draw, height: (heights.append(height), draw(axes)))
    page._rows(lambda axes: None, [group("a"), group("b")])
    assert heights == [pytest.approx(1.68)]
    assert axes.get_axisbelow() is True
    assert axes.yaxis.get_major_ticks()[0].tick1line.get_markersize() == 0


def test_figures_have_their_style_and_the_width_of_the_page():
    seen = []

    def draw(axes):
        shown = [axes.spines[side].get_visible() for side in ("top", "right", "left")]
        sizes = [matplotlib.rcParams[f"{name}size"] for name in ("font.", "axes.title")]
        seen.append((shown, sizes))

    text = page._svg(draw, 1.0)
    assert seen == [([False, False, True], [10, 11])]
    assert not re.search(r'<svg[^>]*width="', text)


def test_there_is_a_figure_for_what_there_is_to_show(monkeypatch):
    for name in ("scores", "differences", "days"):
        monkeypatch.setattr(page, f"{name}_figure", lambda comparison, name=name: name)

    def shown(*groups, daily=None):
        return [name for name, _ in page._figures(compared(*groups, daily=daily))]

    assert shown() == []
    assert shown(group("a"), daily=SimpleNamespace(groups={})) == ["scores"]
    daily = SimpleNamespace(groups={"a": 1})
    every = ["scores", "differences", "days"]
    assert shown(group("a"), group("b", apart=estimate(1.0)), daily=daily) == every


def test_every_run_has_its_words_and_scores(tmp_path):
    fabricate(tmp_path / "exp", val=0.25, rmse=2.0, duration_s=12.0)
    table = page._every_run(load_runs(tmp_path))
    assert table.headers[:4] == ("experiment", "run", "status", "cause")
    assert table.rows == (
        *[("exp", "mean-none-seed0-0", "finished", "-", "0.2500", "2.000", "0.5000", "12.000")],
    )
    assert table.names == 4


def test_a_page_ends_as_a_file_does(tmp_path):
    fabricate(tmp_path, status="failed")
    text = page.page("title", [], load_runs(tmp_path), ["remark"], Path(tmp_path))
    assert text.endswith("</html>\n")
    assert "<p>remark</p>" in text
