"""Tables of scores in words and Markdown, of numbers that are known."""

import pytest

from src.reporting.score_tables import (
    SERIES_CAPTION,
    _score,
    interval_table,
    ratio,
    ratio_sentence,
    score_table,
    series_table,
    steps_table,
)
from src.reporting.text import markdown_rows


def part(coverage, by_year, score=1.23456):
    return {"coverage": coverage, "by_year": by_year, "interval_score": score}


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_the_worst_year_is_that_farthest_from_what_should_hold_above_or_below():
    intervals = {
        "own": {
            "crps": 0.5,
            "pinball": 0.25,
            "intervals": {"0.9": part(0.9, {"2017": 0.93, "2018": 0.96, "2019": 0.85})},
        },
        "conformal": {
            "0.9": part(0.88, {"2018": 0.91, "2019": 0.8}, 2.0),
            "0.5": part(0.5, {"2018": 0.45, "2019": 0.52}, 3.0),
        },
    }
    table = interval_table(intervals)
    assert [column.header for column in table.columns] == [
        "should hold",
        *("conformal: held", "worst year", "score"),
        *("own: held", "worst year", "score"),
    ]
    assert cells(table) == [
        ["50%", "90%"],
        ["50.0%", "88.0%"],
        ["45.0% (2018)", "80.0% (2019)"],
        ["3", "2"],
        ["-", "90.0%"],
        ["-", "96.0% (2018)"],
        ["-", "1.235"],
    ]
    assert str(table.caption).splitlines() == [
        "CRPS 0.5, pinball loss 0.25.",
        "score: interval score, less is better; it counts width and misses.",
        "conformal, 90% by year: 2018 91.0%, 2019 80.0%.",
        "own, 90% by year: 2017 93.0%, 2018 96.0%, 2019 85.0%.",
    ]


def test_without_intervals_of_its_own_a_model_shows_the_conformal_ones_alone():
    table = interval_table({"conformal": {"0.8": part(0.8, {"2019": 0.8})}})
    assert len(table.columns) == 4
    assert "CRPS" not in str(table.caption)
    assert cells(table)[2] == ["80.0% (2019)"]


def test_the_first_column_of_markdown_is_words_and_the_others_numbers():
    rows = markdown_rows(("a", "b", "c"), [("x", "1", "2|3")])
    assert rows == ["| a | b | c |", "|:--|--:|--:|", "| x | 1 | 2\\|3 |"]
    assert markdown_rows(("a", "b", "c"), [], names=2)[1] == "|:--|:--|--:|"


PRICES = {"rmse": 2.5, "mae": 1.25, "mape": 0.5, "directional_accuracy": 0.5125}
NAIVE = {"rmse": 5.0, "mae": 2.5, "mape": 1.0, "directional_accuracy": 0.525}
VARIANCES = {"qlike": 0.25, "log_mse": 1.5}
DIRECTIONS = {"log_loss": 0.6875, "brier": 0.25, "accuracy": 0.5125}


def doubled(scores):
    return {name: 2 * value for name, value in scores.items()}


def rows(table):
    return [list(row) for row in zip(*cells(table), strict=True)]


def test_scores_of_prices_stand_beside_those_of_today():
    table = score_table(PRICES, NAIVE)
    assert [c.header for c in table.columns] == [
        *("metric", "unit", "model", "tomorrow = today", "ratio"),
    ]
    assert [c.justify for c in table.columns] == ["left", "left", "right", "right", "right"]
    assert rows(table) == [
        ["RMSE", "price", "2.50", "5.00", "0.500"],
        ["MAE", "price", "1.25", "2.50", "0.500"],
        ["MAPE", "%", "0.500", "1.000", "0.500"],
        ["directional accuracy", "share", "0.512", "0.525 (always up)", "0.976"],
    ]
    assert table.caption == 'The model removes 50.0% of the error of "tomorrow = today".'


def test_scores_of_variances_and_directions_have_their_own_decimals():
    assert rows(score_table(VARIANCES, doubled(VARIANCES))) == [
        ["QLIKE", "1", "0.2500", "0.5000", "0.500"],
        ["MSE of log variance", "1", "1.5000", "3.0000", "0.500"],
    ]
    assert rows(score_table(DIRECTIONS, doubled(DIRECTIONS))) == [
        ["log loss", "nats", "0.6875", "1.3750", "0.500"],
        ["Brier score", "1", "0.2500", "0.5000", "0.500"],
        ["accuracy", "share", "0.512", "1.025", "0.500"],
    ]


def parts(scores, naive, name="series"):
    one = {"model": scores, "baseline": naive, "windows": 1000}
    return {"model": scores, "baseline": naive, name: {"A": one, "B": one}}


def test_series_and_all_of_them_have_a_row_each():
    table = series_table(parts(PRICES, NAIVE), "Scores")
    assert table.title == "Scores by series"
    assert [c.header for c in table.columns] == [
        *("series", "windows", "RMSE", "now", "ratio", "MAPE %", "now", "signs", "up"),
    ]
    assert [c.justify for c in table.columns] == ["left", *["right"] * 8]
    own = ["2.50", "5.00", "0.500", "0.500", "1.000", "0.512", "0.525"]
    assert rows(table) == [["A", "1,000", *own], ["B", "1,000", *own], ["all", "2,000", *own]]
    assert [row.end_section for row in table.rows] == [False, True, False]
    assert table.caption == SERIES_CAPTION


def test_series_of_other_targets_have_their_columns_and_no_caption_of_prices():
    table = series_table(parts(VARIANCES, doubled(VARIANCES)))
    assert table.caption == ""
    assert [c.header for c in table.columns][2:] == [
        *("QLIKE", "as before", "ratio", "log MSE", "as before"),
    ]
    assert rows(table)[0][2:] == ["0.2500", "0.5000", "0.500", "1.5000", "3.0000"]
    table = series_table(parts(DIRECTIONS, doubled(DIRECTIONS)))
    assert [c.header for c in table.columns][2:] == [
        *("log loss", "base", "ratio", "accuracy", "base"),
    ]
    assert rows(table)[0][2:] == ["0.6875", "1.3750", "0.500", "0.512", "1.025"]


def test_steps_have_a_row_each_and_say_how_far_ahead():
    table = steps_table(parts(PRICES, NAIVE, "steps"))
    assert [c.header for c in table.columns][:3] == ["bars ahead", "windows", "RMSE"]
    assert [row[0] for row in rows(table)] == ["A", "B", "all"]
    assert (table.title, table.caption) == ("Test scores by step", "")


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.5, 2, "0.50"),
        (0.1, 2, "0.10"),
        (0.095, 2, "0.09500"),
        (0.0095, 3, "0.009500"),
        (1.5e-6, 4, "0.000001500"),
        (1e-6, 4, "1e-06"),
        (0.0, 3, "0.000"),
    ],
)
def test_a_small_score_keeps_four_digits(value, decimals, shown):
    assert _score(value, decimals) == shown


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (1.1, 'is 1.10 times as wrong as "tomorrow = today".'),
        (1.05, 'adds 5.0% to the error of "tomorrow = today".'),
        (1.0006, 'adds 0.1% to the error of "tomorrow = today".'),
        (1.0005, 'is as good as "tomorrow = today", no better.'),
        (1.0, 'is as good as "tomorrow = today", no better.'),
        (0.9995, 'is as good as "tomorrow = today", no better.'),
        (0.9994, 'removes 0.1% of the error of "tomorrow = today".'),
    ],
)
def test_a_ratio_is_told_in_words(found, said):
    assert ratio_sentence(found) == f"The model {said}"


def test_without_a_baseline_there_is_no_verdict():
    assert ratio_sentence(ratio(1.0, 0.0)) == "No verdict: a score is missing."
    assert ratio(1.0, 2.0) == 0.5
