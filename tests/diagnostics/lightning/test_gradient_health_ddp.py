"""Two processes: one answer, and training as without the callback."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.callbacks import GradientHealth, PoolingMonitor
from tests.diagnostics.lightning.small_modules import PooledSequence, fit


class Keeper(PooledSequence):
    """Communicates within its training step, as contrastive losses do."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.Linear(6, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        gathered = self.all_gather(batch[1])
        return (
            super().training_step(batch, batch_idx)
            + (self.reader(batch[0]) - gathered.mean()).square().mean()
        )


class Saver(GradientHealth):
    """Leaves each rank's result on disk; spawned processes cannot return it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1, 1, details_per_window=1, needed_windows=1, among_windows=1)
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_end(trainer, pl_module)
        norms = [m.total_norm for m in self.measurements]
        causes = [(f.cause, f.parameter) for f in self.diagnosis.findings]  # type: ignore
        result = {"norms": norms, "causes": causes, "alerts": len(self.alerts)}
        torch.save(result, self.folder / f"rank{trainer.global_rank}.pt")


def fit_on_two(folder: Path, callbacks: list[Any]) -> dict[str, Tensor]:
    module = Keeper()
    options = {"devices": 2, "strategy": "ddp_spawn"}
    fit(module, callbacks, folder, epochs=1, **options)
    return module.state_dict()


@pytest.mark.slow
def test_two_processes_agree_and_train_as_without_the_callback(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with_it = fit_on_two(tmp_path, [Saver(tmp_path), PoolingMonitor(every_n_steps=2)])
    torch.manual_seed(0)
    without = fit_on_two(tmp_path, [])
    assert all(torch.equal(with_it[key], value) for key, value in without.items())
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert first == second
    assert ("dead_input", "reader.weight") in first["causes"]
    assert len(first["norms"]) == 4


def test_a_single_process_under_ddp_is_measured_and_replayed(tmp_path: Path) -> None:
    from lightning.pytorch.strategies import DDPStrategy

    health = GradientHealth()
    strategy = DDPStrategy(process_group_backend="gloo")
    fit(Keeper(), [health], tmp_path, epochs=1, strategy=strategy)
    torch.distributed.destroy_process_group()
    assert health.diagnosis is not None
    assert ("dead_input", "reader.weight") in {
        (f.cause, f.parameter) for f in health.diagnosis.findings
    }
