"""Half precision, and kernels that torch.compile makes, beside float32: time and scores.

Usage: python -m benchmarks.precision [--pairs 4] [--epochs 3] [--no-compile] [--write]

Trains as a user does, on the GPU where there is one, else on one thread of the processor, whose
time is that of the CPU: it does not count what other programs took. The two sides of a pair have
the same seed and take turns in one process; ratios and differences are taken pair by pair. The
defaults are for the time of a step and take 3 to 5 minutes; for the scores of longer trainings ask
for `--pairs 5 --epochs 10`. Of each workload one pair is compiled,
which a machine without a compiler leaves out with `--no-compile`.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu import WORKLOADS, train
from benchmarks.keeping import keep
from src.reporting.statistics import estimate
from src.reporting.text import change, count_of, markdown_rows, number
from src.runs.process import keep_freed_memory

FULL = "trainer.precision=32-true"
HALF = "trainer.precision=bf16-mixed"
COMPILED = "compile=true"
LSTM = WORKLOADS["LSTM 2x50, batch 32"]
ON_PROCESSOR = {
    "LSTM 2x50, batch 32": LSTM,
    "LSTM 2x50, batch 256": [*LSTM, "data.batch_size=256"],
    "LSTM on price levels": ["experiment=price_lstm_textbook"],
    "GRU 2x50, batch 32": [*LSTM, "model=gru", "+trainer.limit_train_batches=30"],
    "transformer, batch 64": WORKLOADS["transformer, batch 64"],
}
SCORES = ("val_loss", "test_rmse")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the compilers it has run."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare(overrides: Sequence[str], option: str, pairs: int) -> list[dict[str, Any]]:
    """Train with and without an option, in turn.

    Args:
        overrides: of the command line, for both sides.
        option: what the second side has besides.
        pairs: seeds.

    Returns:
        What `train` found of both sides of each pair, as `full` and `other`.
    """
    now = time.perf_counter if torch.cuda.is_available() else cpu_seconds
    sides = {"full": [FULL], "other": [FULL, option]}
    return [
        {side: train([*overrides, *own, f"seed={seed}"], now=now) for side, own in sides.items()}
        for seed in range(pairs)
    ]


def summary(pairs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return ratios of times and relative differences of scores, pair by pair.

    Args:
        pairs: as `compare` returns them.
    """
    found: dict[str, Any] = {
        key: statistics.median(pair["full"][key] for pair in pairs) for key in ("step_ms", *SCORES)
    }
    for key in ("step_ms", "fit_s"):
        ratios = [pair["other"][key] / pair["full"][key] for pair in pairs]
        found[f"{key}_ratio"] = [min(ratios), statistics.median(ratios), max(ratios)]
    for key in SCORES:
        value = estimate([pair["other"][key] / pair["full"][key] - 1 for pair in pairs])
        found[f"{key}_change"] = [value.low, value.mean, value.high]
    return found


def machine() -> dict[str, Any]:
    """Return what computed: the device, its instructions for half precision, threads, versions."""
    if torch.cuda.is_available():
        return {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    able = torch.cpu.get_capabilities()
    half = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
    return {
        "device": able.get("cpu_name") or platform.processor(),
        "half": ", ".join(half) or "no instructions for bf16",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def page(result: dict[str, Any]) -> str:
    """Return the result as a page in Markdown."""
    made = ", ".join(
        f"{count_of(value, 'thread') if key == 'threads' else value}"
        for key, value in result["machine"].items()
        if key != "torch"
    )
    lines = [
        f"# Half precision and compiled kernels: {made}, PyTorch {result['machine']['torch']}",
        "",
        f"`{result['command']} --write`",
        "",
        "Ratios to the same training in float32, below 1 is faster: median of pairs run in turn",
        "[least, largest], on a processor of CPU time. Differences of scores by pairs of one seed,",
        "mean [95% interval].",
        "",
    ]
    headers = (
        *("workload", "option", "pairs", "float32, ms a step", "a step", "whole fit"),
        *("validation loss", "difference", "test RMSE", "difference"),
    )
    return "\n".join([*lines, *markdown_rows(headers, map(_row, result["rows"]), names=2), ""])


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    times = [
        "{1:.2f} [{0:.2f}, {2:.2f}]".format(*row[key]) for key in ("step_ms_ratio", "fit_s_ratio")
    ]
    scores = []
    for key in SCORES:
        low, mean, high = row[f"{key}_change"]
        scores += [number(row[key]), f"{change(mean)} [{change(low)}, {change(high)}]"]
    return (
        *(row["workload"], row["option"], str(row["pairs"]), f"{row['step_ms']:.2f}"),
        *times,
        *scores,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="one pair with compile=true, too",
    )
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--write", action="store_true", help="rewrite results/precision.*")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    # Compiled anew, and where its time is counted.
    os.environ |= {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    gpu = torch.cuda.is_available()
    if not gpu:
        torch.set_num_threads(1)
    sides = [(HALF, options.pairs), *([(COMPILED, 1)] if options.compile else [])]
    rows = []
    for name, overrides in (WORKLOADS if gpu else ON_PROCESSOR).items():
        for option, pairs in sides if options.only in name else []:
            begun = time.perf_counter()
            place = ["trainer=gpu"] if gpu else ["trainer=cpu"]
            size = [*overrides, *place, f"trainer.max_epochs={options.epochs}"]
            found = compare(size, option, pairs)
            rows.append({"workload": name, "option": f"`{option}`", "pairs": pairs})
            rows[-1] |= {**summary(found), "runs": found}
            print(name, option, f"{time.perf_counter() - begun:.0f} s", flush=True)
    result = {
        "command": f"python -m benchmarks.precision --pairs {options.pairs} "
        f"--epochs {options.epochs}{' --no-compile' * (not options.compile)}",
        "machine": machine(),
        "rows": rows,
    }
    print(page(result))
    if options.write:
        keep("precision", result, page(result))


if __name__ == "__main__":
    main()
