import numpy as np
import pytest
import torch

from src.board.pictures import LEFT, PLOT, STOPS, TOP, forecast_figure, heatmap


def colour(picture, column, row, shape):
    """Return the colour in the middle of one cell of a heatmap of `shape` (rows, columns)."""
    rows, columns = shape
    x = LEFT + int((column + 0.5) * PLOT[0] / columns)
    y = TOP + int((row + 0.5) * PLOT[1] / rows)
    return tuple(picture[:, y, x].tolist())


def test_equal_weights_are_white():
    picture = heatmap(torch.full((3, 20), 0.05), [1, 10, 20], "weights")
    assert picture.dtype == torch.uint8
    assert colour(picture, 7, 1, (3, 20)) == STOPS[2]


@pytest.mark.parametrize(
    ("multiple", "stop"), [(0.0, 0), (0.25, 0), (0.5, 1), (1.0, 2), (2.0, 3), (4.0, 4), (9.0, 4)]
)
def test_a_weight_has_the_colour_of_its_multiple_of_an_equal_share(multiple, stop):
    weights = torch.full((2, 10), 0.1)
    weights[1, 9] = multiple / 10
    picture = heatmap(weights, [1, 100], "weights")
    assert colour(picture, 9, 1, (2, 10)) == STOPS[stop]
    assert colour(picture, 9, 0, (2, 10)) == STOPS[2]


def test_a_heatmap_has_one_size_however_long_the_training_was():
    sizes = {
        heatmap(torch.rand(records, 60), list(range(records)), "weights").shape
        for records in (1, 2, 256)
    }
    assert len(sizes) == 1


def test_the_forecast_figure_shows_gains_in_green_and_losses_in_red():
    days = np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]")
    price = np.linspace(100, 120, len(days)) + np.sin(np.arange(len(days)))
    last = np.concatenate([[100.0], price[:-1]])

    def reddish_and_greenish(predicted):
        picture = forecast_figure(days, last, price, predicted).int()
        panel = picture[:, 600:, 120:-20]
        red, green, _ = panel
        # The legend's patches show both colours; the filled area decides.
        return int((red > green + 40).sum()), int((green > red + 40).sum())

    red, green = reddish_and_greenish(price)
    assert green > 2 * red
    red, green = reddish_and_greenish(2 * last - price)
    assert red > 2 * green


def test_a_single_day_can_be_drawn():
    day = np.array(["2020-01-01"], dtype="datetime64[D]")
    assert forecast_figure(day, *np.array([[1.0], [2.0], [1.5]])).shape == (3, 840, 720)
