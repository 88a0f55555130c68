import dataclasses
import json
import math
import os
from typing import NamedTuple

import pytest

from src.files import replacing, to_plain, write_json, write_text


class Interval(NamedTuple):
    low: float
    high: float


@dataclasses.dataclass
class Estimate:
    mean: float
    interval: Interval


def test_what_json_lacks_becomes_null_at_any_depth():
    value = {"a": [math.nan, (math.inf, 1.0)], "b": Estimate(2.0, Interval(-math.inf, 3.0))}
    plain = {"a": [None, [None, 1.0]], "b": {"mean": 2.0, "interval": {"low": None, "high": 3.0}}}
    assert to_plain(value) == plain


def test_json_is_written_with_an_end_of_line(tmp_path):
    file = write_json(tmp_path / "a.json", {"x": math.nan})
    assert json.loads(file.read_text()) == {"x": None}
    assert file.read_text().endswith("}\n")


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path):
    file = write_text(tmp_path / "a.txt", "earlier")
    with pytest.raises(TypeError, match="bytes-like"), replacing(file) as new:
        new.write(("no", "bytes"))  # type: ignore[arg-type]
    assert file.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(tmp_path):
    with pytest.raises(FileNotFoundError) as told:
        write_text(tmp_path / "missing" / "a.sarif", "text")
    assert told.value.filename == str(tmp_path / "missing" / "a.sarif")
    with pytest.raises(IsADirectoryError) as told:
        write_text(tmp_path, "text")
    assert told.value.filename == str(tmp_path)
    assert not list(tmp_path.parent.glob(".*.tmp"))


def test_a_reader_sees_the_earlier_file_until_the_new_one_is_whole(tmp_path):
    file = write_text(tmp_path / "a.txt", "earlier")
    with replacing(file) as new:
        new.write(b"later")
        new.flush()
        assert file.read_text() == "earlier"
    assert file.read_text() == "later"
