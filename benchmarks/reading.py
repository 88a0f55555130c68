"""Time a million minute bars from the file to the training steps, and weigh them.

Reading is timed against `pandas.read_csv` of the same file, which leaves dates as text and checks
nothing; the first step against that of a file of 5,000 bars, both from the start of the process;
later steps against those on the few bars, in one process, some of the one after some of the other.
Otherwise each measurement runs in a process of its own, in turn; ratios are taken pair by pair.

Usage: python -m benchmarks.reading [--rounds 5] [--write]
"""

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.keeping import keep
from src.data.reading.sources import BAR_COLUMNS, load_prices
from src.reporting.text import markdown_rows

BARS, FEW_BARS = 1_000_000, 5_000
LAYOUTS = ("ISO dates", "MetaTrader 5", "decimal commas", "day first")
EXPERIMENTS = ("price_lstm", "bars_transformer")
TURNS, STEPS = 9, 40


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="rewrite results/reading.*")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--paths", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](*arguments.paths)))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "command": f"python -m benchmarks.reading --rounds {arguments.rounds} --write",
            "machine": {"system": platform.platform(), "pandas": pd.__version__},
            **_measure(Path(folder), arguments.rounds),
        }
    text = _markdown(results)
    print(text)
    if arguments.write:
        keep("reading", results, text)


def _measure(folder: Path, rounds: int) -> dict[str, Any]:
    files = {layout: _write(folder, layout, BARS) for layout in LAYOUTS}
    few = _write(folder, LAYOUTS[0], FEW_BARS)
    reading = {
        layout: _pairs(rounds, ("pandas", file), ("ours", file)) for layout, file in files.items()
    }
    many = files[LAYOUTS[0]]
    features = [_in_new_process("features", many) for _ in range(rounds)]
    return {
        "reading": reading,
        "features_seconds": statistics.median(f["seconds"] for f in features),
        "features_gigabytes": max(f["gigabytes"] for f in features),
        "first_step": _pairs(rounds, ("step", few), ("step", many)),
        "later_steps": {name: _in_new_process(name, few, many) for name in EXPERIMENTS},
    }


def _write(folder: Path, layout: str, rows: int) -> Path:
    """Write minute bars, five days a week, as one kind of file has them."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, rows)))
    start = np.r_[100.0, close[:-1]]
    days = np.busday_offset("2015-01-05", np.arange(rows // 960 + 1))
    minutes = (days[:, None] + np.arange(480, 1440) * np.timedelta64(1, "m")).ravel()[:rows]
    frame = pd.DataFrame(
        {
            "Date": pd.DatetimeIndex(minutes),
            "Open": start.round(4),
            "High": (np.maximum(start, close) * 1.0001).round(4),
            "Low": (np.minimum(start, close) * 0.9999).round(4),
            "Close": close.round(4),
            "Volume": rng.integers(1, 10_000, rows),
        }
    )
    path = folder / f"{layout}-{rows}.csv"
    if layout == "MetaTrader 5":
        clock = frame["Date"].dt.strftime("%H:%M:%S")
        frame.insert(1, "Time", clock)
        frame["Date"] = frame["Date"].dt.strftime("%Y.%m.%d")
        frame.columns = [f"<{name.upper()}>" for name in frame]
        frame.to_csv(path, sep="\t", index=False)
    elif layout == "decimal commas":
        frame.to_csv(path, sep=";", decimal=",", index=False)
    else:
        style = "%d/%m/%Y %H:%M" if layout == "day first" else "%Y-%m-%d %H:%M:%S"
        frame.to_csv(path, index=False, date_format=style)
    return path


def _pairs(rounds: int, first: tuple[str, Path], second: tuple[str, Path]) -> dict[str, float]:
    """Run two measurements in turn; return times, memory, and the second's ratio to the first."""
    pairs = [[_in_new_process(*side) for side in (first, second)] for _ in range(rounds)]
    held = [max(pair[side]["gigabytes"] for pair in pairs) for side in (0, 1)]
    return {
        **_ratios([(theirs["seconds"], ours["seconds"]) for theirs, ours in pairs]),
        "first_gigabytes": held[0],
        "second_gigabytes": held[1],
    }


def _ratios(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = [ours / theirs for theirs, ours in pairs]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "first_seconds": statistics.median(pair[0] for pair in pairs),
        "second_seconds": statistics.median(pair[1] for pair in pairs),
    }


def _in_new_process(side: str, *paths: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.reading", "--side", side, "--paths"]
    done = subprocess.run([*command, *map(str, paths)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _timed(work: Any) -> dict[str, Any]:
    # Of the processor, not of the wall: what else the machine does is left out.
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "gigabytes": peak * (1 if sys.platform == "darwin" else 1024) / 1e9}


def _read_by_pandas(path: str) -> dict[str, Any]:
    sep = "\t" if "MetaTrader" in path else ";" if "commas" in path else ","
    decimal = "," if "commas" in path else "."
    return _timed(lambda: pd.read_csv(path, sep=sep, decimal=decimal))


def _read(path: str) -> dict[str, Any]:
    return _timed(lambda: load_prices(path=path, columns=BAR_COLUMNS))


def _features(path: str) -> dict[str, Any]:
    from src.data.features.bars import bar_features

    table = load_prices(path=path, columns=BAR_COLUMNS)
    return _timed(lambda: bar_features(table))


def _step(path: str) -> dict[str, Any]:
    """Take one training step on bars; the time counts from the start of the process."""
    next(_training("bars_transformer", path))
    return {**_timed(lambda: None), "seconds": time.process_time()}


def _later_steps(experiment: str, few: str, many: str) -> dict[str, float]:
    """Train on few bars and on many, some steps of the one after some of the other."""
    from src.runs.process import keep_freed_memory

    sides = [_training(experiment, path) for path in (few, many)]
    keep_freed_memory()

    def seconds(steps: Iterator[None]) -> float:
        return _timed(lambda: [next(steps) for _ in range(STEPS)])["seconds"] / STEPS

    _, *pairs = [(seconds(sides[0]), seconds(sides[1])) for _ in range(1 + TURNS)]
    return _ratios(pairs)  # without the first, which warms up


def _training(experiment: str, path: str) -> Iterator[None]:
    """Yield after each training step, epoch after epoch."""
    from hydra import compose, initialize_config_dir

    from src.config import CONFIG_DIR
    from src.runs.build import build_datamodule, build_module

    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", [f"experiment={experiment}", f"data.path='{path}'"])
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    optimizer = module.configure_optimizers()
    loader = datamodule.train_dataloader()
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            module.diagnosis_loss(batch).backward()
            optimizer.step()
            yield


SIDES: dict[str, Callable[..., dict[str, Any]]] = {
    "pandas": _read_by_pandas,
    "ours": _read,
    "features": _features,
    "step": _step,
    **{experiment: partial(_later_steps, experiment) for experiment in EXPERIMENTS},
}


def _markdown(results: dict[str, Any]) -> str:
    step, few = results["first_step"], f"against that of {FEW_BARS:,} bars"
    measured = {
        **{f"reading, {k}, against pandas.read_csv": v for k, v in results["reading"].items()},
        f"first step, {few}": step,
        **{f"a later step, {k}, {few}": v for k, v in results["later_steps"].items()},
    }
    rows = [
        (
            name,
            _said(row["first_seconds"]),
            _said(row["second_seconds"]),
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
        )
        for name, row in measured.items()
    ]
    return "\n".join(
        [
            f"# {BARS:,} minute bars",
            "",
            f"Made by `{results['command']}`. Processor time, medians; "
            "ratios pair by pair, their range in brackets.",
            "",
            *markdown_rows(("", "other", "ours", "ratio"), rows),
            "",
            f"The 129 features take {results['features_seconds']:.1f} s. The process that reads "
            f"the file and computes them holds {results['features_gigabytes']:.2f} GB at most, the "
            f"one that trains on them {step['second_gigabytes']:.2f} GB, on {FEW_BARS:,} bars "
            f"{step['first_gigabytes']:.2f} GB.",
            "",
        ]
    )


def _said(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
