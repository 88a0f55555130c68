"""Prices from JSON and text: what is taken, and how the rest is named."""

import json

import numpy as np
import pytest

from src.serving.prices import FieldError, parse_series
from src.serving.requests import parse_prices


@pytest.mark.parametrize(
    "text",
    [
        "1 2.5 3",
        "1, 2.5, 3",
        "1,2.5,3",
        "1\n2.5\r\n3\n",
        "[1, 2.5, 3]",
        '{"prices": [1, 2.5, 3e0]}',
    ],
)
def test_every_usual_way_to_write_prices_is_read(text):
    (series,) = parse_series(text)
    np.testing.assert_array_equal(series, [1, 2.5, 3])


def test_one_word_with_a_comma_is_two_prices_and_sizes_end_at_thirty_digits():
    assert [series.tolist() for series in parse_series("32,5")] == [[32, 5]]
    assert [series.tolist() for series in parse_series("9e29 2e-30")] == [[9e29, 2e-30]]
    for text in ("1e30", "1e-30"):
        with pytest.raises(ValueError, match="expected a number between 1e-30 and 1e"):
            parse_series(text)


@pytest.mark.parametrize("form", ["[{}]", '{{"prices": [{}]}}', "{}"])
def test_prices_lie_between_thirty_digits_before_and_after_the_point(form):
    assert [series.tolist() for series in parse_series(form.format("9e29"))] == [[9e29]]
    assert [series.tolist() for series in parse_series(form.format("2e-30"))] == [[2e-30]]
    for price in ("1e30", "1e-30"):
        with pytest.raises(ValueError, match=r"expected a number between 1e-30 and 1e\+30$"):
            parse_series(form.format(price))


def test_the_largest_price_of_a_request_is_at_most_a_million_times_the_smallest():
    assert parse_prices('{"prices": [1, 1e6]}', 2).tolist() == [1, 1e6]
    with pytest.raises(FieldError) as refused:
        parse_prices('{"prices": [2, 1, 1000001]}', 3)
    assert str(refused.value) == (
        "prices[2]: found prices from 1 to 1e+06, expected a factor of 1e+06 at most"
    )


def test_a_refusal_says_what_was_found_and_what_was_expected():
    said = {
        "{}": "prices: found no such field",
        "3": 'the document: expected an object, {"prices": [...]}',
        '{"prices": 3}': "prices: found 3, expected an array of numbers",
        '{"prices": [1]}': "prices: found 1 prices, expected 2",
        '{"x": 1}': "x: found an unknown field, expected prices alone",
        '{"x": 1, "x": 2}': "x: found the key twice, expected it once",
        '{"prices": [1,': "the document: not JSON: Expecting value at line 1, column 15",
    }
    found = {}
    for text in said:
        with pytest.raises(FieldError) as refused:
            parse_prices(text, 2)
        found[text] = str(refused.value)
    assert found == said


def test_long_words_are_shown_from_their_beginning():
    with pytest.raises(FieldError) as refused:
        parse_prices(json.dumps({"prices": ["x" * 41]}), 1)
    assert refused.value.message.startswith(f"found the string '{'x' * 37}...', expected ")
    with pytest.raises(FieldError) as refused:
        parse_prices(json.dumps({"prices": ["x" * 40]}), 1)
    assert refused.value.message.startswith(f"found the string '{'x' * 40}', expected ")


def test_several_series_are_read_at_once():
    assert [series.tolist() for series in parse_series("[[1, 2], [3]]")] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input:1:1: found nothing"),
        ("1 2\n3 x", "standard input:2:2: found 'x'"),
        ("1 -2", "standard input:1:2: found '-2'"),
        ("1 0", "found '0'"),
        ("nan", "found 'nan'"),
        ("1e39", "found '1e39'"),
        ("32,5 33,1", "found '32,5', which may be one price or two"),
        ("[1, true]", r"prices\[1\]: found true"),
        ("[[1], [2, null]]", r"prices\[1\]\[1\]: found null"),
        ('{"price": [1]}', "found the keys 'price', expected prices alone"),
        ("[1, 2", "not JSON"),
    ],
)
def test_what_is_no_price_is_named_with_its_place(text, message):
    with pytest.raises(ValueError, match=message):
        parse_series(text)


@pytest.mark.parametrize(
    ("text", "field", "index"),
    [
        ('{"prices": [1]}', "prices", None),
        ('{"prices": [1, 2, 3]}', "prices", None),
        ('{"prices": []}', "prices", None),
        ('{"prices": null}', "prices", None),
        ('{"prices": "1 2"}', "prices", None),
        ('{"prices": {"0": 1}}', "prices", None),
        ('{"prices": [1, null]}', "prices", 1),
        ('{"prices": [1, "2"]}', "prices", 1),
        ('{"prices": [true, 2]}', "prices", 0),
        ('{"prices": [1, [2]]}', "prices", 1),
        ('{"prices": [1, NaN]}', "prices", 1),
        ('{"prices": [-Infinity, 2]}', "prices", 0),
        ('{"prices": [1, 1e400]}', "prices", 1),
        ('{"prices": [1, ' + "9" * 5000 + "]}", "prices", 1),
        ('{"prices": [1, 0]}', "prices", 1),
        ('{"prices": [1, -2]}', "prices", 1),
        ('{"prices": [1, 1e-400]}', "prices", 1),
        ("{}", "prices", None),
        ('{"prices": [1, 2], "more": 1}', "more", None),
        ('{"prices": [1, 2], "prices": [1, 2]}', "prices", None),
        ('{"prices": [1, 2], "\\ud800": 1}', "\\ud800", None),
        ("[1, 2]", None, None),
        ("null", None, None),
        ("", None, None),
        ("[" * 100_000, None, None),
        ("{'prices': [1, 2]}", None, None),
    ],
)
def test_a_faulty_request_is_refused_naming_field_and_index(text, field, index):
    with pytest.raises(FieldError) as refused:
        parse_prices(text, 2)
    assert (refused.value.field, refused.value.index) == (field, index)
    refused.value.message.encode("ascii")
