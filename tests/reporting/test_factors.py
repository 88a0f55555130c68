import pandas as pd

from src.reporting.factors import find_factors, text


def factors_of(**columns):
    columns = {key.replace("__", "."): values for key, values in columns.items()}
    return find_factors(pd.DataFrame(columns, dtype=object))


def test_what_never_changes_is_no_factor():
    assert [f.name for f in factors_of(pooling=["mean", "last"], norm=["none", "none"])] == [
        "pooling"
    ]
    assert factors_of(pooling=["mean"]) == []


def test_a_key_that_follows_from_its_group_is_no_factor():
    found = factors_of(pooling=["mean", "learnable"], pooling__init=[None, "uniform"])
    assert [f.keys for f in found] == [("pooling",)]


def test_a_key_that_varies_within_an_option_is_a_factor():
    pooling = ["mean", "learnable", "learnable"]
    found = factors_of(pooling=pooling, pooling__init=[None, "uniform", "recency_log"])
    assert [f.name for f in found] == ["pooling", "init"]
    rows = [{"pooling": "mean", "pooling.init": None}]
    assert [f.label(f.level(rows[0])) for f in found] == ["pooling=mean", ""]


def test_keys_that_only_change_together_are_one_factor():
    (found,) = factors_of(model=["rnn", "gru", "rnn"], data__source=["a.csv", "b.csv", "a.csv"])
    assert found.name == "model"
    assert found.together == "With model changes source."
    level = found.level({"model": "rnn", "data.source": "shares/a.csv"})
    assert found.title(level) == "rnn"
    assert found.label(level) == "model=rnn source=a"


def test_keys_with_the_same_last_part_keep_their_whole_name():
    found = factors_of(model__norm=[1, 1, 2, 2], pooling__norm=[1, 2, 1, 2], norm=[1, 2, 2, 1])
    assert [f.name for f in found] == ["model.norm", "pooling.norm", "norm"]


def test_many_keys_in_one_factor_are_cut_short():
    (found,) = factors_of(a=[1, 2], b=[1, 2], c=[1, 2], d=[1, 2], e=[1, 2])
    assert found.name == "a"
    assert found.together == "With a change b, c, d, 1 more."


def test_numbers_have_as_few_digits_as_tell_them_apart():
    (found,) = factors_of(lr=[0.000138698, 0.0025])
    assert found.level({"lr": 0.000138698}) == ("0.000139",)
    (found,) = factors_of(lr=[0.12341, 0.12342])
    assert found.level({"lr": 0.12341}) == ("0.12341",)


def test_ten_digits_of_a_number_are_shown_and_nothing_is_a_dash():
    assert text(1 / 3) == "0.3333333333"
    assert text(float("nan")) == "-"


def test_three_more_keys_are_shown_all():
    (found,) = factors_of(a=[1, 2], b=[1, 2], c=[1, 2], d=[1, 2])
    assert found.together == "With a change b, c, d."
    assert found.label(("1", "2", "3", "4")) == "a=1 b=2 c=3"
