"""What a GPU does for these models, and what measuring costs there.

Run `python -m benchmarks.gpu` on a machine that has one; `--write` keeps the result. Every table
names the card. Sides that are compared take turns in one process, and each turn ends with the
device idle.

- Throughput: a complete training (logger, checkpoint, validation, diagnosis) on the processor and
  on the card, beside a hand-written loop on the card, in training windows a second.
- Waiting: places at which a training step makes the host wait for the device, found with PyTorch's
  own sync debug mode between two measurements and at one, and counted by the profiler.
- Monitoring: as in `benchmarks.overhead`, blocks of steps in turn.
- Graphs: a step of a hand-written loop, captured as a CUDA graph, compiled, and neither.
- Seeds: many members trained as one model (torch.func) over the time of one.

Half precision is compared with float32 by `python -m benchmarks.precision`.
"""

import argparse
import copy
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.keeping import keep
from benchmarks.overhead import MODELS
from benchmarks.overhead import measure as measure_monitoring
from src.config import CONFIG_DIR
from src.reporting.text import markdown_rows
from src.runs.build import (
    build_callbacks,
    build_datamodule,
    build_module,
    build_trainer,
    compile_model,
)
from src.runs.process import keep_freed_memory

WORKLOADS = {
    "LSTM 2x50, batch 32": ["experiment=price_lstm"],
    "LSTM 2x50, batch 256": ["experiment=price_lstm", "data.batch_size=256"],
    "transformer, batch 64": ["experiment=bars_transformer"],
    "transformer 512 wide, 6 layers, batch 256": [
        "experiment=bars_transformer",
        "model.hidden_size=512",
        "model.num_layers=6",
        "model.num_heads=8",
        "model.feedforward_size=2048",
        "data.batch_size=256",
    ],
}


def configure(overrides: Sequence[str]) -> DictConfig:
    """Return the config of a training without a progress bar."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("train", [*overrides, "callbacks.progress_bar=null"])


class Clock(pl.Callback):
    """Time each epoch's training steps, from its second batch on, until the device is idle.

    Args:
        now: reads the time, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.step_s: list[float] = []
        self.first_step_s = 0.0
        self._now = now
        self._begun = now()

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        """Start after the first batch of an epoch, stop after the last."""
        if args[-1] == 0:
            _idle()
            self.first_step_s = self.first_step_s or self._now() - self._begun
            self._begun = self._now()
        elif args[-1] == trainer.num_training_batches - 1:
            _idle()
            self.step_s.append((self._now() - self._begun) / args[-1])


class Waits(pl.Callback):
    """Count by place what makes the host wait, in a stretch of steps.

    Args:
        first: first step looked at.
        last: the step after the last one looked at.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.places: Counter[str] = Counter()

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Let PyTorch warn, with the place."""
        if trainer.global_step == self.first:
            self._show, warnings.showwarning = warnings.showwarning, self._note
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        if trainer.global_step == self.last:
            torch.cuda.set_sync_debug_mode("default")
            warnings.showwarning = self._show

    def _note(self, message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if "synchroniz" in str(message):
            frame, own = sys._getframe(), []
            while frame is not None:
                own.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
                frame = frame.f_back  # type: ignore[assignment]
            inside = [place for place in own if "/src/" in place]
            short = (inside or [f"{filename}:{lineno}"])[0]
            self.places["/".join(short.rsplit("/", 3)[1:])] += 1


def train(
    overrides: Sequence[str],
    *extra: pl.Callback,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Train as a user does.

    Args:
        overrides: of the command line.
        extra: further callbacks.
        now: reads the time, in seconds.

    Returns:
        Seconds of the fit and of a step, validation loss and test scores.
    """
    config = configure(overrides)
    pl.seed_everything(config.seed, verbose=False)
    data = build_datamodule(config)
    module = build_module(config, data)
    if config.compile:
        compile_model(module, config.trainer.accelerator)
    clock = Clock(now)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = build_callbacks(config, module, data, Path(folder))
        trainer = build_trainer(config, [*callbacks, clock, *extra], Path(folder))
        begun = now()
        trainer.fit(module, datamodule=data)
        _idle()
        seconds = now() - begun
        val_loss = float(trainer.callback_metrics["val/loss"])
        trainer.test(module, datamodule=data, verbose=False)
    return {
        "fit_s": seconds,
        "step_ms": 1e3 * statistics.median(clock.step_s),
        "windows_per_s": config.data.batch_size / statistics.median(clock.step_s),
        "val_loss": val_loss,
        "test_rmse": module.scores["model"]["rmse"],
        "baseline_rmse": module.scores["baseline"]["rmse"],
        "directional_accuracy": module.scores["model"].get("directional_accuracy"),
    }


def by_hand(overrides: Sequence[str], epochs: int) -> float:
    """Return the milliseconds of a step of a loop without anything, its data on the card."""
    config = configure(overrides)
    pl.seed_everything(config.seed, verbose=False)
    data = build_datamodule(config)
    model = build_module(config, data).model.cuda()
    part = data.datasets["train"][torch.arange(data.windows("train"))]
    x, y = part.x.cuda(), part.y.cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optimizer.lr)
    times = []
    for _ in range(epochs):
        _idle()
        begun, order = time.perf_counter(), torch.randperm(len(x)).cuda()
        for index in order.split(config.data.batch_size):
            loss = F.mse_loss(model(x[index]).preds, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        _idle()
        times.append((time.perf_counter() - begun) / -(-len(x) // config.data.batch_size))
    return 1e3 * statistics.median(times)


def throughput(epochs: int) -> list[dict[str, Any]]:
    """Compare processor, card and a hand-written loop on the card."""
    rows = []
    for name, overrides in WORKLOADS.items():
        size = [*overrides, f"trainer.max_epochs={epochs}"]
        gpu = train([*size, "trainer=gpu"])
        hand = by_hand(overrides, epochs)
        cpu = {threads: on_processor(overrides, threads) for threads in thread_counts(name)}
        rows.append({"workload": name, "gpu": gpu, "hand_step_ms": hand, "cpu_step_ms": cpu})
        print(name, rows[-1], flush=True)
    return rows


def thread_counts(workload: str) -> list[int]:
    """Return the numbers of processor threads to try: powers of four, and all of them."""
    cores = os.cpu_count() or 1
    return [cores] if "512" in workload else sorted({*(n for n in (1, 4) if n < cores), cores})


def on_processor(overrides: Sequence[str], threads: int) -> float:
    """Return the milliseconds of a training step on the processor, without callbacks."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    few = 4 if any("512" in item for item in overrides) else 80
    size = ["trainer=cpu", "trainer.max_epochs=1", f"+trainer.limit_train_batches={few}"]
    bare = ["callbacks.gradient_health=null", "callbacks.pooling_monitor=null"]
    try:
        return train([*overrides, *size, *bare, "trainer.limit_val_batches=1"])["step_ms"]
    finally:
        torch.set_num_threads(before)


def waiting() -> dict[str, dict[str, int]]:
    """Count what makes the host wait in 19 plain steps, and in one that is measured."""
    found = {}
    for name in ("LSTM 2x50, batch 32", "transformer, batch 64"):
        base = [*WORKLOADS[name], "trainer=gpu", "trainer.max_epochs=4", "trainer.max_steps=155",
                "optimizer.lr=1e-4"]  # fmt: skip
        stretches = {"19 steps": (121, 140), "40 steps, a measured one among them": (112, 152)}
        for what, (first, last) in stretches.items():
            waits = Waits(first, last)
            train(base, waits)
            found[f"{name}: {what}"] = dict(waits.places)
            print(name, what, dict(waits.places), flush=True)
    return found


def _step_of(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    optimizer = torch.optim.Adam(model.parameters(), capturable=True)

    def step() -> Tensor:
        loss = F.mse_loss(model(x).preds, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss

    return step


def _captured(step: Callable[[], Tensor]) -> Callable[[], Any]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _time(call: Callable[[], Any], rounds: int = 5, calls: int = 100) -> float:
    for _ in range(10):
        call()
    times = []
    for _ in range(rounds):
        _idle()
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        _idle()
        times.append((time.perf_counter() - begun) / calls)
    return 1e3 * statistics.median(times)


def graphs() -> list[dict[str, Any]]:
    """Time a step as it is, as a captured graph and compiled."""
    rows = []
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model, shape = make()
        batch = torch.randn(shape, device="cuda"), torch.randn(shape[0], 1, device="cuda")
        eager, graph = (copy.deepcopy(model).cuda() for _ in range(2))
        row: dict[str, Any] = {"model": name, "eager": _time(_step_of(eager, *batch))}
        row["graph"] = _attempt(_timed_graph, graph, *batch)
        rows.append(row)
        print(row, flush=True)
    return rows


def compiled() -> dict[str, float | str]:
    """Time the same step compiled."""
    found = {}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model, shape = make()
        batch = torch.randn(shape, device="cuda"), torch.randn(shape[0], 1, device="cuda")
        found[name] = _attempt(_timed_compiled, model.cuda(), *batch)
        print("compiled", name, found[name], flush=True)
    return found


def _timed_graph(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return _time(_captured(_step_of(model, x, y)))


def _timed_compiled(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return _time(_step_of(torch.compile(model), x, y))  # type: ignore[arg-type]


def seeds_at_once(count: int) -> list[dict[str, Any]]:
    """Time a step of many models of different seeds, as one, over that of one model."""
    rows: list[dict[str, Any]] = []
    for name, make in MODELS.items():
        models = []
        for seed in range(count):
            torch.manual_seed(seed)
            models.append(make()[0].cuda())
        shape = make()[1]
        batch = torch.randn(shape, device="cuda"), torch.randn(shape[0], 1, device="cuda")
        one = _time(_step_of(copy.deepcopy(models[0]), *batch))
        row = {"model": name, "count": count, "one_ms": one}
        row["one_graph_ms"] = _attempt(_timed_graph, copy.deepcopy(models[0]), *batch)
        row["all_ms"] = _attempt(_timed_together, models, *batch)
        row["all_graph_ms"] = _attempt(_timed_members, models, *batch)
        rows.append(row)
        print(rows[-1], flush=True)
    return rows


def _timed_together(models: list[nn.Module], x: Tensor, y: Tensor) -> float:
    params, buffers = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    base = copy.deepcopy(models[0]).to("meta")
    optimizer = torch.optim.Adam(list(params.values()), capturable=True)

    def loss_of(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        return F.mse_loss(torch.func.functional_call(base, (p, b), (x,)).preds, y)

    def step() -> None:
        torch.func.vmap(loss_of, randomness="different")(params, buffers).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return _time(step, rounds=3, calls=20)


def _timed_members(models: list[nn.Module], x: Tensor, y: Tensor, streams: int = 16) -> float:
    """Time one graph that holds a step of every member, on several streams."""
    steps = [_step_of(model, x, y) for model in models]
    for step in steps:
        step()
    torch.cuda.synchronize()
    graph, side = torch.cuda.CUDAGraph(), [torch.cuda.Stream() for _ in range(streams)]
    with torch.cuda.graph(graph):
        main = torch.cuda.current_stream()
        for stream in side:
            stream.wait_stream(main)
        for number, step in enumerate(steps):
            with torch.cuda.stream(side[number % streams]):
                step()
        for stream in side:
            main.wait_stream(stream)
    return _time(graph.replay, rounds=3, calls=20)


def _attempt(call: Callable[..., float], *arguments: Any) -> float | str:
    """Return a time, or in one line why there is none."""
    try:
        return call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"


def _idle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="tables; all by default")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep the result")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("this machine has no usable GPU")
    keep_freed_memory()
    tables: dict[str, Callable[[], Any]] = {
        "throughput": lambda: throughput(options.epochs),
        "waiting": waiting,
        "monitoring": lambda: [measure_monitoring(n, 3, 100, "gpu") for n in MODELS],
        "graphs": graphs,
        "seeds": lambda: seeds_at_once(64),
        "compiled": compiled,
    }
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "command": f"python -m benchmarks.gpu --epochs {options.epochs}",
    }
    for name, make in tables.items():
        if not options.only or name in options.only:
            begun = time.perf_counter()
            result[name] = make()
            print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
            if options.write:
                keep("gpu", result, page(result))
    print(page(result))


def page(result: dict[str, Any]) -> str:
    """Return the result as a page in Markdown; a table that was not asked for is left out."""
    lines = [
        f"# On a GPU: {result['device']}, PyTorch {result['torch']}",
        "",
        f"`{result['command']} --write`",
        "",
    ]
    if rows := result.get("throughput"):
        lines += ["## A complete training, and a loop by hand", ""]
        lines += markdown_rows(
            (
                "workload",
                "ours, ms a step",
                "loop, ms",
                "ratio",
                "windows a second",
                "processor, ms",
            ),
            [
                (
                    r["workload"],
                    f"{r['gpu']['step_ms']:.2f}",
                    f"{r['hand_step_ms']:.2f}",
                    f"{r['gpu']['step_ms'] / r['hand_step_ms']:.2f}",
                    f"{r['gpu']['windows_per_s']:,.0f}",
                    ", ".join(f"{ms:.1f} ({n})" for n, ms in r["cpu_step_ms"].items()),
                )
                for r in rows
            ],
        )
        lines += [""]
    if waits := result.get("waiting"):
        lines += ["## Where the host waits for the device", ""]
        lines += markdown_rows(
            ("stretch", "place", "times"),
            [
                (s, p, str(n))
                for s, places in waits.items()
                for p, n in (places or {"nowhere": 0}).items()
            ],
            names=2,
        )
        lines += [""]
    if rows := result.get("monitoring"):
        lines += ["## What measuring costs: ratio to the same step without it", ""]
        lines += markdown_rows(
            ("model", "step without, ms", "variant", "whole step", "host time in the hooks"),
            [
                (
                    *(r["model"], f"{r['step_ms_off']:.2f}", variant),
                    *(f"{m:.3f} [{a:.3f}, {b:.3f}]" for a, m, b in reading.values()),
                )
                for r in rows
                for variant, reading in r["variants"].items()
            ],
            names=3,
        )
        lines += [""]
    if rows := result.get("graphs"):
        lines += ["## A step by hand, ms", ""]
        lines += markdown_rows(
            ("model", "as it is", "CUDA graph", "compiled"),
            [
                (
                    *(r["model"], _shown(r["eager"]), _shown(r["graph"])),
                    _shown(result.get("compiled", {}).get(r["model"], "")),
                )
                for r in rows
            ],
        )
        lines += [""]
    if rows := result.get("seeds"):
        lines += ["## Many seeds as one model, ms a step", ""]
        lines += markdown_rows(
            ("model", "seeds", "one", "one, as a graph", "all, torch.func", "all, as a graph"),
            [
                (
                    *(r["model"], str(r["count"])),
                    *(_shown(r[k]) for k in ("one_ms", "one_graph_ms", "all_ms", "all_graph_ms")),
                )
                for r in rows
            ],
            names=2,
        )
        lines += [""]
    return "\n".join(lines)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


if __name__ == "__main__":
    main()
