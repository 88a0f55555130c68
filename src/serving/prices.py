"""Prices from JSON or plain text, checked number by number.

JSON is read strictly: Python's reader takes NaN, keeps the last of two equal keys and turns true
into 1. Here each is found and named.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from src.data.reading.errors import DataError, quote

SMALLEST, LARGEST = 1e-30, 1e30
EXPECTED = f"a number between {SMALLEST:g} and {LARGEST:g}"
STDIN = "standard input"

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ONE_COMMA = re.compile(r"[0-9]+,[0-9]+")


class FieldError(ValueError):
    """A fault in a JSON document.

    Args:
        message: What was found and what was expected.
        field: The key at fault; None where it is the document.
        index: Position in its array, counted from 0; None where it is the whole field.

    >>> print(FieldError("found NaN, expected a number", "prices", 3))
    prices[3]: found NaN, expected a number
    """

    def __init__(self, message: str, field: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.message, self.field, self.index = message, field, index

    def __str__(self) -> str:
        place = "" if self.index is None else f"[{self.index}]"
        return f"{self.field or 'the document'}{place}: {self.message}"


def parse_json(text: str) -> Any:
    """Parse JSON; all numbers become floats, those too large and NaN non-finite ones.

    Raises:
        FieldError: If it is not JSON, is nested too deeply or an object has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=float)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FieldError(f"not JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise FieldError("found brackets nested too deeply, expected an object") from None


def check_prices(values: Any, field: str = "prices", count: int | None = None) -> np.ndarray:
    """Check parsed JSON to be a series of prices.

    Args:
        values: What stands where the prices should.
        field: Its name, for messages.
        count: How many there have to be; None for any number.

    Returns:
        The prices (count,), float64.

    Raises:
        FieldError: Naming the index of the first value that is no price.
    """
    if not isinstance(values, list):
        raise FieldError(f"found {describe(values)}, expected an array of numbers", field)
    for index, value in enumerate(values):
        if not isinstance(value, float) or not SMALLEST < value < LARGEST:
            raise FieldError(f"found {describe(value)}, expected {EXPECTED}", field, index)
    if count is not None and len(values) != count:
        raise FieldError(f"found {len(values)} prices, expected {count}", field)
    return np.array(values, dtype=np.float64)


def parse_series(text: str) -> list[np.ndarray]:
    """Parse prices as people type or pipe them.

    Args:
        text: A JSON array of prices, an array of such arrays, an object with `prices`; or numbers
            with whitespace or commas between them, one series.

    Returns:
        One array of prices for each series, float64.

    Raises:
        ValueError: If something is no price; `DataError` and `FieldError` say where.

    >>> parse_series("32.5, 33.1 42.8")
    [array([32.5, 33.1, 42.8])]
    >>> parse_series("[[1, 2], [3, 4]]")
    [array([1., 2.]), array([3., 4.])]
    """
    if not text.lstrip().startswith(("[", "{")):
        return [_parse_numbers(text)]
    values = parse_json(text)
    if isinstance(values, dict):
        if set(values) != {"prices"}:
            keys = ", ".join(map(quote, values)) or "none"
            raise FieldError(f"found the keys {keys}, expected prices alone")
        values = values["prices"]
    if values and all(isinstance(value, list) for value in values):
        return [check_prices(series, f"prices[{i}]") for i, series in enumerate(values)]
    return [check_prices(values)]


def describe(value: Any) -> str:
    """Name a value of parsed JSON in a few ASCII characters.

    >>> [describe(value) for value in (True, None, float("nan"), "abc", [1.0], 3.5)]
    ['true', 'null', 'NaN', "the string 'abc'", 'an array', '3.5']
    """
    if isinstance(value, float):
        if math.isfinite(value):
            return f"{value:g}"
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, str):
        # ASCII only: a lone surrogate, legal in JSON, cannot be written as UTF-8.
        return f"the string {value if len(value) <= 40 else value[:37] + '...'!a}"
    names: dict[Any, str] = {True: "true", False: "false", None: "null"}
    if isinstance(value, bool) or value is None:
        return names[value]
    return "an array" if isinstance(value, list) else "an object"


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise FieldError("found the key twice, expected it once", ascii(key)[1:-1][:40])
        result[key] = value
    return result


def _parse_numbers(text: str) -> np.ndarray:
    _refuse_decimal_commas(text)
    values = []
    for row, line in enumerate(text.splitlines(), start=1):
        for column, word in enumerate(line.replace(",", " ").split(), start=1):
            value = float(word) if _NUMBER.fullmatch(word) else math.nan
            if not SMALLEST < value < LARGEST:
                raise DataError(STDIN, row, column, quote(word), EXPECTED)
            values.append(value)
    if not values:
        raise DataError(STDIN, 1, 1, "nothing", "prices")
    return np.array(values)


def _refuse_decimal_commas(text: str) -> None:
    """Refuse `32,5 33,1`: four prices to a program, two to a Brazilian."""
    words = text.split()
    if len(words) > 1 and all(_ONE_COMMA.fullmatch(word) for word in words):
        expected = "decimal points, or commas followed by a space"
        raise DataError(STDIN, 1, 1, f"{quote(words[0])}, which may be one price or two", expected)
