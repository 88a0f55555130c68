"""The callback at its defaults on forecasting libraries' models: silent, and a dead column named.

Usage: python -m benchmarks.libraries [--libraries a b] [--environments DIR] [--write]
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.report import markdown_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
LIBRARIES = {
    "neuralforecast": "neuralforecast==3.3.0",
    "darts": "u8darts[torch]==0.41.0",
    "pytorch-forecasting": "pytorch-forecasting==1.8.0",
}
"""Library -> what is installed of it."""
KNOWN = {
    ("neuralforecast", "TiDE"): "Its temporal decoder ends in a LayerNorm over the single number it"
    " forecasts, which returns its bias whatever comes in: encoder and decoder get no gradient, and"
    " only the linear shortcut around them learns. The alarm is right.",
    ("darts", "NHiTSModel"): "It pools series and column together before the first weight, where"
    " the zeros are lost.",
    ("darts", "TSMixerModel"): "Its first layer mixes steps: a column of zeros leaves it as a"
    " constant, its bias.",
}
"""(library, model) -> why it comes out as it does."""
Row = dict[str, Any]


def make_environment(library: str, folder: Path) -> Path:
    """Make an environment with one library, our torch and our package, and return its Python.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    place = folder / library
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
    version = torch.__version__.partition("+")[0]
    ours = f"{ROOT / 'src' / 'diagnostics'}[lightning]"
    for wanted in ([f"torch=={version}", LIBRARIES[library]], [ours], ["--no-deps", ours]):
        again = ["--force-reinstall"] if "--no-deps" in wanted else []
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *again, *wanted], check=True, capture_output=True, text=True)
    return python


def run(library: str, models: Sequence[str], folder: Path) -> list[Row]:
    """Judge the models of one library in its environment."""
    python = make_environment(library, folder)
    command = [python, "-m", "benchmarks.libraries.probe", library, *models]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        print(done.stderr.splitlines()[-1:], file=sys.stderr)
    return rows


def is_right(row: Row) -> bool:
    """Whether the dead column is named first; of a healthy model, whether it is silent."""
    if row.get("error"):
        return False
    return row["named"][:1] == ["dead_input"] if row["dead_column"] else not row["named"]


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Count per library the silent models, and those whose dead column is named first."""
    table = []
    for library in (*LIBRARIES, "all"):
        own = [row for row in rows if library in ("all", row["library"])]
        cells = []
        for dead in (False, True):
            part = [row for row in own if row["dead_column"] == dead]
            cells.append(f"{sum(map(is_right, part))} of {len(part)}")
        table.append([library, *cells])
    return table


def details(rows: Sequence[Row]) -> list[list[str]]:
    """Say per model what was said, and how its loss went."""
    table = []
    for key in dict.fromkeys((row["library"], row["model"]) for row in rows):
        cells = {False: "-", True: "-"}
        course = ""
        for row in (r for r in rows if (r["library"], r["model"]) == key):
            said = zip(row.get("named", ()), row.get("places", ()), strict=True)
            told = [f"{cause} at `{place}`" for cause, place in list(said)[:2]]
            text = row.get("error") or row["not_replayed"] or ", ".join(told) or "silent"
            cells[row["dead_column"]] = text if is_right(row) else f"**{text}**"
            if not row["dead_column"] and not row.get("error"):
                course = f"{row['first_loss']} to {row['last_loss']}"
        table.append([*key, course, cells[False], cells[True], KNOWN.get(key, "")])
    return table


def write(rows: Sequence[Row], command: str) -> None:
    """Write the committed tables and records."""
    heads = ("library", "healthy and silent", "dead column named first")
    parts = ("library", "model", "loss, first to last 20 steps", "healthy", "dead column", "why")
    text = f"""# Models of forecasting libraries

`{command}`, torch {torch.__version__}, {", ".join(LIBRARIES.values())},
each in an environment of its own. Every model is trained some 300 steps on four series that it can
learn, with the callback at its defaults: it has to stay silent. Where a model takes a second
column, it is trained again with one that is zero throughout: that has to be named first. What is
not right stands in bold.

{markdown_table(heads, summary(rows))}

{markdown_table(parts, details(rows))}
"""
    (RESULTS / "libraries.md").write_text(text, encoding="utf-8")
    records = [{**row, "right": is_right(row)} for row in rows]
    (RESULTS / "libraries.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libraries", description=__doc__)
    known = list(LIBRARIES)
    parser.add_argument("--libraries", nargs="+", choices=known, default=known)
    parser.add_argument("--models", nargs="+", default=[], help="of one library only")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv" / "libraries")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}/libraries.*")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    for library in options.libraries:
        rows += run(library, options.models, options.environments)
        for line in details([row for row in rows if row["library"] == library]):
            print("  ".join(line), flush=True)
    if options.write:
        asked = {(row["library"], row["model"]) for row in rows}
        kept = json.loads((RESULTS / "libraries.json").read_text())
        rows = [row for row in kept if (row["library"], row["model"]) not in asked] + rows
        rows.sort(key=lambda row: known.index(row["library"]))
        write(rows, "python -m benchmarks.libraries --write")
    for line in summary(rows):
        print("  ".join(line))


if __name__ == "__main__":
    main(sys.argv[1:])
