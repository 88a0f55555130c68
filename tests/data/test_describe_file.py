"""python -m src.data says how a file is read: for people, as JSON, in one line what is wrong."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.data.__main__ import main
from src.data.reading.errors import as_typed
from tests.data.reading.market import bar, cotahist, make_bars, table, yahoo, yfinance

ROOT = Path(__file__).parents[2]
BARS = make_bars()


def run(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


@pytest.mark.parametrize("flag", ["json=true", "--json"])
def test_json_tells_layout_and_each_series_alone_on_standard_output(write_csv, capsys, flag):
    told = json.loads(run(capsys, write_csv(yfinance(BARS, "AAPL", "TSLA")), flag))
    assert told["layout"] == "yfinance"
    assert [series["ticker"] for series in told["series"]] == ["AAPL", "TSLA"]
    series = told["series"][0]
    assert (series["rows"], series["frequency"], series["column"]) == (40, "daily", "Close")
    assert (series["first"], series["last"]) == ("2023-11-20T00:00:00", "2024-01-12T00:00:00")
    assert (series["first_value"], series["last_value"]) == (BARS.close[0], BARS.close[-1])
    assert series["warnings"] == []


def test_the_text_names_columns_reasons_rows_and_the_command_that_trains(write_csv, capsys):
    path = write_csv(yahoo(BARS))
    text = run(capsys, path)
    assert f"{path}: Yahoo" in text
    assert "40, daily, 2023-11-20 to 2024-01-12" in text
    assert "Adj Close (adjusted for splits and dividends;" in text
    assert text.count("2023-11-2") + text.count("2024-01-1") >= 6
    assert f"python -m src.train experiment=price_lstm data.path={path}" in text


def test_what_is_given_by_hand_is_part_of_the_command(write_csv, capsys):
    path = write_csv(cotahist(BARS))
    assert "data.ticker=PETR4" in run(capsys, path, "data.ticker=PETR4")
    assert "data.columns.close=Close" in run(capsys, write_csv(yahoo(BARS)), "columns.close=Close")
    odd = path.with_name("CL=F, (1).csv")
    odd.write_text("Date,Close\n2020-04-17,18\n2020-04-20,-37\n")
    command = run(capsys, odd, "target=residual").partition("train on it: ")[2]
    assert shlex.split(command)[4:] == [
        f'data.path="{odd}"',
        "data.target=residual",
        "data.input=price",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv:1:1: found no such file, expected a CSV file"),
        ([], None),
        (["a.csv", "tickr=X"], "tickr: no such key; did you mean ticker?"),
        (["a.csv", "decimal=x"], "decimal must be dot or comma, got 'x'"),
        (["a.csv", "day_first=x"], "day_first must be true or false, got 'x'"),
        (["a.csv", "--jsn"], "--jsn: no such option"),
        (["json=true"], "give a file to read"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(capsys, arguments, message):
    if message is None:
        main(arguments)
        assert "usage: python -m src.data FILE" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_is_described_without_torch_and_help_without_pandas(write_csv):
    path = write_csv(yahoo(BARS))
    for argument, banned in ((str(path), "torch"), ("--help", "pandas")):
        script = (
            "import sys\nfrom src.data.__main__ import main\n"
            f"main([{argument!r}])\nassert {banned!r} not in sys.modules, 'imported'\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        *("prices.csv", "CL=F.csv", "^GSPC.csv", "PETR4 (1).csv", "BINANCE_BTCUSDT, 60.csv"),
        *(
            "ETF[SPY].csv",
            "a'b.csv",
            'a"b.csv',
            "Dados Históricos.csv",
            "{x}.csv",
            "1",
            "null",
            "~/a.csv",
        ),
    ],
)
def test_what_has_to_be_typed_reaches_hydra_as_it_is(name):
    (word,) = shlex.split(as_typed("data.path", name))
    assert OverridesParser.create().parse_override(word).value() == name


def test_columns_wanted_as_features_are_told_and_typed(write_csv, capsys):
    rows = [(*row, n % 7) for n, row in enumerate(bar(make_bars()))]
    path = write_csv(table([("Date", "Open", "High", "Low", "Close", "Volume", "mood"), *rows]))
    told = run(capsys, path, "extra=mood")
    assert "mood (a feature, as data.extra says)" in told
    assert "'data.extra=[mood]'" in told


def test_a_reader_that_has_seen_enough_is_no_error(write_csv):
    path = write_csv(yfinance(make_bars(), *(f"T{n}" for n in range(20))))
    command = [sys.executable, "-m", "src.data", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_two_files_are_told_with_the_command_for_one_model_of_both(write_csv, capsys):
    path = write_csv(yahoo(make_bars()))
    other = path.with_name("b.csv")
    other.write_text(path.read_text())
    told = run(capsys, path, str(other))
    assert (
        f"one model of all of them: python -m src.train experiment=price_lstm 'data.path=[{path},"
        in told
    )


def test_two_years_of_a_series_are_no_model_of_several(write_csv, capsys):
    path = write_csv(cotahist(BARS))
    other = path.with_name("b.csv")
    other.write_text(path.read_text())
    assert "one model of all" not in run(capsys, path, str(other), "ticker=PETR4")
    assert "one model of all" not in run(capsys, path, str(other))
