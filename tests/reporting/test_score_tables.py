"""Tables of scores in words and Markdown, of numbers that are known."""

from src.reporting.score_tables import interval_table
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
