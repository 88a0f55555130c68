"""The windows that ours trains on, in files that need nothing of this project to be read."""

from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from benchmarks.peers.packages import WORKLOADS
from src.config import CONFIG_DIR


def write_windows(folder: Path) -> None:
    """Write `<workload>.npz` with x and y of training and validation, and `closes.npy`.

    Args:
        folder: where to; `closes.npy` holds the closes up to the end of the validation part, and
            `parts.npy` how many of them are for training.
    """
    import torch

    from src.runs.build import build_datamodule

    for name, workload in WORKLOADS.items():
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose("train", [*workload.overrides, "trainer=cpu"])
        data = build_datamodule(config)
        arrays = {}
        for part in ("train", "val"):
            batch = data.datasets[part][torch.arange(data.windows(part))]
            arrays |= {f"{part}_x": batch.x.numpy(), f"{part}_y": batch.y.numpy()}
            if name == "lstm_32":
                np.save(folder / f"{part}_prices.npy", batch.price.numpy().ravel())
        np.savez(folder / f"{name}.npz", **arrays)
