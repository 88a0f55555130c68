"""A trained model written into files that run without this code, and run once to be sure.

It leaves as one program, prices in and price out, with the scalings inside. The files are run as a
stranger would run them.

Shapes: B batch, T days of a window, F input features.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from src.data.facts import DataFacts
from src.files import write_json
from src.runs.opening import Run, open_run
from src.runs.run_report import environment

BATCHES = (1, 64)
# In standard deviations of the target; a float32 price is rounded to about 1e-5 of these.
TOLERANCE = 1e-4

LARGEST_BATCH = 65536
# Run where this project cannot be imported from: -I ignores the working folder and PYTHONPATH.
STRANGER = """
import sys, torch
from safetensors.torch import load_file, save_file
program = torch.export.load(sys.argv[1]).module()
for file in sys.argv[2:]:
    with torch.inference_mode():
        price = program(**load_file(file)).clone()
    save_file({"price": price}, file)
assert not [name for name in sys.modules if name.split(".")[0] == "src"]
"""


class InexactError(ValueError):
    """An exported file does not compute what the model computes."""

    exit_code = 1


def export_run(
    ckpt_path: str, folder: str | None = None, ticker: str | None = None
) -> tuple[Path, dict[str, float]]:
    """Write a run's best weights in every format, and run what can be run.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        folder: where to write; None for `export` in the run folder.
        ticker: of a run on several series, the one whose scaling goes into the files.

    Returns:
        The folder, and by file the largest difference from PyTorch, in scaled target units.

    Raises:
        ValueError: the run cannot be opened.
        InexactError: a file is off by more than rounding.
    """
    run = open_run(ckpt_path)
    run.refuse_made_up_bars()
    run.refuse_other_than_next_price("an export")
    module, facts = run.module, run.facts.of_series(ticker)
    target = Path(folder) if folder else run.folder / "export"
    target.mkdir(parents=True, exist_ok=True)
    program = build_program(module.model, facts)
    inputs = example_inputs(facts, max(BATCHES))
    weights = {name: tensor.contiguous() for name, tensor in module.model.state_dict().items()}
    save_file(weights, target / "model.safetensors")
    traced = trace(program, inputs)
    torch.export.save(traced, target / "model.pt2")
    write_onnx(traced, list(inputs), target / "model.onnx")
    runs = [example_inputs(facts, batch, seed=batch) for batch in BATCHES]
    made = {
        "model.pt2": run_torch(target / "model.pt2", runs),
        "model.onnx": [run_onnx(target / "model.onnx", one) for one in runs],
    }
    with torch.inference_mode():
        expected = [program(**one) for one in runs]
    differences = {
        name: max(map(partial(_difference, facts), prices, expected, runs))
        for name, prices in made.items()
    }
    description = _describe(run, facts, inputs, differences)
    write_json(target / "config.json", description)
    for name, off in differences.items():
        if not off <= TOLERANCE:
            raise InexactError(f"{target / name} is {off:g} target units off PyTorch")
    return target, differences


def _difference(facts: Any, made: Any, expected: Any, inputs: Any) -> float:
    """Return the largest difference of scaled predictions, whatever the size of the prices."""
    last_price = inputs["closes"][:, -1:] if "closes" in inputs else inputs["last_price"]
    scaled = [
        facts.target_scaling.to_scaled(price.double(), last_price.double())
        for price in (made, expected)
    ]
    return float((scaled[0] - scaled[1]).abs().max())


def _describe(
    run: Run, facts: DataFacts, inputs: Any, differences: dict[str, float]
) -> dict[str, Any]:
    """Return what somebody without this code needs to know of the files, as plain values."""
    calibration = run.calibration
    quantiles = {}
    for level in (0.5, 0.8, 0.9, 0.95):
        if calibration is not None:
            with suppress(ValueError):  # too few validation windows for so wide an interval
                quantiles[str(level)] = calibration.quantile(level)
    return {
        "config": run.module.hparams["config"],
        "data": facts.to_dict(),
        "inputs": {name: ["batch", *tensor.shape[1:]] for name, tensor in inputs.items()},
        "output": {"price": ["batch", 1]},
        "interval_half_widths_in_typical_daily_moves": quantiles,
        "largest_difference_from_pytorch_in_scaled_target_units": differences,
        "versions": environment()["versions"],
    }


class ClosesProgram(nn.Module):
    """Closes (B, T) to the following day's price (B, 1), both in price units.

    Args:
        model: Maps scaled windows (B, T, 1) to an output with `preds` (B, 1).
        facts: Sizes and scalings of its data.
    """

    def __init__(self, model: nn.Module, facts: DataFacts) -> None:
        super().__init__()
        self.model, self.facts = model, facts

    def forward(self, closes: Tensor) -> Tensor:
        """Forecast from raw closes."""
        assert self.facts.input_scaling is not None
        closes_bt1 = closes.unsqueeze(-1)
        preds = self.model(self.facts.input_scaling(closes_bt1)).preds
        return self.facts.to_price(preds, closes_bt1[:, -1])


class ExtraProgram(nn.Module):
    """Closes (B, T) and columns of the file (B, T, E) to the following day's price (B, 1).

    Args:
        model: Maps scaled windows (B, T, 1 + E) to an output with `preds` (B, 1).
        facts: Sizes and scalings of its data.
    """

    def __init__(self, model: nn.Module, facts: DataFacts) -> None:
        super().__init__()
        self.model, self.facts = model, facts
        self.offset: Tensor
        self.scale: Tensor
        _, offsets, scales = zip(*(scaling.numbers() for scaling in facts.extra), strict=True)
        self.register_buffer("offset", torch.tensor(offsets))
        self.register_buffer("scale", torch.tensor(scales))

    def forward(self, closes: Tensor, extra: Tensor) -> Tensor:
        """Forecast from raw closes and columns."""
        assert self.facts.input_scaling is not None
        closes_bt1 = closes.unsqueeze(-1)
        scaled = (extra - self.offset) / self.scale
        x_btf = torch.cat([self.facts.input_scaling(closes_bt1), scaled], dim=-1)
        return self.facts.to_price(self.model(x_btf).preds, closes_bt1[:, -1])


class BarsProgram(nn.Module):
    """Features (B, T, F) and last prices (B, 1) to the following day's price (B, 1).

    Args:
        model: Maps windows (B, T, F) to an output with `preds` (B, 1).
        facts: Sizes and scalings of its data.
    """

    def __init__(self, model: nn.Module, facts: DataFacts) -> None:
        super().__init__()
        self.model, self.facts = model, facts

    def forward(self, features: Tensor, last_price: Tensor) -> Tensor:
        """Forecast from the features of bars."""
        return self.facts.to_price(self.model(features).preds, last_price)


def build_program(model: nn.Module, facts: DataFacts) -> nn.Module:
    """Return the program that fits the data a model was trained on, in evaluation mode."""
    if facts.input_scaling is None:
        return BarsProgram(model, facts).eval()
    program = ExtraProgram if facts.extra else ClosesProgram
    return program(model, facts).eval()


def example_inputs(facts: DataFacts, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Return made-up inputs of the program by name: a random walk of prices, or random features.

    Args:
        facts: Sizes and statistics of the data.
        batch: B.
        seed: Seed of the numbers; the global generator is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, facts.context_length)
    closes = 100 * torch.exp(0.01 * torch.randn(shape, generator=generator).cumsum(1))
    if facts.input_scaling is not None and facts.extra:
        _, offsets, scales = zip(*(scaling.numbers() for scaling in facts.extra), strict=True)
        noise = torch.randn(*shape, len(facts.extra), generator=generator)
        return {"closes": closes, "extra": torch.tensor(offsets) + torch.tensor(scales) * noise}
    if facts.input_scaling is not None:
        return {"closes": closes}
    noise = torch.randn(*shape, facts.num_features, generator=generator)
    features = facts.feature_mean + facts.feature_std * noise
    return {"features": features, "last_price": closes[:, -1:]}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' progress and deprecation notes off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def trace(program: nn.Module, inputs: Mapping[str, Tensor]) -> torch.export.ExportedProgram:
    """Trace a program for any batch size.

    Args:
        program: The module, in evaluation mode.
        inputs: Example inputs by name, first axis the batch.

    Source: https://docs.pytorch.org/docs/stable/export.html
    """
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    any_batch = {name: {0: batch} for name in inputs}
    with quiet():
        return torch.export.export(program, (), kwargs=dict(inputs), dynamic_shapes=any_batch)


def write_onnx(traced: torch.export.ExportedProgram, names: Sequence[str], path: Path) -> None:
    """Write a traced program as an ONNX model in one file; its output is called `price`.

    Args:
        traced: The program.
        names: Names of its inputs.
        path: Where to write.

    Source: https://docs.pytorch.org/docs/stable/onnx.html
    """
    with quiet():
        exported = torch.onnx.export(
            traced, verbose=False, input_names=list(names), output_names=["price"]
        )
        assert exported is not None
        exported.save(str(path), external_data=False)


def run_torch(path: Path, inputs: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
    """Run a `torch.export` program in a process that has none of this project's code.

    Args:
        path: The program.
        inputs: Inputs by name, as often as it is to run.

    Returns:
        Prices (B, 1) of every run.

    Raises:
        RuntimeError: If it does not load and run there.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.safetensors" for number in range(len(inputs))]
        for file, tensors in zip(files, inputs, strict=True):
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        command = [sys.executable, "-I", "-c", STRANGER, str(path.resolve()), *map(str, files)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{path} does not run by itself: {done.stderr.strip()[-500:]}")
        return [load_file(file)["price"] for file in files]


def run_onnx(path: Path, inputs: Mapping[str, Tensor]) -> Tensor:
    """Run an ONNX model with onnxruntime; return prices (B, 1)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (price,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return torch.from_numpy(price)
