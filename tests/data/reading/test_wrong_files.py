"""Wrong files end in one line that names file, row and column; odd but clear ones are read."""

import os
import pickle

import numpy as np
import pytest

from src.data.reading.errors import DataError
from src.data.reading.sources import load_prices

GOOD = "Date,Close\n2020-01-01,10\n2020-01-02,11\n2020-01-03,12\n"

WRONG_FILES = {
    "empty": ("", ":1:1: found an empty file, expected a header and rows of prices"),
    "title only": ("Prices\n", ":1:1: found columns 'Prices', expected a header with a date"),
    "header only": ("Date,Close\n", ":2:1: found only a header, expected rows of prices"),
    "no dates": ("10,11\n12,13\n", ":1:1: found columns '10', '11', expected a header"),
    "no price column": ("Date,Foo,Bar\n2020-01-01,1,2\n", "found columns 'Date', 'Foo', 'Bar', "),
    "duplicate header": (
        "Date,Close,close\n2020-01-01,1,2\n",
        ":1:3: found column name 'close' a second time",
    ),
    "text": (GOOD.replace("11", "soon"), ":3:2: found 'soon' in Close, expected a positive number"),
    "no prices": (
        "Date,Close\n2020-01-01,null\n",
        ":2:2: found 'null' in Close, expected at least",
    ),
    "inf": (GOOD.replace("11", "inf"), ":3:2: found 'inf' in Close"),
    "zero": (GOOD.replace("11", "0.0"), ":3:2: found '0.0' in Close"),
    "negative": (GOOD.replace("11", "-11"), ":3:2: found '-11' in Close"),
    "too large": (GOOD.replace("11", "1e39"), ":3:2: found '1e39' in Close"),
    "overflow": (GOOD.replace("11", "1e400"), ":3:2: found '1e400' in Close"),
    "underscore": (GOOD.replace("11", "1_1"), ":3:2: found '1_1' in Close"),
    "one currency sign": (GOOD.replace("11", "$11"), ":3:2: found '$11' in Close"),
    "two decimal signs": (
        GOOD.replace("10", "10.5").replace("11", '"11,5"').replace("12\n", "12.25\n"),
        ":3:2: found '11,5' in Close, expected a positive number",
    ),
    "no date": (GOOD.replace("2020-01-02", "soon"), ":3:1: found 'soon' in Date, expected a date"),
    "30 February": (GOOD.replace("2020-01-02", "2020-02-30"), ":3:1: found '2020-02-30' in Date"),
    "ambiguous date": (
        "Date,Close\n01/02/2020,10\n02/02/2020,11\n",
        ":2:1: found '01/02/2020' in Date, which may be day or month first",
    ),
    "mixed date order": ("Date,Close\n31/12/2020,10\n12/31/2021,11\n", ":3:1: found '12/31/2021'"),
    "duplicate date": (
        GOOD.replace("01-02", "01-01"),
        ":3:1: found '2020-01-01' in Date again, as on line 2, expected every date once",
    ),
    "swapped pair": (
        "Date,Close\n2020-01-01,1\n2020-01-03,1\n2020-01-02,1\n2020-01-04,1\n",
        ":4:1: found '2020-01-02' in Date after 2020-01-03, expected dates in ascending order",
    ),
    "short row": (GOOD.replace(",11", ""), ":3:1: found 1 fields, expected 2 as in the header"),
    "long row": (GOOD.replace("11", "11,5"), ":3:3: found 3 fields, expected 2 as in the header"),
    "truncated last line": (GOOD.removesuffix(",12\n"), ":4:1: found 1 fields, expected 2"),
    "NUL byte": (GOOD.replace("11", "1\0"), ":3:1: found a NUL byte, expected plain text"),
    "unclosed quote": (GOOD.replace("11", '"11'), ":3:1: found an unclosed quote"),
    "Latin-1": (
        GOOD.replace("11", "£11").encode("latin-1"),
        ":3:2: found '\u00a311' in Close, expected a positive",
    ),
    "ambiguous thousands": (
        "Date;Close\n2020-01-01;1.234\n2020-01-02;1.240\n",
        ":2:2: found '1.234' in Close, which may be 1.234 or 1234",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_a_wrong_file_is_refused_in_one_line(write_csv, content, message):
    path = write_csv(content)
    with pytest.raises(DataError) as error:
        load_prices(path=str(path))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.csv:1:1: found no such file, expected a CSV file"):
        load_prices(path=str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r":1:1: found a folder, expected a CSV file"):
        load_prices(path=str(tmp_path))


def test_a_device_and_a_pipe_are_refused_and_never_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(DataError, match=r":1:1: found a device or a pipe, expected a CSV"):
            load_prices(path=path)


ACCEPTED_FILES = {
    "plain": GOOD,
    "BOM": "\ufeff" + GOOD,
    "CRLF": GOOD.replace("\n", "\r\n"),
    "old Mac line ends": GOOD.replace("\n", "\r"),
    "no last line end": GOOD.rstrip(),
    "blank first line": "\n" + GOOD,
    "blank lines": GOOD.replace("\n", "\n\n"),
    "quoted": 'Date,Close\n"2020-01-01","10"\n"2020-01-02","11"\n"2020-01-03","12"\n',
    "times": GOOD.replace(",1", " 00:00:00-05:00,1"),
    "compact dates": GOOD.replace("-", ""),
    "month first": "Date,Close\n01/13/2020,10\n01/14/2020,11\n02/03/2020,12\n",
    "Brazilian": "Data;Fechamento\n01/01/2020;10,00\n02/01/2020;11,00\n13/01/2020;12,00\n",
    "accents": "Data,Último\n01.01.2020,10\n02.01.2020,11\n03.01.2020,12\n",
    "tabs": GOOD.replace(",", "\t"),
    "adjusted close": GOOD.replace("Close", "Adj Close"),
    "unnamed index": GOOD.replace("Date", ""),
    "spaces": GOOD.replace(",", " , "),
}


@pytest.mark.parametrize("content", ACCEPTED_FILES.values(), ids=ACCEPTED_FILES.keys())
def test_a_clear_dialect_is_read(write_csv, content):
    table = load_prices(path=str(write_csv(content)))
    assert table.close.tolist() == [10, 11, 12]
    assert np.all(np.diff(table.dates).astype(int) > 0)


def test_a_decimal_comma_may_come_with_thousands_dots(write_csv):
    path = write_csv("Data;Close\n2020-01-01;1.234,50\n2020-01-02;987,25\n")
    assert load_prices(path=str(path)).close.tolist() == [1234.5, 987.25]


def test_row_numbers_count_blank_lines_and_quoted_line_breaks(write_csv):
    path = write_csv('Date,Note,Close\n\n2020-01-01,"two\nlines",1\n2020-01-02,,x\n')
    with pytest.raises(DataError, match=r"my.csv:5:3: found 'x' in Close"):
        load_prices(path=str(path))


def test_a_long_cell_is_shortened_in_the_message(write_csv):
    with pytest.raises(DataError) as error:
        load_prices(path=str(write_csv(GOOD.replace("11", "x" * 5000))))
    assert len(str(error.value)) < 300


def test_a_data_error_survives_pickling():
    error = DataError("my.csv", 3, 2, "this", "that")
    assert str(pickle.loads(pickle.dumps(error))) == "my.csv:3:2: found this, expected that"
