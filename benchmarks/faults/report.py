"""The committed tables (Markdown), the committed records (JSON) and the table on the terminal."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.scoring import Answer, Rate, Result, Scores, group, is_silent, score
from benchmarks.faults.traps import TRAPS

COLUMNS = ("recall", "cause", "primary cause", "cause by any alarm", "module", "false alarms")
FAULT_COLUMNS = ("fault", "what was done", "cause", "runs", "recall", "cause", "module")
Rows = list[list[str]]


def show_rate(rate: Rate, interval: bool = True) -> str:
    """Write a rate as `0.95 [0.91, 0.97]`.

    >>> show_rate(Rate(9, 10)), show_rate(Rate(9, 10), interval=False), show_rate(Rate(0, 0))
    ('0.90 [0.60, 0.98]', '0.90', '-')
    """
    if not rate.total:
        return "-"
    low, high = rate.interval
    return f"{rate.value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if interval else "")


def show_scores(scores: Scores, interval: bool = True) -> list[str]:
    """Write the rates of a row."""
    return [show_rate(rate, interval) for rate in scores]


def split(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Separate the held-out architectures from the tuned ones and those that share their code."""
    kinds = {"held out": False, "tuned": True}
    parts = {name: [r for r in results if r.tuned is tuned] for name, tuned in kinds.items()}
    akin = {name for name, item in ARCHITECTURES.items() if item.shares_code}
    return {
        "held out": [r for r in parts["held out"] if r.architecture not in akin],
        "of the tuned nets' code": [r for r in parts["held out"] if r.architecture in akin],
        "tuned": parts["tuned"],
    }


def summary_rows(results: Sequence[Result]) -> Rows:
    """Score every diagnoser on held-out and tuned architectures."""
    names = list(results[0].answers)
    return [
        [where, name, *show_scores(score(part, name))]
        for where, part in split(results).items()
        if part
        for name in names
    ]


def architecture_rows(results: Sequence[Result]) -> Rows:
    """Score ours per architecture."""
    return [
        [name, *show_scores(score(part, "ours"), interval=False)]
        for name, part in group(results, lambda r: r.architecture).items()
    ]


def fault_rows(results: Sequence[Result]) -> Rows:
    """Score ours per fault, held-out architectures first, beside the rivals' named causes."""
    faulty = group([r for r in results if r.faulty], lambda r: r.name)
    rivals = [name for name in results[0].answers if name != "ours"]
    rows = []
    for name in FAULTS:
        if name not in faulty:
            continue
        scores = score(faulty[name], "ours")
        rates = (scores.recall, scores.cause, scores.module)
        named = [show_rate(score(faulty[name], rival).cause, False) for rival in rivals]
        ours = [show_rate(rate, interval=False) for rate in rates]
        runs = str(len(faulty[name]))
        rows.append([name, FAULTS[name].says, FAULTS[name].causes[0], runs, *ours, *named])
    return rows


def clean_rows(results: Sequence[Result]) -> Rows:
    """Count alarms per trap and over the plain runs."""
    clean = group(
        [r for r in results if not r.faulty], lambda r: r.name if r.kind == "trap" else "plain"
    )
    says = {name: trap.says for name, trap in TRAPS.items()} | {"plain": "plain healthy runs"}
    return [
        [says[name], str(len(part))]
        + [str(score(part, diagnoser).false_alarms.hits) for diagnoser in part[0].answers]
        for name, part in sorted(clean.items())
    ]


def rule_rows(results: Sequence[Result]) -> Rows:
    """Count which rule alarmed first on the clean runs, and on which architectures."""
    heard: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, answer in result.answers.items():
            if not result.faulty and not is_silent(answer):
                heard.setdefault((name, answer.rule or "crash"), []).append(result.architecture)
    return [
        [name, rule, str(len(where)), ", ".join(dict.fromkeys(where))]
        for (name, rule), where in sorted(heard.items())
    ]


def is_right(result: Result) -> bool:
    """Tell whether ours has nothing to improve on a run."""
    scores = score([result], "ours")
    if not result.faulty:
        return is_silent(result.answers["ours"])
    return bool(scores.cause.hits) and (not scores.module.total or bool(scores.module.hits))


def mistake_rows(results: Sequence[Result]) -> Rows:
    """List the runs that ours missed, misnamed, misplaced or alarmed on for nothing."""
    rows = []
    wrong = [result for result in results if not is_right(result)]
    for key, part in group(wrong, lambda r: f"{r.name}/{r.architecture}").items():
        for said, same in group(part, lambda r: show_answer(r.answers["ours"])).items():
            truth = " or ".join(part[0].causes) or "nothing"
            place = ", ".join(repr(name) for name in part[0].modules or ())
            seeds = " ".join(str(result.seed) for result in same)
            rows.append([key, seeds, f"{truth} @ {place}" if place else truth, said])
    return rows


def show_answer(answer: Answer) -> str:
    """Write an answer in a few words."""
    if answer.error is not None:
        return f"crash: {answer.error}"
    if not answer.alarms:
        return "silent"
    return f"{answer.causes[0]} @ {answer.module!r}"


def markdown_table(header: Sequence[str], rows: Rows) -> str:
    """Write a table; pipes inside cells would break it and become slashes."""
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "/") for c in line) + " |" for line in lines)


def write_markdown(results: Sequence[Result], facts: dict[str, Any]) -> str:
    """Write every table of the benchmark."""
    diagnosers = list(results[0].answers)
    rivals = [name for name in diagnosers if name != "ours"]
    why = [[f.name, ", ".join(f.causes), f.why] for f in FAULTS.values() if f.why]
    sections = [
        "# Fault localisation benchmark",
        f"`{facts['command']}`: {facts['faulty']} faulty and {facts['clean']} clean runs, "
        f"{facts['seeds']} seeds, {facts['seconds']:.0f} s on {facts['cores']} cores, "
        f"torch {facts['torch']}. Architectures set apart for tuning: {', '.join(facts['tuned'])}. "
        "Brackets are 95% Wilson intervals over pairs of fault and net, whose seeds nearly always "
        "agree. The first alarm counts. Cause: it names an accepted cause; primary cause: the "
        "first of them; by any alarm: where all were recorded. Module: over faults that have a "
        "place. Nets that share code with the tuned ones are not held out.",
        "## Summary",
        markdown_table(("architectures", "diagnoser", *COLUMNS), summary_rows(results)),
        "## Ours per architecture",
        markdown_table(("architecture", *COLUMNS), architecture_rows(results)),
        "## Per fault, all architectures",
        markdown_table(
            (*FAULT_COLUMNS, *(f"cause: {name}" for name in rivals)),
            fault_rows(results),
        ),
        "## Alarms on clean runs",
        markdown_table(("clean run", "runs", *diagnosers), clean_rows(results)),
        markdown_table(
            ("diagnoser", "first rule", "clean runs", "architectures"), rule_rows(results)
        ),
        "## Further accepted causes",
        markdown_table(("fault", "accepted", "because"), why),
        "## What ours got wrong",
        markdown_table(("run", "seeds", "truth", "said"), mistake_rows(results)),
    ]
    return "\n\n".join(sections) + "\n"


def run_facts(
    results: Sequence[Result], seeds: int, seconds: float, command: str
) -> dict[str, Any]:
    """Describe the run and its machine."""
    return {
        "command": command,
        "seeds": seeds,
        "faulty": sum(result.faulty for result in results),
        "clean": sum(not result.faulty for result in results),
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "tuned": [name for name, item in ARCHITECTURES.items() if item.tuned],
        "held_out": sorted({r.architecture for r in split(results)["held out"]}),
    }


def as_record(result: Result) -> dict[str, Any]:
    """Turn a result into plain JSON values; timings are dropped, they differ from run to run."""
    answers = {
        name: {k: v for k, v in answer._asdict().items() if k != "seconds" and v not in (None, "")}
        for name, answer in result.answers.items()
    }
    return result._asdict() | {"answers": answers}


def read_results(path: Path) -> list[Result]:
    """Read the results that `write_files` left; ours always points somewhere, if at the net."""

    def answer(name: str, record: dict[str, Any]) -> Answer:
        place = {"module": ""} if name == "ours" and record["alarms"] else {}
        return Answer(**place | record)

    return [
        Result(**{**run, "answers": {n: answer(n, a) for n, a in run["answers"].items()}})
        for run in json.loads(path.read_text())["runs"]
    ]


def write_files(results: Sequence[Result], facts: dict[str, Any], folder: Path) -> None:
    """Write faults.json, one run per line, and faults.md."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = {
        where: {
            name: {
                key: {
                    "value": rate.value,
                    "interval": rate.interval,
                    "hits": rate.hits,
                    "total": rate.total,
                    "clusters": rate.clusters,
                }
                for key, rate in score(part, name)._asdict().items()
            }
            for name in part[0].answers
        }
        for where, part in split(results).items()
        if part
    }
    head = json.dumps({"facts": facts, "scores": scores}, indent=1)
    lines = ",\n".join(json.dumps(as_record(result)) for result in results)
    text = head.rstrip().removesuffix("}").rstrip() + f',\n "runs": [\n{lines}\n ]\n}}\n'
    (folder / "faults.json").write_text(text)
    (folder / "faults.md").write_text(write_markdown(results, facts))


def print_summary(results: Sequence[Result], console: Console) -> None:
    """Print the summary and what ours got wrong."""
    for title, header, rows in (
        ("Summary", ("architectures", "diagnoser", *COLUMNS), summary_rows(results)),
        ("Wrong", ("run", "seeds", "truth", "said"), mistake_rows(results)),
    ):
        table = Table(*header, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
