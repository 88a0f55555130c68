"""A sweep keeps a true record; one bad job sinks nothing; resume runs only the rest."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from src.config import CONFIG_DIR
from src.data.reading import cache
from src.sweeping.manifest import Manifest
from src.train import main
from tests.conftest import TINY, report_of

SMALL = [*TINY, "experiment=price_lstm", "logger=none", "model.hidden_size=4"]
NAN = "optimizer.lr=1e30"  # the second step's loss is not finite


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Run a sweep of tiny jobs; return its exit code and its manifest."""
    monkeypatch.setattr("src.sweeping.sweep._compare", lambda folder, console: None)

    def _swept(*overrides):
        with pytest.raises(SystemExit) as ended:
            main(["-m", f"log_dir={tmp_path}", *SMALL, *overrides])
        if ended.value.code == 2:
            raise ended.value
        return ended.value.code, manifest_of(tmp_path)

    return _swept


def manifest_of(log_dir):
    """Return the latest sweep's folder and manifest."""
    file = max(log_dir.glob("sweeps/*/sweep.json"), key=lambda file: file.stat().st_mtime_ns)
    return file.parent, json.loads(file.read_text())


def statuses(plan):
    return [job["status"] for job in plan["jobs"]]


def refused(capfd, run, *overrides):
    with pytest.raises(SystemExit) as stopped:
        run(*overrides)
    assert stopped.value.code == 2
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1, printed
    return printed


def test_a_sweep_records_every_job_and_where_its_run_is(swept, tmp_path):
    code, (folder, plan) = swept("pooling=last,mean", "seed=0,1")
    assert code == 0
    assert statuses(plan) == ["finished"] * 4
    assert [job["name"] for job in plan["jobs"]] == [
        f"pooling={pooling} seed={seed}" for pooling in ("last", "mean") for seed in (0, 1)
    ]
    for job in plan["jobs"]:
        report = report_of(folder / job["folder"])
        assert report["best"]["val_loss"] == pytest.approx(job["objective"])
        assert "sweep" not in report["config"]
        assert "sweep" not in report["choices"]
    # Only what varies is in a run's name: the hidden size is the same in all.
    assert (folder / plan["jobs"][3]["folder"]).name == "lstm-mean-seed1-0"


def test_a_job_in_a_sweep_is_bitwise_the_run_alone(swept, tiny_run):
    full = ("callbacks=default", "callbacks.progress_bar=null", "dropout=input")
    _, (folder, plan) = swept(*full, "seed=0,1", "pooling=mean")
    alone = tiny_run(*SMALL, *full, "seed=1", "pooling=mean")
    together = folder / plan["jobs"][1]["folder"]
    weights, expected = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (together, alone)
    )
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert report_of(together)["test"] == report_of(alone)["test"]


def test_a_failed_job_is_reported_with_its_reason_and_the_others_finish(swept, capfd):
    zipped = ("sweep.zip=true", "seed=0,1,2")
    bad = ("trainer.limit_val_batches=2,0.001,2", "optimizer.lr=1e-3,1e-3,1e30")
    code, (_, plan) = swept(*zipped, *bad)
    assert code == 1
    assert statuses(plan) == ["finished", "failed", "failed"]
    assert "0.001 of 2 batches" in plan["jobs"][1]["reason"]
    assert "loss is" in plan["jobs"][2]["reason"]
    table = capfd.readouterr().out.split("3 jobs: 1 finished, 2 failed")[1]
    assert "0.001" in table
    assert "FloatingPointError" in table


def test_fail_fast_starts_no_job_after_a_failure(swept):
    code, (_, plan) = swept(f"{NAN},1e-3", "sweep.fail_fast=true")
    assert code == 1
    assert statuses(plan) == ["failed", "waiting"]


def test_resume_runs_only_what_is_unfinished(swept):
    _, (folder, plan) = swept("optimizer.lr=1e-3,1e30,1e-4")
    # What was cut short by a kill looks like this.
    plan["jobs"][2] |= {"status": "running", "objective": None}
    (folder / "sweep.json").write_text(json.dumps(plan))
    code, (again, after) = swept("optimizer.lr=1e-3,1e30,1e-4", "sweep.resume=true")
    assert again == folder
    assert code == 1
    assert statuses(after) == ["finished", "failed", "finished"]
    assert [job["attempts"] for job in after["jobs"]] == [1, 2, 2]
    assert after["jobs"][0] == plan["jobs"][0]


BLOCKS = "sweep.blocks={a: {pooling: 'last,mean'}, b: {pooling: last}, lr: {optimizer.lr: '1e30'}}"
DEEP = BLOCKS.replace("optimizer.lr: '1e30'", "model.num_layers: '0'")


def test_blocks_run_as_one_sweep_and_resume_as_one(swept):
    code, (folder, plan) = swept(BLOCKS, "seed=0,1")
    assert code == 1
    assert [job["name"] for job in plan["jobs"]] == [
        f"{key} seed={seed}"
        for key in ("pooling=last", "pooling=mean", "optimizer.lr=1e+30")
        for seed in (0, 1)
    ]
    assert statuses(plan) == ["finished"] * 4 + ["failed"] * 2
    for job in plan["jobs"][:4]:
        assert report_of(folder / job["folder"])["config"]["seed"] == int(job["name"][-1])
    _, (again, after) = swept(BLOCKS, "seed=0,1", "sweep.resume=true")
    assert again == folder
    assert [job["attempts"] for job in after["jobs"]] == [1, 1, 1, 1, 2, 2]
    code, (part, plan) = swept(BLOCKS, "seed=0,1", "sweep.only=[b]")
    assert part != folder
    assert code == 0
    assert [job["name"] for job in plan["jobs"]] == ["pooling=last seed=0", "pooling=last seed=1"]


def test_resume_of_a_finished_sweep_runs_nothing(swept):
    _, (folder, before) = swept("seed=0")
    code, (again, after) = swept("seed=0", f"sweep.resume={folder}")
    assert (code, again, after) == (0, folder, before)


def test_resume_is_refused_for_another_config_or_other_jobs(swept, capfd):
    _, (folder, _) = swept("seed=0")
    capfd.readouterr()
    changed = ("seed=0", "trainer.max_epochs=2", "sweep.resume=true")
    assert "the config changed: trainer.max_epochs: 1 -> 2" in refused(capfd, swept, *changed)
    assert "no sweep in" in refused(capfd, swept, "seed=0,1,2", "sweep.resume=true")
    other = refused(capfd, swept, "seed=0,1,2", f"sweep.resume={folder}")
    assert "it has other jobs (1 then, 3 now)" in other


def test_resume_is_refused_where_a_prices_file_changed(swept, capfd, tmp_path):
    file = tmp_path / "prices.csv"
    rows = [f"2001-01-{day:02d},{100 + day % 7}" for day in range(1, 32)]
    rows += [f"2001-03-{day:02d},{100 + day % 5}" for day in range(1, 32)]
    file.write_text("\n".join(["date,close", *rows]))
    own = (f"data.path={file}", "data.context_length=3", "data.batch_size=4", "seed=0")
    assert swept(*own)[0] == 0
    file.write_text(file.read_text().replace("2001-03-31,101", "2001-03-31,102"))
    capfd.readouterr()
    assert "changed" in refused(capfd, swept, *own, "sweep.resume=true")


def test_a_sweep_that_runs_is_not_started_a_second_time(swept, capfd):
    _, (folder, _) = swept("seed=0")
    with Manifest(folder).adopt():
        capfd.readouterr()
        assert "is running" in refused(capfd, swept, "seed=0", "sweep.resume=true")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("pooling=mean,gatd",), "did you mean gated"),
        (("seed=0,1", "sweep.resum=true"), "did you mean sweep.resume"),
        (("seed=0,1", "model.num_layers=1,0"), "job 1 (seed=0 model.num_layers=0)"),
        (("optimizer.lr=0.1,-1",), "job 1 (optimizer.lr=-1): optimizer.lr: expected"),
        (("seed=0,1", "+hydra.launcher.foo=1"), "hydra.launcher.foo: no such key"),
        (("seed=0,1", "sweep.compare=abc"), "sweep.compare: expected true | false, got abc"),
        (("seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"), "n_jobs: expected -1"),
        (("sweep.zip=true", "seed=0,1", "pooling=last,mean,max"), "seed has 2, pooling has 3"),
        (("sweep.fail_fast=true,false",), "one for all jobs"),
        (("trainer=ddp", "seed=0,1"), "ddp_spawn"),
        (("hydra/launcher=joblob", "seed=0,1"), "did you mean joblib"),
        (("seed=0,1", "sweep.resume=nowhere"), "nowhere"),
        ((BLOCKS, "sweep.only=[bb]"), "sweep.only: no block bb; did you mean b?"),
        ((BLOCKS, "sweep.only=[]"), "sweep.only is empty; choose from a, b, lr"),
        (("sweep.only=[a]",), "this sweep has no blocks"),
        (("sweep.blocks={a: {pooling: 'mean,gatd'}}",), "did you mean gated"),
        ((BLOCKS.replace("1e30", "-1"), "seed=0,1"), "optimizer.lr: expected"),
        ((DEEP, "seed=0,1"), "job 4 (model.num_layers=0 seed=0)"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    swept, capfd, tmp_path, overrides, message
):
    assert message in refused(capfd, swept, *overrides)
    assert not list(tmp_path.iterdir())


def test_a_stopped_sweep_ends_with_143_and_can_go_on(swept, tmp_path):
    def stop_second_job():
        while True:
            files = list(tmp_path.glob("sweeps/*/sweep.json"))
            if files and statuses(json.loads(files[0].read_text()))[1] == "running":
                return os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    thread = threading.Thread(target=stop_second_job)
    thread.start()
    code, (_, plan) = swept("sweep.zip=true", "seed=0,1,2", "trainer.max_epochs=1,2000,1")
    thread.join()
    assert code == 143
    assert statuses(plan) == ["finished", "interrupted", "waiting"]
    assert plan["jobs"][1]["reason"] == "SIGTERM"


def test_a_stop_that_a_library_makes_an_error_of_is_still_a_stop(swept, monkeypatch):
    def swallow(*arguments):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except SystemExit:
            raise ValueError("something else") from None

    monkeypatch.setattr("src.runs.run.run", swallow)
    code, (_, plan) = swept("seed=0,1")
    assert code == 143
    assert statuses(plan) == ["interrupted", "waiting"]


def test_data_is_prepared_once_for_all_jobs(swept, monkeypatch):
    cache._load_and_prepare.cache_clear()
    loads = []
    load_series = cache.load_series
    monkeypatch.setattr(
        cache, "load_series", lambda *a, **k: loads.append(a) or load_series(*a, **k)
    )
    swept("pooling=last,mean")
    assert len(loads) == 1


def test_data_and_model_are_checked_once_for_all_seeds(swept, monkeypatch):
    from src.runs import build

    checked = []
    build_module = build.build_module
    monkeypatch.setattr(
        build, "build_module", lambda c, data: checked.append(c) or build_module(c, data)
    )
    # After a refusal nothing runs: what was built was built to check it.
    with pytest.raises(SystemExit):
        swept("model.cell=lstm,gru,x", "seed=0,1,2")
    assert [(c.model.cell, c.seed) for c in checked] == [("lstm", 0), ("gru", 0), ("x", 0)]


@pytest.mark.slow
def test_jobs_run_beside_each_other_under_joblib(swept, capfd):
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    code, (folder, plan) = swept("sweep.zip=true", "seed=0,1", "optimizer.lr=1e-3,1e30", *joblib)
    assert code == 1
    assert statuses(plan) == ["finished", "failed"]
    assert len({job["pid"] for job in plan["jobs"]} | {os.getpid()}) == 3
    # What the jobs say goes to a file each: side by side it could not be read.
    assert "Test scores" not in capfd.readouterr().out
    assert "Test scores" in (folder / "job-0.log").read_text()


@pytest.mark.slow
def test_an_optuna_search_prunes_nothing_hopeful_and_goes_on_where_it_stopped(swept):
    search = ("sweep=search", "model.hidden_size=4")
    code, (folder, first) = swept(*search, "hydra.sweeper.n_trials=2")
    assert code == 0
    code, (again, more) = swept(*search, "hydra.sweeper.n_trials=3", f"sweep.resume={folder}")
    assert (code, again) == (0, folder)
    assert more["jobs"][:2] == first["jobs"]
    assert statuses(more) == ["finished"] * 3
    assert (folder / "optimization_results.yaml").exists()


def kill_each_time(log_dir: Path, index: int) -> threading.Thread:
    """Kill the process of one job, as often as it starts."""

    def _kill():
        killed = 0
        while killed < 2:
            for file in log_dir.glob("sweeps/*/sweep.json"):
                job = json.loads(file.read_text())["jobs"][index]
                if job["status"] == "running" and job["attempts"] > killed:
                    os.kill(job["pid"], signal.SIGKILL)
                    killed = job["attempts"]
            time.sleep(0.005)

    thread = threading.Thread(target=_kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_raising_a_nan_and_a_killed_job_sink_nothing_under_joblib(swept, tmp_path, capfd):
    kill_each_time(tmp_path, 3)
    jobs = (
        "sweep.zip=true",
        "seed=0,1,2,3,4",
        "trainer.limit_val_batches=2,0.001,2,2,2",
        "optimizer.lr=1e-3,1e-3,1e30,1e-3,1e-3",
    )
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    code, (_, plan) = swept(*jobs, *joblib)
    assert code == 1
    assert statuses(plan) == ["finished", "failed", "failed", "killed", "finished"]
    assert "its process was killed" in plan["jobs"][3]["reason"]
    assert "5 jobs: 2 finished, 2 failed, 1 killed" in capfd.readouterr().out
    code, (_, after) = swept(*jobs, *joblib, "sweep.resume=true")
    assert code == 1
    assert statuses(after) == ["finished", "failed", "failed", "finished", "finished"]
    unchanged = [(plan["jobs"][index], after["jobs"][index]) for index in (0, 4)]
    assert all(before == now for before, now in unchanged)


@pytest.mark.slow
def test_a_killed_job_sinks_nothing_under_submitit(swept, tmp_path):
    kill_each_time(tmp_path, 1)
    code, (_, plan) = swept("seed=0,1,2", "hydra/launcher=submitit_local")
    assert code == 1
    assert statuses(plan) == ["finished", "killed", "finished"]


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_told_to_stop_never_looks_like_success(tmp_path, launcher, sent, code):
    command = commands(
        tmp_path, "seed=0,1,2", "trainer.max_epochs=300", f"hydra/launcher={launcher}"
    )
    running = subprocess.Popen(command, cwd=CONFIG_DIR.parent, stdout=subprocess.DEVNULL)
    wait_until(lambda: "running" in statuses(manifest_of(tmp_path)[1]), tmp_path)
    time.sleep(1)
    running.send_signal(sent)
    assert running.wait(20) == code
    _, plan = manifest_of(tmp_path)
    assert "interrupted" in statuses(plan)
    assert not {"finished", "running"} & set(statuses(plan))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path, launcher):
    own = ("seed=0,1,2", "trainer.max_epochs=30", f"hydra/launcher={launcher}")
    running = subprocess.Popen(
        commands(tmp_path, *own), cwd=CONFIG_DIR.parent, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: list(tmp_path.glob("*/*/checkpoints/last.ckpt")), tmp_path)
    workers = children_of(running.pid)
    running.kill()
    running.wait()
    resumed = subprocess.run(
        commands(tmp_path, *own, "sweep.resume=true"),
        cwd=CONFIG_DIR.parent,
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert not [pid for pid in workers if is_job(pid)]
    folder, plan = manifest_of(tmp_path)
    assert statuses(plan) == ["finished"] * 3
    runs = [report_of(folder / job["folder"]) for job in plan["jobs"]]
    # joblib's workers outlive the sweep for a moment, notice, and end their runs by themselves.
    left = {"running", "interrupted"} if launcher == "joblib" else {"running"}
    assert left & {again["after"] for run in runs for again in run.get("resumed", ())}
    assert len(list(tmp_path.glob("*/*/report.json"))) == 3
    assert "report:" in resumed.stdout


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_job(pid):
    """Say whether a process lives and works on jobs; joblib's caretaker may stay a moment."""
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and "popen_loky" in command.read_text()


def commands(log_dir, *overrides):
    return [sys.executable, "-m", "src.train", "-m", f"log_dir={log_dir}", *SMALL, *overrides]


def wait_until(holds, log_dir):
    for _ in range(600):
        if list(log_dir.glob("sweeps/*/sweep.json")) and holds():
            return
        time.sleep(0.1)
    raise AssertionError("waited a minute")
