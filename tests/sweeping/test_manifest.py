import json
import multiprocessing
import os
import signal
import time

import pytest

from src.files import is_held
from src.sweeping.manifest import Job, Manifest, Plan, difference, find_sweep


def plan_of(number, fingerprint="f"):
    jobs = [Job(i, f"seed={i}", [f"seed={i}"], [f"seed={i}"], "") for i in range(number)]
    return Plan([], [job.name for job in jobs], fingerprint, {}, number, jobs)


def test_what_is_written_is_read(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(2))
    manifest.start(1)
    manifest.end(1, "finished", objective=0.5, folder="../../run")
    assert Manifest(tmp_path).read() == manifest.read()
    job = manifest.read().jobs[1]
    assert (job.status, job.objective, job.folder, job.attempts) == (
        "finished",
        0.5,
        "../../run",
        1,
    )


def test_a_job_that_starts_again_forgets_how_it_ended_and_keeps_its_folder(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(1))
    manifest.start(0)
    manifest.end(0, "failed", reason="why", folder="run")
    manifest.start(0)
    job = manifest.read().jobs[0]
    assert (job.status, job.reason, job.folder, job.attempts) == ("running", None, "run", 2)


def change_often(folder, index):
    for number in range(30):
        Manifest(folder).update(index, attempts=number)


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(4))
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=change_often, args=(tmp_path, i)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [job.attempts for job in manifest.read().jobs] == [29] * 4


def hold(folder):
    with Manifest(folder).own(0):
        time.sleep(60)


def test_a_job_is_alive_as_long_as_its_process(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(1))
    worker = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path,))
    worker.start()
    while not manifest.is_alive(0):
        time.sleep(0.01)
    manifest.start(0)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert not manifest.is_alive(0)
    manifest.interrupt("SIGTERM")
    assert manifest.read().jobs[0].status == "interrupted"


def test_a_job_took_the_time_from_its_start_to_its_end(tmp_path, monkeypatch):
    manifest = Manifest.create(tmp_path, plan_of(2))
    monkeypatch.setattr("src.sweeping.manifest.time.time", lambda: 1000.0)
    manifest.start(0)
    monkeypatch.setattr("src.sweeping.manifest.time.time", lambda: 1012.3456)
    manifest.end(0, "finished")
    manifest.end(1, "killed")  # it never started
    assert [job.duration_s for job in manifest.read().jobs] == [12.35, 0.0]


def test_a_job_that_starts_again_has_one_more_attempt_and_no_old_reason(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(1))
    manifest.start(0)
    manifest.end(0, "failed", reason="no memory", objective=0.5)
    manifest.start(0)
    job = manifest.read().jobs[0]
    assert (job.status, job.attempts, job.reason, job.objective) == ("running", 2, None, None)
    assert job.pid == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"jobs": 3}', '{"jobs": [{}]}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(ValueError, match="is not a sweep's manifest"):
        Manifest(tmp_path).read()


def test_the_manifest_is_plain_json(tmp_path):
    Manifest.create(tmp_path, plan_of(1))
    job = json.loads((tmp_path / "sweep.json").read_text())["jobs"][0]
    assert {"index", "name", "overrides", "status", "reason", "folder", "duration_s"} <= set(job)


def test_the_latest_sweep_of_the_same_jobs_is_found(tmp_path):
    for name, number, fingerprint in [("1", 2, "f"), ("2", 2, "g"), ("3", 3, "f")]:
        (tmp_path / name).mkdir()
        Manifest.create(tmp_path / name, plan_of(number, fingerprint))
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "sweep.json").write_text("damaged")
    asked = ["seed=0", "seed=1"]
    assert find_sweep(tmp_path, asked, "f").folder.name == "1"
    assert find_sweep(tmp_path, asked, "other").folder.name == "2"
    with pytest.raises(ValueError, match="nothing to resume"):
        find_sweep(tmp_path, ["seed=5"], "f")


def test_a_difference_names_keys_that_come_and_go():
    assert difference({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == [
        "a: 1 -> None",
        "b.c: 2 -> None",
        "b.d: None -> 3",
    ]


def test_a_lock_that_nobody_made_is_not_held(tmp_path):
    assert not is_held(tmp_path / "lock")


def test_jobs_whose_process_is_gone_were_interrupted_and_no_others(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(3))
    for index in (0, 1):
        manifest.start(index)
    manifest.end(0, "finished")
    began = time.monotonic()
    manifest.interrupt("told to stop")
    assert time.monotonic() - began < 1, "nobody is waited for who is gone"
    found = [(job.status, job.reason) for job in manifest.read().jobs]
    assert found == [("finished", None), ("interrupted", "told to stop"), ("waiting", None)]


def test_a_job_whose_process_lives_is_not_called_interrupted(tmp_path, monkeypatch):
    manifest = Manifest.create(tmp_path, plan_of(1))
    manifest.start(0)
    monkeypatch.setattr(Manifest, "is_alive", lambda self, index: True)
    ticks = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    manifest.interrupt("told to stop")
    assert manifest.read().jobs[0].status == "running"
    assert slept == [0.05]
    assert next(ticks) == 3, "two seconds and no longer: one look at 1, the end at 2"


def test_a_sweep_of_the_same_config_comes_before_a_later_one_and_damaged_ones_are_passed(tmp_path):
    for name, print_ in (("1", "f"), ("2", "g"), ("3", "g")):
        (tmp_path / name).mkdir()
        Manifest.create(tmp_path / name, plan_of(2, print_))
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "sweep.json").write_text("{")
    asked = ["seed=0", "seed=1"]
    assert find_sweep(tmp_path, asked, "f").folder.name == "1"
    assert find_sweep(tmp_path, asked, "other").folder.name == "3"
    with pytest.raises(ValueError, match=r"no sweep in .* has these jobs"):
        find_sweep(tmp_path, ["seed=0"], "f")


def test_a_sweep_knows_how_many_jobs_there_will_be(tmp_path):
    manifest = Manifest.create(tmp_path, plan_of(1))
    manifest.expect(7)
    assert manifest.read().total == 7
