"""What monitoring costs: training steps with the callbacks off, at defaults and at every step.

Run `python -m benchmarks.overhead` for a look and `--write` to keep it in benchmarks/results.

All variants take turns within one fit of one model, a block of steps each, in a new random order
every round, and each is compared with the block of the same round that had no callbacks. Two
readings: the ratio of the blocks' durations, which is what a user waits for and as noisy as the
machine; and one plus the CPU time spent inside the callbacks' hooks over that of a step without
them, which is precise: what reading the clock costs there is measured where there are no callbacks,
and taken off. Beside ours, what is common today: a zero fraction and a norm per parameter
read with `.item()` at each step, and a histogram per parameter at each step. The diagnosis at the
end of a fit is timed apart.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.keeping import keep
from src.callbacks import GradientHealth, PoolingMonitor
from src.models.norm import FeatureNorm
from src.models.pooling import AttentionPooling, LastPooling
from src.models.recurrent import RecurrentEncoder
from src.models.regressor import build_regressor
from src.models.transformer import TransformerEncoder
from src.reporting.text import markdown_rows
from src.runs.process import keep_freed_memory

NO_DROPOUT = {"input": 0.0, "projection": 0.0, "encoder": 0.0}


class Module(pl.LightningModule):
    """Mean squared error and Adam, nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch (x, y)."""
        return F.mse_loss(self.model(batch[0]).preds, batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam at its defaults."""
        return torch.optim.Adam(self.parameters())


class NaiveScalars(pl.Callback):
    """Zero fraction and norm of every parameter, read one by one at each step."""

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        """Write them."""
        writer = trainer.logger.experiment
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                zeros = (parameter.grad == 0).float().mean().item()
                writer.add_scalar(f"naive_zeros/{name}", zeros, trainer.global_step)
                norm = parameter.grad.norm().item()
                writer.add_scalar(f"naive_norm/{name}", norm, trainer.global_step)


class NaiveHistograms(pl.Callback):
    """A TensorBoard histogram of every gradient at each step."""

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        """Write them."""
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                trainer.logger.experiment.add_histogram(name, parameter.grad, trainer.global_step)


class TakeTurns(pl.Callback):
    """Give each variant's callbacks a block of steps in turn, and time blocks and hooks.

    Args:
        variants: callbacks by name; `off` has none.
        rounds: times that each gets a turn; one more comes first and is not counted.
        block: steps of a turn.
    """

    def __init__(self, variants: dict[str, list[Any]], rounds: int, block: int) -> None:
        self.variants, self.block = variants, block
        rng = random.Random(0)
        orders = [rng.sample(list(variants), len(variants)) for _ in range(rounds + 1)]
        self.turns = [name for order in orders for name in order]
        self.block_s: dict[str, list[float]] = defaultdict(list)
        self.block_cpu_s: dict[str, list[float]] = defaultdict(list)
        self.hook_cpu_s: dict[str, list[float]] = defaultdict(list)
        self._in_hooks = 0.0
        self._step = 0

    @property
    def max_steps(self) -> int:
        """Steps until everybody had every turn."""
        return len(self.turns) * self.block

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start all callbacks."""
        for callback in itertools.chain.from_iterable(self.variants.values()):
            callback.on_train_start(trainer, pl_module)
        self._started = time.perf_counter(), time.process_time()

    def on_train_batch_start(self, *args: Any) -> None:
        """Pass it on."""
        self._call("on_train_batch_start", *args)

    def on_before_optimizer_step(self, *args: Any) -> None:
        """Pass it on."""
        self._call("on_before_optimizer_step", *args)

    def on_train_batch_end(self, *args: Any) -> None:
        """Pass it on, and take the time at the end of a block."""
        self._call("on_train_batch_end", *args)
        self._step += 1
        if self._step % self.block == 0:
            name = self.turns[self._step // self.block - 1]
            if args[1].device.type == "cuda":
                torch.cuda.synchronize()  # what the block left in the queue is its own time
            now = time.perf_counter(), time.process_time()
            self.block_s[name].append((now[0] - self._started[0]) / self.block)
            self.block_cpu_s[name].append((now[1] - self._started[1]) / self.block)
            self.hook_cpu_s[name].append(self._in_hooks / self.block)
            self._started, self._in_hooks = now, 0.0

    def _call(self, hook: str, *args: Any) -> None:
        started = time.process_time()
        for callback in self.variants[self.turns[self._step // self.block]]:
            getattr(callback, hook)(*args)
        self._in_hooks += time.process_time() - started


def make_variants() -> dict[str, list[Any]]:
    """Return what is compared."""
    return {
        "off": [],
        "default": [GradientHealth(), PoolingMonitor()],
        "every step": [GradientHealth(every_n_steps=1), PoolingMonitor()],
        "per-parameter .item() every step": [NaiveScalars()],
        "histogram per parameter every step": [NaiveHistograms()],
    }


def transformer() -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the default transformer and its batch shape (B, T, F)."""
    shape = 64, 20, 129
    return _regressor(TransformerEncoder, AttentionPooling, shape), shape


def lstm() -> tuple[nn.Module, tuple[int, int, int]]:
    """Return the two-layer LSTM of width 50 and its batch shape (B, T, F)."""
    shape = 32, 60, 1
    return _regressor(RecurrentEncoder, LastPooling, shape), shape


MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[int, int, int]]]] = {
    "transformer, 2 layers, (64, 20, 129)": transformer,
    "LSTM 2x50, (32, 60, 1)": lstm,
}


def _regressor(encoder: Any, pooling: Any, shape: tuple[int, int, int]) -> nn.Module:
    _, steps, features = shape
    return build_regressor(
        encoder,
        pooling,
        FeatureNorm,
        NO_DROPOUT,
        context_length=steps,
        num_features=features,
        feature_mean=torch.zeros(features),
        feature_std=torch.ones(features),
    )


def measure(name: str, rounds: int, block: int, accelerator: str = "cpu") -> dict[str, Any]:
    """Train one model with all variants taking turns.

    Args:
        name: a key of `MODELS`.
        rounds: turns of each variant.
        block: steps of a turn.
        accelerator: `cpu` or `gpu`.

    Returns:
        Milliseconds of a step without callbacks, and by variant the ratios.
    """
    torch.manual_seed(0)
    model, (batch_size, steps, features) = MODELS[name]()
    x = torch.randn(8 * batch_size, steps, features)
    y = x[:, -3:, :1].sum(1) + 0.1 * torch.randn(len(x), 1)
    if accelerator == "gpu":
        x, y = x.cuda(), y.cuda()
    loader = DataLoader(TensorDataset(x, y), batch_size)
    variants = make_variants()
    turns, module = TakeTurns(variants, rounds, block), Module(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator=accelerator,
            max_steps=turns.max_steps,
            max_epochs=-1,
            callbacks=[turns],
            logger=TensorBoardLogger(folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
        started = time.perf_counter()
        variants["default"][0].on_train_end(trainer, module)
        final_s = time.perf_counter() - started
        trainer.logger.experiment.close()  # its thread would still write while the folder goes
    off, off_cpu = turns.block_s.pop("off")[1:], turns.block_cpu_s["off"][1:]
    clock_s = statistics.median(turns.hook_cpu_s["off"][1:])
    return {
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "rounds": rounds,
        "steps_per_round": block,
        "step_ms_off": round(1e3 * statistics.median(off), 3),
        "final_diagnosis_s": round(final_s, 2),
        "variants": {
            variant: {
                "ratio": _quartiles([s / o for s, o in zip(times[1:], off, strict=True)]),
                "hooks": _mean_in_quartiles(
                    [
                        1 + (h - clock_s) / o
                        for h, o in zip(turns.hook_cpu_s[variant][1:], off_cpu, strict=True)
                    ]
                ),
            }
            for variant, times in sorted(turns.block_s.items())
        },
    }


def _quartiles(values: list[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    quartiles = statistics.quantiles(
        values * 2 if len(values) == 1 else values, n=4, method="inclusive"
    )
    return [round(q, 4) for q in quartiles]


def _mean_in_quartiles(values: list[float]) -> list[float]:
    """Return the quartiles about the mean, which counts what comes up in few blocks (a picture)."""
    low, _, high = _quartiles(values)
    return [low, round(statistics.fmean(values), 4), high]


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "# What monitoring costs",
        "",
        "Ratio to the same training step without callbacks, one CPU thread, over interleaved "
        "rounds: the median of whole steps, the mean of time in the hooks [quartiles]. A mean "
        "above its quartiles is that of a turn in which something odd was followed up. Written by "
        f"`python -m benchmarks.overhead --rounds {results[0]['rounds']} --write`.",
        "",
    ]
    headers = ("model", "step without", "variant", "whole step", "CPU time in the hooks")
    rows = [
        (
            *(result["model"], f"{result['step_ms_off']:.2f} ms", variant),
            *(f"{m:.3f} [{q1:.3f}, {q3:.3f}]" for q1, m, q3 in reading.values()),
        )
        for result in results
        for variant, reading in result["variants"].items()
    ]
    lines += markdown_rows(headers, rows, names=3)
    finals = [f"{r['final_diagnosis_s']:.1f} s ({r['model']})" for r in results]
    return "\n".join([*lines, "", f"The diagnosis at the end of a fit: {', '.join(finals)}.", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with `--write` keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each variant")
    parser.add_argument("--steps", type=int, default=200, help="steps of a turn, of 200 each")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--write", action="store_true", help="keep the result")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    results = [
        measure(name, options.rounds, options.steps) for name in MODELS if options.only in name
    ]
    text = table(results)
    print(text)
    if options.write:
        keep("overhead", results, text)


if __name__ == "__main__":
    main()
