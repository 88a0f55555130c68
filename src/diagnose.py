"""Name the cause of dead gradients, in a finished run or in a fresh model.

python -m src.diagnose <run folder or checkpoint>
python -m src.diagnose <run> batches=16 --json
python -m src.diagnose <run> --trials
python -m src.diagnose pooling=mean norm=none
python -m src.diagnose <run> --check --baseline known.json --sarif findings.sarif
python -m src.diagnose --explain dead_input

With --trials, copies of the model are trained for a short while, each under one repair, and judged
on batches that they did not learn from: what would help it to learn?
"""

from collections.abc import Iterator
from typing import Any

from src.cli import Command, Job
from src.importing import importing

OWN = ("ckpt_path", "batches", "trials", "seconds", "check", "baseline", "sarif", "json")


def diagnose(job: Job) -> dict[str, Any]:
    """Return the findings, what would change under other options, and what they are about."""
    config = job.config
    if config.explain:
        from src.diagnostics import explain

        return {"cause": config.explain, "text": explain(config.explain)}
    parts = [item for item in job.overrides if item.split("=")[0] not in OWN]
    if config.ckpt_path and parts:
        raise ValueError(f"give one run folder, or overrides alone; got {' '.join(parts)}")
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.runs.diagnosis import diagnose_fresh, diagnose_run

    asked = (config.batches, config.seconds if config.trials else None)
    if config.ckpt_path:
        result = {"subject": config.ckpt_path, **diagnose_run(config.ckpt_path, *asked)}
    else:
        subject = " ".join(parts) or "the default model"
        result = {"subject": subject, **diagnose_fresh(config, *asked)}
    from src.runs.known_findings import without_known

    return without_known(result, config.baseline, config.sarif)


def show(result: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield the findings, what would help, the what-if table, and the course of the zeros."""
    if "text" in result:
        yield result["text"]
        return
    from src.reporting.run_tables import checks_view, course_table, findings_view, what_if_table
    from src.reporting.trials_table import trials_view

    shown = f"on {result['batches']} training batches, {result['windows']} windows"
    if not result["batches"]:
        shown = "as the run recorded it: no checkpoint of it is left to replay batches with"
    yield f"Diagnosis of {result['subject']} {shown}"
    yield findings_view(result["diagnosis"])
    if result["known"]:
        yield f"Known and not told again: {', '.join(result['known'])}"
    yield from checks_view(result["diagnosis"])
    if result.get("trials"):
        yield trials_view(result["trials"])
    history = (result.get("recorded") or {}).get("gradient_history") or {}
    if any(record["zero_fraction"] for record in history.get("records", ())):
        yield course_table(history)
    rows = [row for row in result["what_if"] if not row["refused"]]
    if any(row["zero_fraction"] for row in rows) or not result["diagnosis"]["healthy"]:
        yield what_if_table(result["what_if"])
    elif rows:
        yield f"What if: no zero under any of {len(rows)} poolings, norms and dropouts (--json)."


def ill(result: dict[str, Any], job: Job) -> int:
    """Return 1 if that is asked for and there is something new to act on."""
    findings = result.get("diagnosis", {}).get("findings", ())
    return int(bool(job.config.check) and not all(finding["benign"] for finding in findings))


main = Command(
    "diagnose",
    __doc__,
    diagnose,
    show,
    code=ill,
    hidden=("trainer", "callbacks", "logger", "sweep", "debug"),
)

if __name__ == "__main__":
    main()
