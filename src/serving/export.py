"""A trained model written into files that run without this code, and run once to be sure."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from src.runs.opening import Run, open_run
from src.runs.run_report import environment
from src.serving import formats
from src.serving.formats import build_program, example_inputs

BATCHES = (1, 64)
# In standard deviations of the target; a float32 price is rounded to about 1e-5 of these.
TOLERANCE = 1e-4


class InexactError(ValueError):
    """An exported file does not compute what the model computes."""

    exit_code = 1


def export_run(ckpt_path: str, folder: str | None = None) -> tuple[Path, dict[str, float]]:
    """Write a run's best weights in every format, and run what can be run.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        folder: where to write; None for `export` in the run folder.

    Returns:
        The folder, and by file the largest difference from PyTorch, in scaled target units.

    Raises:
        ValueError: the run cannot be opened.
        InexactError: a file is off by more than rounding.
    """
    run = open_run(ckpt_path)
    run.refuse_made_up_bars()
    module, facts = run.module, run.facts
    target = Path(folder) if folder else run.folder / "export"
    target.mkdir(parents=True, exist_ok=True)
    program = build_program(module.model, facts)
    inputs = example_inputs(facts, max(BATCHES))
    weights = {name: tensor.contiguous() for name, tensor in module.model.state_dict().items()}
    save_file(weights, target / "model.safetensors")
    traced = formats.trace(program, inputs)
    torch.export.save(traced, target / "model.pt2")
    formats.write_onnx(traced, list(inputs), target / "model.onnx")
    runs = [example_inputs(facts, batch, seed=batch) for batch in BATCHES]
    made = {
        "model.pt2": formats.run_torch(target / "model.pt2", runs),
        "model.onnx": [formats.run_onnx(target / "model.onnx", one) for one in runs],
    }
    with torch.inference_mode():
        expected = [program(**one) for one in runs]
    differences = {
        name: max(map(partial(_difference, facts), prices, expected, runs))
        for name, prices in made.items()
    }
    description = _describe(run, inputs, differences)
    (target / "config.json").write_text(json.dumps(description, indent=2, allow_nan=False) + "\n")
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


def _describe(run: Run, inputs: Any, differences: dict[str, float]) -> dict[str, Any]:
    """Return what somebody without this code needs to know of the files, as plain values."""
    calibration = run.calibration
    levels = (0.5, 0.8, 0.9, 0.95)
    quantiles = {str(level): calibration.quantile(level) for level in levels} if calibration else {}
    return {
        "config": run.module.hparams["config"],
        "data": run.facts.to_dict(),
        "inputs": {name: ["batch", *tensor.shape[1:]] for name, tensor in inputs.items()},
        "output": {"price": ["batch", 1]},
        "interval_half_widths_in_typical_daily_moves": quantiles,
        "largest_difference_from_pytorch_in_scaled_target_units": differences,
        "versions": environment()["versions"],
    }
