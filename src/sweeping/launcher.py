"""Any of Hydra's launchers, with a memory: it skips what is finished and survives what dies."""

import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from src.sweeping.manifest import Job, Manifest
from src.sweeping.plan import new_job

_PATIENCE_S = 30.0  # how long jobs submitted elsewhere may take to start


class RecordedLauncher:
    """Give a sweeper's jobs to a launcher, and answer for finished ones from the manifest.

    A pool of processes breaks when one of them dies, and takes the jobs beside it along. Which
    was the culprit nobody can say: each runs once more, alone, and one that dies again is killed.

    Args:
        inner: the launcher that Hydra was asked for.
        manifest: the sweep's record.
        swept: the keys with several values, which name a search's jobs.
        settings: `sweep.key=value` items that every job gets.
    """

    def __init__(
        self, inner: Launcher, manifest: Manifest, swept: Sequence[str], settings: Sequence[str]
    ) -> None:
        self.inner = inner
        self.manifest = manifest
        self.swept = swept
        self.settings = settings

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run those jobs of a batch that are not finished; return how each ended."""
        batch = range(initial_job_idx, initial_job_idx + len(job_overrides))
        self._know(batch, job_overrides)
        unfinished = [job for job in self._now(batch) if job.status != "finished"]
        for job in unfinished:
            if job.status != "waiting":
                self.manifest.update(job.index, status="waiting", reason=None)
        self._share_threads(len(unfinished))
        self._run(unfinished)
        return [_returned(job) for job in self._now(batch)]

    def _know(self, batch: range, job_overrides: Sequence[Sequence[str]]) -> None:
        """Put a search's new jobs into the manifest; refuse others than those of an earlier run."""
        known = self.manifest.read().jobs
        for index, overrides in zip(batch, job_overrides, strict=True):
            if index >= len(known):
                self.manifest.add(new_job(index, overrides, self.swept, ""))
            elif known[index].overrides != list(overrides):
                raise ValueError(
                    f"job {index} was {known[index].name}, now it is {' '.join(overrides)}: "
                    "only a seeded search can go on"
                )

    def _share_threads(self, jobs: int) -> None:
        """Ask joblib for no more workers than jobs: it divides the processor's threads by them."""
        options = getattr(self.inner, "joblib", None)
        if options is not None and jobs:
            from joblib import effective_n_jobs

            options["n_jobs"] = min(effective_n_jobs(options["n_jobs"]), jobs)

    def _run(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        numbered = [[*job.overrides, *self.settings, f"sweep.job={job.index}"] for job in jobs]
        try:
            self.inner.launch(numbered, initial_job_idx=jobs[0].index)
        except BrokenProcessPool as error:
            waiting = self._after_a_death(jobs)
            if len(waiting) == len(jobs):
                raise ValueError(
                    f"the launcher's processes die before they start: {error}"
                ) from None
            self._run(waiting)
        except Exception as error:
            # submitit raises for the first job that died, while the others go on.
            self._wait_for_the_living(jobs)
            self._record_the_dead(jobs, str(error) or type(error).__name__)

    def _after_a_death(self, jobs: Sequence[Job]) -> list[Job]:
        """Run again, alone, what died with a pool; return the jobs that had not started."""
        now = self._now(job.index for job in jobs)
        dead = [job for job in now if job.status == "running"]
        if len(dead) == 1:
            self._record_the_dead(dead, "its process was killed, as when memory runs out")
        for job in dead if len(dead) > 1 else []:
            self._run([job])
        return [job for job in now if job.status == "waiting"]

    def _record_the_dead(self, jobs: Sequence[Job], reason: str) -> None:
        line = reason.strip().splitlines()[0]
        for job in self._now(job.index for job in jobs):
            if job.status == "running" and not self.manifest.is_alive(job.index):
                self.manifest.end(job.index, "killed", reason=line)

    def _wait_for_the_living(self, jobs: Sequence[Job]) -> None:
        """Wait until all jobs ended; for those that do not start, not much longer."""
        seen, since = None, time.monotonic()
        while time.monotonic() - since < _PATIENCE_S:
            now = self._now(job.index for job in jobs)
            states = [job.status for job in now]
            alive = [self.manifest.is_alive(job.index) for job in now]
            if "waiting" not in states and not any(alive):
                return
            if any(alive) or states != seen:
                seen, since = states, time.monotonic()
            time.sleep(0.2)

    def _now(self, indices: Iterable[int]) -> list[Job]:
        jobs = self.manifest.read().jobs
        return [jobs[index] for index in indices]


def _returned(job: Job) -> JobReturn:
    """Return what a sweeper is told of a job."""
    result = JobReturn(overrides=job.overrides)
    finished = job.status == "finished"
    result.status = JobStatus.COMPLETED if finished else JobStatus.FAILED
    objective = math.nan if job.objective is None else job.objective
    result.return_value = objective if finished else RuntimeError(f"{job.status}: {job.reason}")
    return result
