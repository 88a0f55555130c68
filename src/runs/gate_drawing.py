"""The gates of a run's LSTM or GRU over one price window, drawn into the run folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from src.data.reading.checks import say_date, step_of
from src.reporting.gate_figure import gate_figure
from src.runs.calibration import rows_shown
from src.runs.gate_measurements import answers, trace_run
from src.runs.opening import open_run


def draw_gates(
    ckpt_path: str, split: str = "test", window: int = -1
) -> tuple[Path, dict[str, Any]]:
    """Draw one window's gates and measure them over a split.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        split: train, val or test.
        window: the window to draw, counted from 0, or from the end below 0.

    Returns:
        The picture in the run folder, also an image in TensorBoard, and the numbers.

    Raises:
        ValueError: the run has no gates, or there is no such split or window.
    """
    run = open_run(ckpt_path)
    module, datamodule = run.module, run.datamodule
    if split not in datamodule.datasets:
        raise ValueError(f"split must be one of {', '.join(datamodule.datasets)}, got {split!r}")
    dataset, steps = datamodule.datasets[split], datamodule.context_length
    count = len(dataset)
    if isinstance(window, bool) or not isinstance(window, int) or not -count <= window < count:
        raise ValueError(f"window must be between {-count} and {count - 1}, got {window!r}")
    drawn = dataset[window % count]
    trace, _ = trace_run(module, drawn.x)
    # From the latest window back, a whole window at a time: no day is counted twice.
    apart = torch.arange(count - 1, -1, -steps).flip(0)
    batch = dataset[apart]
    closes = datamodule.closes
    numbers = answers(module, batch.x, closes[rows_shown(batch.index, steps)])
    rows = rows_shown(drawn.index, steps)[0]
    dates, step = datamodule.dates[rows], step_of(datamodule.frequency)
    first, last = (say_date(dates[n], datamodule.frequency) for n in (0, -1))
    whose = datamodule.series[int(drawn.series)] if datamodule.series else datamodule.data_name
    title = f"{whose}, {first} to {last}"
    quantities = {name: value[:, 0].numpy() for name, value in trace._asdict().items()}
    figure = gate_figure(dates, closes[rows], quantities, title, step)
    picture = run.folder / f"gates-{split}-{last.replace(':', '').replace(' ', '_')}.png"
    figure.savefig(picture)
    _show_in_tensorboard(run.folder, f"gates/{split}", figure)
    return picture, numbers | {"step": step}


def _show_in_tensorboard(folder: Path, tag: str, figure: Any) -> None:
    figure.canvas.draw()
    with SummaryWriter(folder) as writer:
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        writer.add_image(tag, pixels, dataformats="HWC")
