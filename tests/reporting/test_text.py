"""Words for numbers: each bound on both sides, and each default."""

import pytest

from src.reporting import text
from src.reporting.text import TextTable, change, listed, number, p_text, percents


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.001, "0.0010"),
        (0.00099, "0.00099"),
        (0.99, "0.9900"),
        (1.0, "1.000"),
        (1.5, "1.500"),
        (99.5, "99.500"),
        (100.0, "100.0"),
        (-100.5, "-100.5"),
    ],
)
def test_a_number_has_as_many_decimals_as_its_size_asks(value, shown):
    assert number(value) == shown
    assert number(None) == "-"


def test_a_p_value_of_a_thousandth_is_not_below_it():
    assert p_text(0.001) == "0.001"
    assert p_text(0.000999) == "<0.001"
    assert p_text(float("nan")) == "-"


def test_four_labels_are_listed_and_of_five_one_is_more():
    assert listed("abcd") == "a, b, c, d"
    assert listed("abcde") == "a, b, c, d and 1 more"


def test_shares_are_small_below_half_a_tenth_of_a_per_cent():
    assert percents([0.0006]) == "0.1%"
    assert percents([0.0005]) == "0.1%"
    assert percents([0.0004, 0.02]) == "<0.1% to 2.0%"
    assert change(0.0007) == "+0.1%"
    assert change(0.0004) == "+0.04%"


def test_words_stand_at_the_left_and_numbers_at_the_right_and_names_have_room():
    rows = (("abc", "a name that is long", "1"), ("d", "e", "2"))
    shown = text.rich_table(TextTable("T", ("a", "b", "c"), rows, 2, "said"))
    assert [column.justify for column in shown.columns] == ["left", "left", "right"]
    assert [column.min_width for column in shown.columns] == [3, 9, None]
    assert str(shown.caption) == "said"
    empty = text.rich_table(TextTable("T", ("a", "b"), ()))
    assert [column.min_width for column in empty.columns] == [0, None]
    assert empty.caption is None
