import pickle

import pytest
import torch

from src.runs.checkpoint import AtomicCheckpointIO, load_checkpoint


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = tmp_path / "new" / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.arange(3)}, "epoch": 2}, path)
    loaded = load_checkpoint(path)
    assert loaded["epoch"] == 2
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(3))


def test_a_save_that_fails_keeps_the_earlier_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "best.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        writer.save_checkpoint({"epoch": 2, "broken": lambda: None}, path)
    assert load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


class _Payload:
    def __reduce__(self):
        return print, ("code ran while loading",)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(_Payload())])
def test_a_file_that_is_no_checkpoint_is_one_clear_error_and_runs_nothing(
    tmp_path, content, capsys
):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        load_checkpoint(path)
    assert capsys.readouterr().out == ""


def test_half_a_checkpoint_is_one_clear_error(tmp_path):
    path = tmp_path / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        load_checkpoint(path)
