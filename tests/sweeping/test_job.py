"""How one job ends in the record, with a run that does as it is told."""

import io
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from src.config.trust import CheckpointError
from src.runs import stopping
from src.sweeping import job
from src.sweeping.job import job_line, leading
from src.sweeping.manifest import Job, Manifest, Plan
from src.sweeping.plan import new_job


@pytest.fixture
def manifest(tmp_path):
    jobs = [new_job(index, [f"seed={index}"], ["seed"], "") for index in range(2)]
    return Manifest.create(tmp_path, Plan([], [one.name for one in jobs], "", {}, 2, jobs))


@pytest.fixture
def runs(manifest, monkeypatch):
    """Run job 0, whose run does what it is told; keep what the run was given."""
    hydra = SimpleNamespace(
        sweep=SimpleNamespace(dir=str(manifest.folder)),
        runtime=SimpleNamespace(choices={"model": "lstm", "sweep": "default"}),
    )
    monkeypatch.setattr(job.HydraConfig, "get", staticmethod(lambda: hydra))
    monkeypatch.setattr(stopping, "received", None)
    given = []

    def _runs(*deeds, leads=True, fail_fast=False):
        left = iter(deeds)

        def run(own, choices, varied, note):
            given.append((OmegaConf.to_container(own), choices, varied))
            return next(left)(note)

        monkeypatch.setattr("src.runs.run.run", run)
        monkeypatch.setattr(job, "leads", leads)
        sweep = {"job": 0, "fail_fast": fail_fast}
        return job.run_job(OmegaConf.create({"seed": 0, "resume": None, "sweep": sweep}))

    _runs.given = given
    return _runs


def returning(value):
    return lambda note: value


def raising(error):
    def deed(note):
        raise error

    return deed


FRESH = ({"seed": 0, "resume": None}, {"model": "lstm"}, ["seed=0"])


def test_a_job_runs_under_what_it_varies_and_its_objective_is_kept(runs, manifest):
    seen = []

    def deed(note):
        seen.append((job.current, manifest.is_alive(0), manifest.read().jobs[0].status))
        note(manifest.folder / "there" / "run")
        seen.append(manifest.read().jobs[0].folder)
        return 0.25

    assert runs(deed) == 0.25
    assert runs.given == [FRESH]
    assert seen == [((manifest.folder, 0), True, "running"), "there/run"]
    first, second = manifest.read().jobs
    assert (first.status, first.objective, first.attempts) == ("finished", 0.25, 1)
    assert (second.status, job.current) == ("waiting", None)


@pytest.mark.parametrize(
    ("objective", "said"),
    [(0.25, b", val/loss 0.25"), (float("nan"), b""), (float("inf"), b""), (None, b"")],
)
def test_a_line_about_a_job_is_there_at_once_and_only_numbers_are_losses(
    runs, manifest, monkeypatch, objective, said
):
    monkeypatch.setattr("src.sweeping.manifest.time.time", lambda: 1000.0)
    terminal = io.BytesIO()
    # Nobody flushes it but who prints.
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(terminal, write_through=False))
    runs(returning(objective))
    assert terminal.getvalue() == b"1/2 finished: seed=0" + said + b", 0.0 s\n"
    assert manifest.read().jobs[0].objective == (0.25 if said else None)


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_after_a_failure_no_job_starts_where_that_is_asked_for(runs, manifest, status):
    runs(returning(0.5), fail_fast=True)  # nothing failed before
    manifest.end(1, status)
    with pytest.raises(RuntimeError, match=r"^seed=0: not started, an earlier job failed$"):
        runs(returning(0.5), fail_fast=True)
    runs(returning(0.5))
    assert manifest.read().jobs[0].attempts == 2


@pytest.mark.parametrize(
    ("status", "goes_on"),
    [("killed", True), ("interrupted", True), ("finished", False), ("failed", False)],
)
def test_a_run_that_was_cut_short_goes_on_and_others_start_afresh(
    runs, manifest, monkeypatch, status, goes_on
):
    folder = manifest.folder / "run"
    folder.mkdir()
    manifest.update(0, folder="run")
    monkeypatch.setattr(
        "src.runs.opening.open_run", lambda found: SimpleNamespace(status=status, folder=found)
    )
    runs(returning(0.5))
    assert runs.given == [FRESH], "a folder without a report is none to go on from"
    (folder / "report.json").write_text("{}")
    assert runs(returning(0.5)) == 0.5
    resumed = ({"seed": 0, "resume": str(folder)}, {"model": "lstm"}, [])
    assert runs.given[1] == (resumed if goes_on else FRESH)
    assert len(runs.given) == 2


def test_a_run_whose_state_is_damaged_starts_again_and_that_is_said(
    runs, manifest, monkeypatch, caplog
):
    (manifest.folder / "run").mkdir()
    (manifest.folder / "run" / "report.json").write_text("{}")
    manifest.update(0, folder="run")
    monkeypatch.setattr("src.runs.opening.open_run", lambda _: SimpleNamespace(status="killed"))
    assert runs(raising(CheckpointError("last.ckpt: cut off")), returning(0.75)) == 0.75
    assert runs.given[1] == FRESH
    assert "seed=0 starts again: last.ckpt: cut off" in caplog.messages
    assert manifest.read().jobs[0].objective == 0.75


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ValueError("no"), False), (FloatingPointError("no"), False), (RuntimeError("no"), True)],
)
def test_a_failure_is_one_line_and_a_traceback_only_where_it_is_ours(
    runs, manifest, caplog, error, shown
):
    with caplog.at_level(logging.ERROR), pytest.raises(type(error)):
        runs(raising(error))
    (record,) = [one for one in caplog.records if one.name == job.__name__]
    assert record.getMessage() == "seed=0: no"
    assert bool(record.exc_info) == shown
    first = manifest.read().jobs[0]
    assert (first.status, first.reason) == ("failed", f"{type(error).__name__}: no")


@pytest.mark.parametrize(
    ("stop", "reason"),
    [(SystemExit(143), "SIGTERM"), (SystemExit(130), "SIGINT"), (KeyboardInterrupt(), "SIGINT")],
)
def test_a_job_that_is_stopped_says_by_what(runs, manifest, stop, reason):
    with pytest.raises(type(stop)):
        runs(raising(stop))
    first = manifest.read().jobs[0]
    assert (first.status, first.reason) == ("interrupted", reason)


def test_beside_others_a_job_speaks_into_a_file_and_a_stop_is_its_own(runs, manifest, capsys):
    log = manifest.folder / "job-0.log"
    runs(lambda note: print("to the terminal"))
    assert not log.exists()
    assert "to the terminal" in capsys.readouterr().out
    runs(lambda note: print("to a file"), leads=False)
    assert "to a file" in log.read_text()
    assert "to a file" not in capsys.readouterr().out
    with pytest.raises(RuntimeError, match=r"^seed=0 was stopped$"):
        runs(raising(SystemExit(143)), leads=False)


def test_a_process_leads_while_it_leads():
    assert not job.leads
    with leading():
        assert job.leads
    assert not job.leads


def test_a_line_gives_the_reason_of_what_did_not_finish():
    jobs = [
        Job(0, "seed=0", [], [], "", status="failed", duration_s=1.25, reason="ValueError: no"),
        Job(1, "seed=1", [], [], "", status="running"),
    ]
    assert job_line(Plan([], [], "", {}, 3, jobs), 0) == "1/3 failed: seed=0, 1.2 s, ValueError: no"


def test_a_process_looks_twice_a_second_whether_its_parent_is_there(monkeypatch):
    told, slept = threading.Event(), []
    sent = []
    parents = iter([5, 5, 1])
    monkeypatch.setattr(
        job,
        "os",
        SimpleNamespace(
            getppid=lambda: next(parents),
            getpid=lambda: 7,
            kill=lambda *signals: (sent.append(signals), told.set()),
        ),
    )
    monkeypatch.setattr(job, "time", SimpleNamespace(sleep=slept.append))
    job._follow.__wrapped__(5)
    assert told.wait(5)
    assert (slept, sent) == ([0.5, 0.5], [(7, signal.SIGTERM)])


def work_beside(folder, is_orphan):
    """Work on a job as a process of a pool does."""
    if is_orphan:
        job._follow = lambda parent: None
    with job._beside(folder, new_job(0, ["seed=0"], ["seed"], "")):
        time.sleep(0.1)
        if is_orphan:
            os.getppid = lambda: 1


@pytest.mark.parametrize(("is_orphan", "code"), [(False, 0), (True, 143)])
def test_a_pools_process_ends_with_its_parent_and_not_before(tmp_path, is_orphan, code):
    process = multiprocessing.get_context("fork").Process(
        target=work_beside, args=(tmp_path, is_orphan)
    )
    process.start()
    process.join(10)
    ended = process.exitcode
    if ended is None:
        process.kill()
        process.join()
    assert ended == code
