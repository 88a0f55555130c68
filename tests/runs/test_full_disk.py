"""A disk that is full is one line with the file's name, and no run of it reads as finished."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from types import SimpleNamespace

import pytest

from src.files import write_json
from src.runs.folder import refuse_full_disk
from src.runs.run import run
from src.runs.run_report import ended
from tests.conftest import TINY, report_of


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_run_whose_report_cannot_be_begun_leaves_nothing(composed, tmp_path):
    config, choices = composed("experiment=price_lstm", *TINY, "logger=none")
    with no_file_larger_than(3000), pytest.raises(OSError, match=r"report\.json"):
        run(config, choices, [])
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_written_ends_the_run_as_failed(composed, tmp_path):
    config, choices = composed("experiment=price_lstm", *TINY, "logger=none")
    with no_file_larger_than(13000), pytest.raises(OSError, match=r"last\.ckpt"):
        run(config, choices, [])
    (folder,) = tmp_path.glob("lightning_logs/*/*")
    report = report_of(folder)
    assert report["status"] == "failed"
    assert "last.ckpt" in report["reason"]
    assert not list((folder / "checkpoints").iterdir())


def test_no_run_is_finished_whose_last_records_did_not_reach_the_disk(tmp_path):
    report = {"status": "finished"}
    write_json(tmp_path / "report.json", report)
    with (
        pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"),
        ended(tmp_path, report, tmp_path),
    ):
        raise OSError(ENOSPC, "No space left on device")
    assert report_of(tmp_path)["status"] == "failed"
    assert "No space left" in report_of(tmp_path)["reason"]


def test_a_disk_too_small_for_the_run_is_refused_with_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(total=1 << 30, free=1 << 19)
    )
    with pytest.raises(ValueError, match=r"log_dir: 0\.5 MiB are free .* about 1\.3 MiB"):
        refuse_full_disk(tmp_path / "not" / "there", parameters=10_000)
