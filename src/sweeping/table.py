"""How a sweep's state is shown: a line as each job ends, a table at the end."""

from collections import Counter

from rich.table import Table
from rich.text import Text

from src.sweeping.manifest import Job, Plan

_STYLES = {
    "finished": "green",
    "failed": "red",
    "killed": "red",
    "interrupted": "yellow",
    "running": "cyan",
    "waiting": "dim",
}


def job_line(plan: Plan, index: int) -> str:
    """Return one line about a job that has just ended.

    >>> job = Job(0, "seed=0", [], [], "", status="finished", objective=0.5, duration_s=2.0)
    >>> job_line(Plan([], [], "", {}, 1, [job]), 0)
    '1/1 finished: seed=0, val/loss 0.5, 2.0 s'
    """
    job = plan.jobs[index]
    ended = sum(job.status not in ("waiting", "running") for job in plan.jobs)
    facts = [job.name, f"val/loss {job.objective:.5g}" if job.objective is not None else ""]
    facts += [f"{job.duration_s:.1f} s", job.reason or ""]
    return f"{ended}/{plan.total} {job.status}: {', '.join(filter(None, facts))}"


def status_table(plan: Plan) -> Table:
    """Return a table with a row per job: what it varies, how it ended, why."""
    table = Table(title=summary(plan), title_justify="left", title_style="bold")
    table.add_column("#", justify="right", style="dim")
    table.add_column("job", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("val/loss", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for job in plan.jobs:
        table.add_row(*_cells(job))
    return table


def summary(plan: Plan) -> str:
    """Return how many jobs ended how.

    >>> jobs = [Job(i, "", [], [], "", status=s) for i, s in enumerate(["finished", "failed"])]
    >>> summary(Plan([], [], "", {}, 3, jobs))
    '3 jobs: 1 finished, 1 failed, 1 waiting'
    """
    counts = Counter(job.status for job in plan.jobs)
    # A search does not know its later jobs yet.
    counts["waiting"] += plan.total - len(plan.jobs)
    ways = ", ".join(f"{counts[status]} {status}" for status in _STYLES if counts[status])
    return f"{plan.total} {'job' if plan.total == 1 else 'jobs'}: {ways}"


def _cells(job: Job) -> list[Text]:
    loss = f"{job.objective:.5g}" if job.objective is not None else ""
    seconds = f"{job.duration_s:.1f}" if job.duration_s is not None else ""
    status = Text(job.status, style=_STYLES[job.status])
    # Text, not str: rich would take brackets in a name for its markup.
    rest = (Text(cell) for cell in (loss, seconds, job.reason or ""))
    return [Text(str(job.index)), Text(job.name), status, *rest]
