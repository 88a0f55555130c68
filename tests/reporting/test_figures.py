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
