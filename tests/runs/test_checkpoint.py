import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from src.config.trust import CheckpointError
from src.runs.checkpoint import AtomicCheckpointIO, load_checkpoint

WEIGHTS = {"state_dict": {"w": torch.arange(1000.0)}, "global_step": 3}


def written(folder, checkpoint=WEIGHTS, name="best.ckpt"):
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / name)
    return folder / name


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    loaded = load_checkpoint(written(tmp_path / "new"))
    assert loaded["global_step"] == 3
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(1000.0))


def test_torch_alone_reads_a_sealed_checkpoint(tmp_path):
    path = written(tmp_path)
    assert torch.load(path, weights_only=True)["global_step"] == 3
    assert zipfile.ZipFile(path).comment.startswith(b"sha256:")


def test_a_save_that_fails_keeps_the_earlier_file_and_leaves_no_other(tmp_path):
    path = written(tmp_path)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        written(tmp_path, {"broken": lambda: None})
    assert load_checkpoint(path)["global_step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


def test_a_weight_that_is_no_number_is_never_written(tmp_path):
    path = written(tmp_path)
    with pytest.raises(FloatingPointError, match="w is not finite at step 4"):
        written(tmp_path, {"state_dict": {"w": torch.tensor([1.0, np.nan])}, "global_step": 4})
    assert load_checkpoint(path)["global_step"] == 3


class _Payload:
    def __reduce__(self):
        return print, ("code ran while loading",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(_Payload())])
def test_a_file_that_is_no_checkpoint_is_one_clear_error_and_runs_nothing(
    tmp_path, content, capsys
):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad\.ckpt is not a readable checkpoint"):
        load_checkpoint(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], "text", {"a": 1}, {"state_dict": 1}])
def test_a_checkpoint_of_something_else_is_one_clear_error(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt is not a checkpoint of this project"):
        load_checkpoint(tmp_path / "other.ckpt")


def damages(content, generator, number):
    """Yield a file with one bit flipped, cut short, a run of bytes overwritten, or grown."""
    for n in range(number):
        place = int(generator.integers(len(content)))
        damaged = bytearray(content)
        if n % 4 == 0:
            damaged = damaged[:place]
        elif n % 4 == 1:
            damaged[place : place + 16] = generator.bytes(16)
        elif n % 20 == 2:
            damaged += generator.bytes(1 + place % 100)
        else:
            damaged[place] ^= 1 << int(generator.integers(8))
        yield bytes(damaged)


def test_every_one_of_200_damages_is_noticed(tmp_path):
    content = written(tmp_path).read_bytes()
    path = tmp_path / "damaged.ckpt"
    for damaged in damages(content, np.random.default_rng(0), 200):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"damaged\.ckpt ") as raised:
            load_checkpoint(path)
        assert "\n" not in str(raised.value)


def test_a_flipped_weight_in_a_checkpoint_without_a_seal_is_noticed_too(tmp_path):
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    content = bytearray(buffer.getvalue())
    assert load_checkpoint(_saved(tmp_path, content))["global_step"] == 3
    place = content.index(torch.arange(100.0, 110.0).numpy().tobytes())
    content[place] ^= 1
    with pytest.raises(CheckpointError, match=r"the checksum of .*data/0 does not fit"):
        load_checkpoint(_saved(tmp_path, content))


def _saved(folder, content):
    (folder / "old.ckpt").write_bytes(content)
    return folder / "old.ckpt"


def test_a_checkpoint_that_was_changed_and_saved_again_is_noticed(tmp_path):
    path = written(tmp_path)
    changed = torch.load(path, weights_only=True)
    changed["state_dict"]["w"][0] = 7
    torch.save(changed, path)
    with pytest.raises(CheckpointError, match="was changed after it was written"):
        load_checkpoint(path)


def test_weights_that_are_no_numbers_are_named(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1), "b": torch.tensor([np.inf])}}, tmp_path / "x")
    with pytest.raises(CheckpointError, match=r"not finite: b$"):
        load_checkpoint(tmp_path / "x")


def test_a_checkpoint_of_a_later_version_says_so(tmp_path):
    torch.save(WEIGHTS | {"format": 99}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="has format 99, this version reads up to 2"):
        load_checkpoint(tmp_path / "x")
