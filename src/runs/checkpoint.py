"""Checkpoint files that are whole or not there at all."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from src.config.trust import CheckpointError
from src.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, flush to the disk, then rename; read tensors and plain values only.

    Lightning's own writer goes through the system's temporary folder; moving the file across file
    systems is a copy, and a kill in its middle leaves a torn checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            OSError: the folder cannot be written; the earlier file stays as it was.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        """Read a checkpoint without running any code it may hold."""
        return load_checkpoint(Path(path), map_location or "cpu")


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a local checkpoint: tensors and plain values, never code.

    Raises:
        CheckpointError: the file is not a checkpoint this project wrote.
    """
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from error
