"""Prices from JSON and text: what is taken, and how the rest is named."""

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
