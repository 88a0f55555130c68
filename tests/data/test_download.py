"""python -m src.data download keeps what Yahoo answers as a file that is read at once."""

import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from src.data.__main__ import main
from tests.data.reading.market import make_bars

BARS = make_bars()


@pytest.fixture
def yahoo(monkeypatch):
    """yfinance, its answer recorded: a frame with `Adj Close`, dates as its index."""
    asked = []

    def download(ticker, **options):
        asked.append({"ticker": ticker, **options})
        names = {
            "Adj Close": "adjusted",
            **{n.title(): n for n in ("close", "high", "low", "open", "volume")},
        }
        frame = pd.DataFrame(
            {name: getattr(BARS, column) for name, column in names.items()},
            index=pd.DatetimeIndex(BARS.dates, name="Date"),
        )
        return frame if ticker == "PETR4.SA" else frame[:0]

    monkeypatch.setitem(sys.modules, "yfinance", SimpleNamespace(download=download))
    return asked


def test_a_download_is_written_and_described(yahoo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["download", "PETR4.SA"])
    text = capsys.readouterr().out
    assert "PETR4.SA.csv: Yahoo" in text
    assert "data.path=PETR4.SA.csv" in text
    assert yahoo[0]["period"] == "max"
    assert yahoo[0]["auto_adjust"] is False
    assert [file.name for file in tmp_path.iterdir()] == ["PETR4.SA.csv"]


def test_the_span_the_interval_and_the_file_can_be_chosen(yahoo, tmp_path, capsys):
    file = tmp_path / "p.csv"
    main(["download", "PETR4.SA", "start=2020-01-01", "interval=1h", f"to={file}", "json=true"])
    assert capsys.readouterr().out.startswith("{")
    assert (yahoo[0]["start"], yahoo[0]["interval"]) == ("2020-01-01", "1h")
    assert file.exists()


def test_no_prices_and_no_yfinance_are_one_line(yahoo, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["download", "NOPE"])
    assert "Yahoo has no prices for 'NOPE'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(SystemExit, match="2"):
        main(["download", "PETR4.SA"])
    assert "needs yfinance: pip install '.[download]'" in capsys.readouterr().err
