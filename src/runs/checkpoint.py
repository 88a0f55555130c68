"""Checkpoint files that are whole or not there at all, and that notice any change made to them.

A checkpoint is the zip archive that `torch.save` writes, with a seal: the archive's comment is the
SHA-256 of everything before it. Torch reads such a file as any other, and by itself it would load a
flipped bit as another weight.
"""

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from src.config.trust import CheckpointError
from src.files import replacing

FORMAT = 2
"""Of the checkpoints written here; those of format 1 say none and have no seal."""

_SEAL = b"sha256:"
_SEAL_LENGTH = len(_SEAL) + 64


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
            FloatingPointError: a weight is not finite; nothing is written.
            OSError: the folder cannot be written; the earlier file stays as it was.
        """
        target = Path(path)
        if name := next(_not_finite(checkpoint), None):
            step = checkpoint.get("global_step")
            raise FloatingPointError(f"{name} is not finite at step {step}: {target} not written")
        buffer = io.BytesIO()
        torch.save({**checkpoint, "format": FORMAT}, buffer)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(_sealed(buffer.getvalue()))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        """Read a checkpoint without running any code it may hold."""
        return load_checkpoint(Path(path), map_location or "cpu")


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a local checkpoint: tensors and plain values, never code.

    Raises:
        CheckpointError: it is damaged, was changed, or is not one that this project wrote.
    """
    content = path.read_bytes()
    is_sealed = content[-_SEAL_LENGTH:].startswith(_SEAL)
    _check_archive(path, content, is_sealed)
    try:
        found = torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from None
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
        kind = "no state_dict" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise CheckpointError(f"{path} is not a checkpoint of this project: it holds {kind}")
    version = found.get("format", 1)
    if not isinstance(version, int) or version > FORMAT:
        raise CheckpointError(f"{path} has format {version!r}, this version reads up to {FORMAT}")
    if version >= 2 and not is_sealed:
        raise CheckpointError(f"{path} was changed after it was written: its checksum is missing")
    if name := next(_not_finite(found), None):
        raise CheckpointError(f"{path} holds numbers that are not finite: {name}")
    return found


def _sealed(archive: bytes) -> bytes:
    """Return a zip archive with the checksum of everything before it as its comment."""
    signed = archive[:-2] + struct.pack("<H", _SEAL_LENGTH)
    return signed + _SEAL + hashlib.sha256(signed).hexdigest().encode()


def _check_archive(path: Path, content: bytes, is_sealed: bool) -> None:
    """Refuse a file that is not, byte for byte, what was written; as far as that can be known."""
    if not content.startswith(b"PK"):
        kind = "it is empty" if not content else "no zip archive begins so"
        raise CheckpointError(f"{path} is not a readable checkpoint: {kind}")
    if is_sealed:
        signed, seal = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH + len(_SEAL) :]
        if hashlib.sha256(signed).hexdigest().encode() != seal:
            raise CheckpointError(f"{path} is damaged: its checksum does not fit its content")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            torn = archive.testzip()
    except Exception as error:  # zipfile answers damage in many ways
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from None
    if torn is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {torn} does not fit")


def _not_finite(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a checkpoint's weights and optimiser states is infinite or NaN."""
    for name, value in checkpoint.get("state_dict", {}).items():
        if isinstance(value, Tensor) and not _is_finite(value):
            yield name
    for state in checkpoint.get("optimizer_states", ()):
        for index, values in state.get("state", {}).items():
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, Tensor) and not _is_finite(value):
                    yield f"{name} of the optimizer's parameter {index}"


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())
