"""What a launcher's failures do to the record, with launchers that fail on purpose."""

import math
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest

from src.sweeping.launcher import RecordedLauncher
from src.sweeping.manifest import Manifest, Plan
from src.sweeping.plan import new_job


class Pool:
    """Starts jobs two by two; a deadly one takes its neighbour along, as loky does."""

    def __init__(self, manifest, deadly):
        self.manifest, self.deadly, self.batches = manifest, deadly, []

    def launch(self, job_overrides, initial_job_idx):
        indices = [int(job[-1].removeprefix("sweep.job=")) for job in job_overrides]
        self.batches.append(indices)
        for pair in (indices[i : i + 2] for i in range(0, len(indices), 2)):
            for index in pair:
                self.manifest.start(index)
            if set(pair) & self.deadly:
                raise BrokenProcessPool("a worker died")
            for index in pair:
                self.manifest.end(index, "finished", objective=index / 10)


@pytest.fixture
def manifest(tmp_path):
    jobs = [new_job(index, [f"seed={index}"], ["seed"], "") for index in range(5)]
    return Manifest.create(tmp_path, Plan([], [job.name for job in jobs], "", {}, 5, jobs))


def launch(manifest, pool):
    launcher = RecordedLauncher(pool, manifest, ["seed"], ["sweep.fail_fast=false"])
    jobs = [[f"seed={index}"] for index in range(5)]
    returns = launcher.launch(jobs, 0)
    return returns, [job.status for job in manifest.read().jobs]


def test_what_died_runs_again_alone_and_only_the_culprit_is_killed(manifest):
    pool = Pool(manifest, deadly={2})
    _, statuses = launch(manifest, pool)
    assert statuses == ["finished", "finished", "killed", "finished", "finished"]
    assert pool.batches == [[0, 1, 2, 3, 4], [2], [3], [4]]


def test_two_culprits_beside_each_other_are_both_killed(manifest):
    _, statuses = launch(manifest, Pool(manifest, deadly={0, 1}))
    assert statuses == ["killed", "killed", "finished", "finished", "finished"]


def test_a_sweeper_gets_objectives_of_finished_jobs_and_reasons_of_others(manifest):
    returns, _ = launch(manifest, Pool(manifest, deadly={4}))
    assert [result.return_value for result in returns[:4]] == [0.0, 0.1, 0.2, 0.3]
    with pytest.raises(RuntimeError, match="killed: its process was killed"):
        _ = returns[4].return_value


def test_a_finished_job_is_answered_from_the_record(manifest):
    manifest.start(1)
    manifest.end(1, "finished", objective=0.7)
    pool = Pool(manifest, deadly=set())
    returns, _ = launch(manifest, pool)
    assert pool.batches == [[0, 2, 3, 4]]
    assert returns[1].return_value == 0.7


def test_a_search_that_asks_for_other_jobs_than_before_is_refused(manifest):
    launcher = RecordedLauncher(Pool(manifest, set()), manifest, ["seed"], [])
    with pytest.raises(ValueError, match="job 0 was seed=0, now it is seed=9"):
        launcher.launch([["seed=9"]], 0)


def test_a_search_adds_jobs_to_the_record(manifest):
    launcher = RecordedLauncher(Pool(manifest, set()), manifest, ["seed"], [])
    launcher.launch([["seed=5", "trainer.max_epochs=1"]], 5)
    assert manifest.read().jobs[5].name == "seed=5"


def test_a_pool_that_cannot_start_is_an_error_and_not_tried_for_ever(manifest):
    class Dead:
        def launch(self, job_overrides, initial_job_idx):
            raise BrokenProcessPool("no memory")

    with pytest.raises(ValueError, match="die before they start: no memory"):
        launch(manifest, Dead())


def test_a_launcher_that_raises_for_one_job_lets_the_others_end(manifest, monkeypatch):
    monkeypatch.setattr("src.sweeping.launcher._PATIENCE_S", 0.1)

    class Submitit:
        def launch(self, job_overrides, initial_job_idx):
            for index in range(4):
                manifest.start(index)
            manifest.end(1, "finished", objective=0.1)
            raise RuntimeError("Job 0 has not produced any output\nwith a long explanation")

    _, statuses = launch(manifest, Submitit())
    assert statuses == ["killed", "finished", "killed", "killed", "waiting"]
    assert manifest.read().jobs[0].reason == "Job 0 has not produced any output"


def test_jobs_whose_processes_live_are_waited_for(manifest, monkeypatch):
    monkeypatch.setattr("src.sweeping.launcher._PATIENCE_S", 0.3)
    looked = []

    def is_alive(index):
        looked.append(index)
        alive = len(looked) < 40  # eight looks at five jobs, longer than patience lasts
        if not alive and manifest.read().jobs[0].status == "running":
            manifest.end(0, "finished", objective=0.7)
        return alive and index == 0

    monkeypatch.setattr(manifest, "is_alive", is_alive)

    class Submitit:
        def launch(self, job_overrides, initial_job_idx):
            for index in range(5):
                manifest.start(index)
            raise RuntimeError("Job 1 died")

    _, statuses = launch(manifest, Submitit())
    assert statuses == ["finished", "killed", "killed", "killed", "killed"]
    assert manifest.read().jobs[0].objective == 0.7


def test_jobs_get_the_sweeps_settings_and_their_number(manifest):
    given = []

    class Noting(Pool):
        def launch(self, job_overrides, initial_job_idx):
            given.append((job_overrides, initial_job_idx))
            super().launch(job_overrides, initial_job_idx)

    manifest.start(0)
    manifest.end(0, "finished", objective=0.25)
    launch(manifest, Noting(manifest, deadly=set()))
    ((jobs, first),) = given
    assert first == 1
    assert jobs[0] == ["seed=1", "sweep.fail_fast=false", "sweep.job=1"]
    assert len(jobs) == 4


def test_a_job_that_finished_without_an_objective_has_none(manifest):
    for index in range(5):
        manifest.start(index)
        manifest.end(index, "finished")
    returns, _ = launch(manifest, Pool(manifest, deadly=set()))
    assert all(math.isnan(result.return_value) for result in returns)


@pytest.mark.parametrize(
    ("asked", "finished", "workers"), [(8, 0, 5), (2, 0, 2), (8, 4, 1), (8, 5, 8)]
)
def test_joblib_gets_no_more_workers_than_jobs(manifest, asked, finished, workers):
    pool = Pool(manifest, deadly=set())
    pool.joblib = {"n_jobs": asked}
    for index in range(finished):
        manifest.start(index)
        manifest.end(index, "finished")
    launch(manifest, pool)
    assert pool.joblib == {"n_jobs": workers}


def test_a_job_that_failed_before_waits_again_until_its_turn(manifest):
    manifest.start(0)
    manifest.end(0, "failed", reason="no memory")
    before = []

    class Noting(Pool):
        def launch(self, job_overrides, initial_job_idx):
            before.extend((job.status, job.reason) for job in manifest.read().jobs)
            super().launch(job_overrides, initial_job_idx)

    launch(manifest, Noting(manifest, deadly=set()))
    assert before == [("waiting", None)] * 5


def test_what_ends_without_a_word_is_named_by_its_kind(manifest, monkeypatch):
    monkeypatch.setattr("src.sweeping.launcher._PATIENCE_S", 0)

    class Silent:
        def launch(self, job_overrides, initial_job_idx):
            manifest.start(0)
            raise RuntimeError

    launch(manifest, Silent())
    assert manifest.read().jobs[0].reason == "RuntimeError"


def test_jobs_that_do_not_start_are_waited_for_half_a_minute_after_the_last_change(
    manifest, monkeypatch
):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            manifest.start(3)
            manifest.end(3, "finished")

    clock = SimpleNamespace(monotonic=lambda: 10.0 * len(slept), sleep=sleep)
    monkeypatch.setattr("src.sweeping.launcher.time", clock)

    class Submitit:
        def launch(self, job_overrides, initial_job_idx):
            raise RuntimeError("Job 0 died")

    _, statuses = launch(manifest, Submitit())
    assert statuses == ["waiting", "waiting", "waiting", "finished", "waiting"]
    assert slept == [0.2] * 5, "at 0 to 40 s; the change was at 20, and at 50 it is enough"
