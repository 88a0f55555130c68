"""Train the presets over seeds and score them beside "tomorrow = today".

Usage: python -m benchmarks.scores [--seeds 5] [--write]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.keeping import keep
from src.reporting.text import markdown_rows

PRESETS = {
    "price_lstm": ["experiment=price_lstm"],
    "price_lstm_textbook": ["experiment=price_lstm_textbook"],
    "price_linear": ["experiment=price_lstm", "model=linear", "name=price_linear"],
    "bars_transformer": ["experiment=bars_transformer"],
}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="rewrite benchmarks/results/scores.*")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = [_score(name, arguments.seeds, Path(folder)) for name in PRESETS]
    results = {
        "command": f"python -m benchmarks.scores --seeds {arguments.seeds} --write",
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "duration_s": round(time.monotonic() - started),
        "rows": rows,
    }
    text = _markdown(results)
    print(text)
    if arguments.write:
        keep("scores", results, text)


def _score(name: str, seeds: int, folder: Path) -> dict[str, Any]:
    """Train one preset with each seed and average what the run folders report."""
    every_seed = ",".join(map(str, range(seeds)))
    overrides = [*PRESETS[name], f"seed={every_seed}", f"log_dir={folder}"]
    command = [sys.executable, "-m", "src.train", "-m", *overrides]
    quiet = "callbacks.progress_bar=null"
    subprocess.run([*command, quiet], check=True, stdout=subprocess.DEVNULL)
    reports = [json.loads(f.read_text()) for f in folder.glob(f"{name}/*/report.json")]
    ratios = [r["test"]["ratio"]["rmse"] for r in reports]
    return {
        "preset": name,
        "command": " ".join(["python -m src.train -m", *PRESETS[name], f"seed={every_seed}"]),
        "rmse": statistics.mean(r["test"]["model"]["rmse"] for r in reports),
        "baseline_rmse": statistics.mean(r["test"]["baseline"]["rmse"] for r in reports),
        "ratio": statistics.mean(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "seconds": statistics.mean(r["duration_s"] for r in reports),
        "seeds": len(reports),
    }


def _markdown(results: dict[str, Any]) -> str:
    """Return the table, with the command that makes it again."""
    head = f"Test RMSE in index points, S&P 500, mean over seeds. Repeat: `{results['command']}`."
    headers = ("preset", "RMSE", '"tomorrow = today"', "ratio", "ratio over seeds", "seconds a run")
    rows = [
        (
            *(f"`{row['preset']}`", f"{row['rmse']:.2f}", f"{row['baseline_rmse']:.2f}"),
            *(f"{row['ratio']:.3f}", f"{row['ratio_min']:.3f} to {row['ratio_max']:.3f}"),
            f"{row['seconds']:.0f}",
        )
        for row in results["rows"]
    ]
    return "\n".join([head, "", *markdown_rows(headers, rows)]) + "\n"


if __name__ == "__main__":
    main()
