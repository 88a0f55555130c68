import json
import sys

import pytest

from src import report
from src.reporting import load_runs
from tests.reporting.fabricate import fabricate


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    report.main()


def test_the_report_is_written_beside_the_runs_and_shown(monkeypatch, tmp_path, capsys):
    for seed in range(2):
        fabricate(tmp_path / "runs", seed=seed)
    command(monkeypatch, tmp_path / "runs")
    assert "model=lstm pooling=mean norm=none: val/loss 0.5000 over 2 seeds" in " ".join(
        capsys.readouterr().out.split()
    )
    assert (tmp_path / "runs" / "comparison.html").is_file()
    command(monkeypatch, f"{tmp_path}/runs/*seed0*", "--format", "md")
    assert (tmp_path / "runs" / "comparison.md").is_file()


def test_a_report_on_reports_finds_the_same_runs_again(monkeypatch, tmp_path, capsys):
    fabricate(tmp_path)
    command(monkeypatch, tmp_path)
    command(monkeypatch, tmp_path)
    assert capsys.readouterr().out.count("1 run: 1 finished") == 2


def test_json_goes_to_the_terminal_alone(monkeypatch, tmp_path, capsys):
    fabricate(tmp_path / "runs")
    command(monkeypatch, tmp_path / "runs", "--json", "--out", tmp_path / "o", "--format", "none")
    assert json.loads(capsys.readouterr().out)["runs"][0]["status"] == "finished"
    assert list((tmp_path / "o").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}/nothing"], "error: no such folder: "),
        (["{}"], "error: no runs in "),
        (["{}/run", "--metric", "loss"], "error: metric must be one of test/rmse"),
        (["{}/run", "--format", "pdf"], "error: format must be one of md"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(monkeypatch, tmp_path, capsys, arguments, message):
    if "{}/run" in arguments:
        fabricate(tmp_path / "run")
    with pytest.raises(SystemExit, match="2"):
        command(monkeypatch, *(argument.format(tmp_path) for argument in arguments))
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_real_run_is_reported_and_opened_again(monkeypatch, tiny_run, capsys):
    from src.runs.opening import open_run

    first = tiny_run("experiment=price_lstm", "pooling=last")
    command(monkeypatch, first.parent)
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 run: 1 finished" in shown
    assert "model=lstm pooling=last norm=none: val/loss" in shown
    runs = load_runs(first.parent)
    assert runs["pooling"].tolist() == ["last"]
    run = open_run(runs["path"][0])
    module, datamodule = run.module, run.datamodule
    assert not module.training
    assert datamodule.context_length == 60
