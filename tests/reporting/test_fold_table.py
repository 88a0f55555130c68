"""The folds of an evaluation: every cell, of values that are known."""

from src.reporting.fold_table import fold_table


def fold(number, **more):
    test = {"first": f"2020-0{number}-01", "last": f"2020-0{number}-28"}
    made = {"fold": number, "test": test, "train": {"windows": 1000 * number}}
    return {**made, "error": 2.0 * number, "ratio": 0.5, **more}


def report(*folds, **over):
    over = {"n": len(folds), "mean": 0.5, "low": 0.25, "high": 0.75, **over}
    return {"run": "walk", "folds": list(folds), "over_folds": {"ratio": over}}


def test_folds_are_rows_with_what_they_were_trained_on_and_the_interval_over_them():
    table = fold_table(report(fold(1), fold(2)))
    assert table.title == "Folds of walk"
    assert table.headers == ("fold", "test from", "to", "training", "error", "ratio")
    assert table.rows == (
        ("1", "2020-01-01", "2020-01-28", "1,000", "2.000", "0.5000"),
        ("2", "2020-02-01", "2020-02-28", "2,000", "4.000", "0.5000"),
    )
    assert table.names == 3
    assert table.caption == (
        "Ratio to the forecast without a model, over 2 folds: mean 0.5000, 95% t interval 0.2500 "
        "to 0.7500."
    )


def test_what_each_fold_chose_has_a_column_and_one_fold_no_interval():
    table = fold_table(report(fold(1, fitting={"lags": 5, "alpha": 0.1})))
    assert table.headers == ("fold", "test from", "to", "chosen", "training", "error", "ratio")
    assert table.rows[0][3:5] == ("lags=5 alpha=0.1", "1,000")
    assert table.names == 4
    assert table.caption.endswith("over 1 fold: mean 0.5000.")
