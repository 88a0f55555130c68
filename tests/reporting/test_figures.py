"""What pictures show and where their axes end, without looking at pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.reporting import gate_figure, page


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize(
    ("values", "limit"), [([[0.5, -2.0], [1.0, 0.0]], 2.0), ([[0.0] * 2], 1.0)]
)
def test_units_are_coloured_from_as_far_below_zero_as_above(axes, values, limit):
    gate_figure._draw_units(axes.figure, axes, np.arange(2), np.array(values))
    (image,) = axes.collections
    assert image.get_clim() == (-limit, limit)
    assert image.get_cmap()(1.0)[0] > image.get_cmap()(1.0)[2], "red is above zero"


def test_days_on_which_a_price_rose_and_fell_have_their_own_dots(axes):
    closes = np.array([10.0, 11.0, 11.0, 9.0, 12.0])
    gate_figure._draw_prices(axes, np.arange(5), closes, "day")
    line, rising, falling = axes.lines
    assert line.get_ydata().tolist() == closes.tolist()
    assert (rising.get_label(), rising.get_xdata().tolist()) == ("rising day", [1, 4])
    assert (falling.get_label(), falling.get_xdata().tolist()) == ("falling day", [3])
    assert falling.get_ydata().tolist() == [9.0]


def test_a_gate_is_its_mean_over_units_with_the_middle_four_fifths(axes):
    name = next(iter(gate_figure.COLOURS))
    units = np.array([np.linspace(0, 1, 11), np.full(11, 0.5)])
    gate_figure._draw_gates(axes, np.arange(2), {name: units})
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.5, 0.5])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.1, 0.9))


def test_groups_stand_in_rows_the_best_on_top_with_half_a_row_of_room():
    seen = []
    groups = [SimpleNamespace(name="best"), SimpleNamespace(name="other")]
    text = page._rows(lambda axes: seen.append((axes.get_ylim(), axes.get_yticks())), groups)
    ((limits, ticks),) = seen
    assert limits == (1.5, -0.5)
    assert list(ticks) == [0, 1]
    assert text.startswith("<svg")
    assert "best" in text


@pytest.mark.parametrize(
    ("ends", "values", "limits"),
    [
        ((-100.0, 100.0), (1.0, 3.0), (-3.0, 7.0)),  # twice their distance to either side
        ((0.0, 4.0), (1.0, 3.0), (0.0, 4.0)),  # what fits stays
        ((-100.0, 100.0), (2.0, 2.0), (1.996, 2.004)),  # equal ones have a thousandth
    ],
)
def test_long_intervals_do_not_push_the_means_together(axes, ends, values, limits):
    axes.set_xlim(*ends)
    page._limit(axes, values)
    assert axes.get_xlim() == pytest.approx(limits)


def quantities(layers=2):
    """Return gates and states of 4 days and 2 units; the last cells are in falling order."""
    made = {name: np.full((layers, 4, 2), 0.5) for name in ("input", "forget", "hidden")}
    cell = np.zeros((layers, 4, 2))
    cell[:, 1] = (0.0, 9.0)
    cell[:, -1] = (5.0, 1.0)
    candidate = np.zeros((layers, 4, 2))
    candidate[:, :] = (0.1, 0.2)
    return made | {"cell": cell, "candidate": candidate}


def test_a_layer_is_a_column_of_prices_gates_and_maps_ordered_by_the_last_state():
    dates = np.datetime64("2020-01-01") + np.arange(4)
    figure = gate_figure.gate_figure(dates, np.array([1.0, 2.0, 1.0, 2.0]), quantities(), "about")
    grid = np.array(figure.axes[:10]).reshape(5, 2)
    assert [axes.get_title(loc="left") for axes in grid[0]] == ["layer 1", "layer 2"]
    labels = [axes.get_ylabel() for axes in grid[2:, 0]]
    assert labels == ["candidate, units", "cell, units", "hidden, units"]
    assert [axes.get_ylabel() for axes in grid[2:, 1]] == ["", "", ""]
    for axes in grid[2]:
        shown = np.asarray(axes.collections[0].get_array()).reshape(2, 4)
        assert shown[:, 0].tolist() == [0.2, 0.1], "the unit of the smaller last cell is below"
    assert grid[-1, 0].get_xticklabels()[0].get_rotation() == 30
    assert grid[0, 0].get_shared_x_axes().joined(grid[0, 0], grid[-1, 1])
    assert [axes.get_legend()._ncols for axes in grid[:2, 0]] == [2, 3]
    assert not any(axes.get_legend().get_frame_on() for axes in grid[:2].ravel())


def test_a_network_of_one_layer_without_a_cell_is_ordered_by_what_it_hides():
    plain = {"hidden": np.array([[[0.0, 0.0], [2.0, 1.0]]]), "reset": np.full((1, 2, 2), 0.5)}
    dates = np.datetime64("2020-01-01") + np.arange(2)
    figure = gate_figure.gate_figure(dates, np.array([1.0, 2.0]), plain, "about")
    map_ = figure.axes[2]
    assert map_.get_ylabel() == "hidden, units"
    assert np.asarray(map_.collections[0].get_array()).reshape(2, 2)[:, 1].tolist() == [1.0, 2.0]
