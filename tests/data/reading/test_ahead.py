import subprocess
import sys

import pytest

from src.config import CONFIG_DIR
from src.data.reading.ahead import SMALL, refuse_unreadable
from src.data.reading.errors import DataError

DATA = {"features": "prices", "source": "sp500", "target": "log_return", "input": "relative"}


def test_a_slip_in_a_small_file_is_found_with_its_row(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("date,close\n2020-01-01,1\n2020-01-02,x\n")
    with pytest.raises(DataError, match=r"a\.csv:3:2: found 'x' in close"):
        refuse_unreadable(DATA | {"path": str(file)})


def test_a_large_file_is_left_to_the_training(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x" * (SMALL + 1))
    refuse_unreadable(DATA | {"path": str(file)})


def test_data_without_a_file_has_nothing_to_read():
    refuse_unreadable({"rows": 100})


def test_a_file_that_is_not_there_is_answered_without_torch():
    code = (
        "import sys; from src.train import main\n"
        "try: main(['data.path=nowhere.csv'])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CONFIG_DIR.parent, capture_output=True, text=True
    )
    assert done.stdout == "2 False\n"
    assert done.stderr == "error: nowhere.csv:1:1: found no such file, expected a CSV file\n"
