"""Which record a sweep goes on with, and what it is refused for, word for word."""

import time
from types import SimpleNamespace

import pytest

from src.sweeping.manifest import Manifest
from src.sweeping.plan import Plan as Jobs
from src.sweeping.plan import new_job, open_manifest


def plan_of(seeds=(0, 1), fingerprint="f", config=None, digests=("a", "b")):
    jobs = [
        new_job(index, [f"seed={seed}"], ["seed"], digest)
        for index, (seed, digest) in enumerate(zip(seeds, digests, strict=False))
    ]
    return Jobs([], [job.name for job in jobs], fingerprint, config or {}, len(jobs), jobs)


def asked(folder, plan, resume=False):
    settings = SimpleNamespace(
        sweep=SimpleNamespace(resume=resume),
        hydra=SimpleNamespace(sweep=SimpleNamespace(dir=str(folder))),
    )
    return SimpleNamespace(settings=settings, plan=plan)


def test_sweeps_that_start_in_the_same_second_have_folders_of_their_own(tmp_path):
    made = [open_manifest(asked(tmp_path / "now", plan_of())).folder.name for _ in range(3)]
    assert made == ["now", "now-1", "now-2"]


@pytest.mark.parametrize("by_name", [False, True])
def test_a_sweep_of_the_same_jobs_goes_on_and_expects_what_is_asked_now(tmp_path, by_name):
    earlier = open_manifest(asked(tmp_path / "then", plan_of()))
    plan = plan_of()
    plan.total = 9
    resume = str(earlier.folder) if by_name else True
    found = open_manifest(asked(tmp_path / "now", plan, resume))
    assert found.folder == earlier.folder
    assert found.read().total == 9
    assert not (tmp_path / "now").exists()


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({"seeds": (0,)}, "it has other jobs (2 then, 1 now)"),
        ({"seeds": (0, 7)}, "it has other jobs (2 then, 2 now)"),
        (
            {"fingerprint": "g", "config": {"a": {"b": 3}, "c": 1}},
            "the config changed: a.b: 1 -> 3",
        ),
        (
            {"fingerprint": "g", "config": {"a": {"b": 1}}, "digests": ("a", "z")},
            "the config changed: seed=1",
        ),
        (
            {"fingerprint": "g", "config": {"a": {"b": 1}}},
            "the config changed: what the search draws from",
        ),
    ],
)
def test_another_sweep_is_refused_by_what_makes_it_another(tmp_path, now, why):
    folder = tmp_path / "then"
    open_manifest(asked(folder, plan_of(config={"a": {"b": 1}})))
    with pytest.raises(ValueError, match=r"^cannot resume ") as refused:
        open_manifest(asked(tmp_path / "now", plan_of(**now), str(folder)))
    assert str(refused.value) == f"cannot resume {folder}: {why}"


def test_a_job_that_goes_on_alone_is_waited_for_twenty_seconds_and_then_named(
    tmp_path, monkeypatch
):
    folder = tmp_path / "then"
    manifest = open_manifest(asked(folder, plan_of()))
    manifest.update(1, pid=4321)
    monkeypatch.setattr(Manifest, "is_alive", lambda self, index: index == 1)
    ticks = iter(range(0, 1000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(ValueError, match="yet: seed=1 still runs, in process 4321"):
        open_manifest(asked(tmp_path / "now", plan_of(), str(folder)))
    assert slept == [0.2] * 4, "looked at 5, 10, 15 and 20 s, and given up at 25"


def test_a_job_is_named_by_what_it_varies():
    job = new_job(3, ["+pooling@x=mean", "seed=1", "lr=2"], ["pooling", "seed"], "digest")
    assert (job.index, job.name, job.fingerprint) == (3, "+pooling@x=mean seed=1", "digest")
    assert job.overrides == ["+pooling@x=mean", "seed=1", "lr=2"]
    assert new_job(0, ["lr=2"], [], "").name == "the only job"
