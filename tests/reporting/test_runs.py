import fcntl
import json
import math
import os
import socket
import time

import pytest

from src.files import LOCK
from src.reporting import load_runs
from src.reporting import runs as runs_module
from src.reporting.runs import _facts, death
from tests.reporting.fabricate import fabricate


def test_a_run_becomes_a_row_of_what_it_is_and_how_it_scored(tmp_path):
    finding = {"cause": "dead_input", "benign": False}
    folder = fabricate(
        tmp_path / "runs",
        seed=3,
        val=0.25,
        rmse=2.0,
        config={"optimizer": {"lr": 0.5}},
        diagnosis={"findings": [finding, {"cause": "structural", "benign": True}]},
        alerts=[finding],
        zero_grad_fraction={"model.norm.weight": 0.9, "model.encoder.weight": 0.25},
        duration_s=12.0,
    )
    fabricate(tmp_path / "runs", seed=4)
    row = load_runs(tmp_path).iloc[0].to_dict()
    expected = {"experiment": "runs", "status": "finished", "reason": None, "seed": 3}
    expected |= {"model": "lstm", "pooling": "mean", "optimizer.lr": 0.5, "path": str(folder)}
    expected |= {"val/loss": 0.25, "test/rmse": 2.0, "baseline/rmse": 4.0, "ratio/rmse": 0.5}
    expected |= {"test/skill": 0.5, "cause": "dead_input", "causes": "dead_input", "alarms": 1}
    expected |= {"alerts": 1, "zero_fraction": 0.25, "duration_s": 12.0}
    assert {key: row[key] for key in expected} == expected


def test_what_only_watches_a_run_or_names_it_is_no_column(tmp_path):
    for seed, steps in enumerate((10, 50)):
        config = {
            "name": f"name{seed}",
            "log_dir": f"logs{seed}",
            "data": {"seed": seed, "num_workers": seed},
            "logger": {"tensorboard": {"save_dir": f"logs{seed}"}},
            "callbacks": {"gradient_health": {"every_n_steps": steps}},
            "trainer": {"log_every_n_steps": steps, "max_epochs": steps},
        }
        fabricate(tmp_path, seed=seed, config=config)
    dotted = [name for name in load_runs(tmp_path).columns if "." in name]
    assert dotted == ["trainer.max_epochs"]


def test_options_of_what_only_watches_or_of_hydra_itself_are_no_choice():
    watching = dict.fromkeys(("experiment", "debug", "logger", "trainer", "callbacks"), "x")
    choices = {"pooling": "mean", "hydra/launcher": "joblib", "hydra/sweeper": "basic"}
    assert _facts({"choices": choices | watching}) == {"pooling": "mean"}
    assert _facts({}) == {}


def test_a_diagnosis_without_alarms_is_healthy_and_none_at_all_is_unknown(tmp_path):
    fabricate(tmp_path, seed=0, diagnosis={"findings": []})
    fabricate(tmp_path, seed=1)
    assert load_runs(tmp_path)["cause"].tolist() == ["healthy", None]


def test_a_report_that_is_half_written_is_a_row_that_says_so(tmp_path):
    fabricate(tmp_path)
    half = tmp_path / "half"
    half.mkdir()
    (half / "report.json").write_text('{"status": "finis')
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "report.json").write_text("[]")
    runs = load_runs(tmp_path).set_index("run")
    assert runs.loc["half", "status"] == runs.loc["list", "status"] == "unreadable"
    assert runs.loc["half", "reason"].startswith("report.json: ")
    assert math.isnan(runs.loc["half", "test/rmse"])


def test_a_running_run_whose_process_is_gone_is_dead(tmp_path):
    folder = fabricate(tmp_path, status="running")
    gone = 2**22 + 1  # above the largest process number of Linux
    (folder / f"events.out.tfevents.1.{socket.gethostname()}.{gone}.0").touch()
    runs = load_runs(tmp_path)
    assert runs["status"].tolist() == ["killed"]
    assert runs["reason"].tolist() == [f"its process {gone} is gone"]


def test_a_running_run_is_alive_while_its_process_lives_or_it_writes(tmp_path):
    folder = fabricate(tmp_path, status="running")
    (folder / f"events.out.tfevents.1.{socket.gethostname()}.{os.getpid()}.0").touch()
    (folder / "events.out.tfevents.1.another.host.4194305.0").touch()
    assert load_runs(tmp_path)["status"].tolist() == ["running"]
    assert death(folder, now=time.time() + 1700) is None
    assert death(folder, now=time.time() + 7200) == "nothing written for 2.0 h"


def test_runs_are_found_by_folder_glob_and_file_and_counted_once(tmp_path):
    for seed in range(3):
        fabricate(tmp_path / "a", seed=seed)
    other = fabricate(tmp_path / "b")
    assert len(load_runs(tmp_path)) == 4
    assert len(load_runs(f"{tmp_path}/a/*seed[01]*")) == 2
    assert len(load_runs([tmp_path, other, other / "report.json"])) == 4


def test_a_sweep_folder_leads_to_its_runs_and_names_the_jobs_without_one(tmp_path):
    fabricate(tmp_path / "logs" / "exp", seed=9)
    run = fabricate(tmp_path / "logs" / "exp", seed=0)
    killed = fabricate(tmp_path / "logs" / "exp", seed=1, status="running")
    sweep = tmp_path / "logs" / "sweeps" / "now"
    sweep.mkdir(parents=True)
    jobs = [
        {"name": "seed=0", "status": "finished", "folder": f"../../exp/{run.name}"},
        {"name": "seed=1", "status": "killed", "folder": f"../../exp/{killed.name}"},
        {"name": "seed=2", "status": "failed", "reason": "ValueError: no", "folder": None},
    ]
    (sweep / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    runs = load_runs(sweep)
    assert runs["run"].tolist() == [run.name, killed.name, "seed=2"]
    assert runs["status"].tolist() == ["finished", "killed", "failed"]
    assert runs["reason"].tolist() == [None, None, "ValueError: no"]


def test_a_manifest_that_cannot_be_read_is_an_error_in_words(tmp_path):
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"sweep\.json cannot be read"):
        load_runs(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"), [("", "no runs in"), ("/nowhere", "no such folder"), ("/x*", "no such")]
)
def test_no_runs_is_an_error_that_names_the_path(tmp_path, path, message):
    with pytest.raises(ValueError, match=message):
        load_runs(f"{tmp_path}{path}")


def test_a_run_is_silent_after_half_an_hour_and_dead_when_nobody_holds_its_lock(tmp_path):
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (1000, 1000))
    assert death(tmp_path, now=1000 + 1800) is None
    assert death(tmp_path, now=1000 + 1801) == "nothing written for 0.5 h"
    with (tmp_path / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert death(tmp_path, now=1e12) is None
    assert death(tmp_path) == "its process is gone"


def test_a_process_that_may_not_be_asked_lives(monkeypatch):
    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert runs_module._is_process(1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        found = runs_module._is_process(1)
    assert found is True


def test_globs_reach_any_depth(tmp_path):
    fabricate(tmp_path / "a" / "b" / "c")
    assert len(load_runs(f"{tmp_path}/**/mean*")) == 1


def test_folds_stand_for_nothing_beside_the_whole_they_are_of(tmp_path):
    whole = fabricate(tmp_path, seed=0)
    for fold in range(2):
        fabricate(tmp_path / "folds", seed=fold, config={"evaluation": {"fold": fold}})
    assert load_runs(tmp_path)["run"].tolist() == [whole.name]
    assert len(load_runs(tmp_path / "folds")) == 2


@pytest.mark.parametrize(
    ("own", "swept", "status"),
    [
        ("finished", "killed", "finished"),
        ("finished", "running", "finished"),
        ("running", "failed", "failed"),
        ("running", "running", "running"),
    ],
)
def test_a_sweep_knows_better_only_of_runs_that_could_not_end(tmp_path, own, swept, status):
    run = fabricate(tmp_path / "logs", status=own)
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    jobs = [{"name": "a", "status": swept, "folder": f"../logs/{run.name}"}]
    (sweep / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    assert load_runs(sweep)["status"].tolist() == [status]


def test_where_there_are_no_runs_the_first_path_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for given in (tmp_path / "a", str(tmp_path / "a"), [tmp_path / "a", tmp_path / "b"]):
        with pytest.raises(ValueError, match=f"no runs in {tmp_path}/a: there is no report.json"):
            load_runs(given)


def test_numbers_are_columns_of_numbers_and_warnings_stay_together(tmp_path):
    test = {"first": "a", "last": "b", "windows": 7}
    fabricate(tmp_path, data={"data": "x", "test": test, "warnings": ["a gap"]}, alerts=[])
    runs = load_runs(tmp_path)
    kinds = [runs[name].dtype for name in ("test/rmse", "alarms", "alerts", "seed")]
    assert kinds == [float, float, float, object]
    assert runs["data_warnings"].tolist() == [("a gap",)]
    assert runs["alerts"].tolist() == [0.0]
    assert runs["horizon"].tolist() == [1]
