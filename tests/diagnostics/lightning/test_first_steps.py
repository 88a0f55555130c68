"""What is wrong from the start is reported within the first hundred steps, once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from src.callbacks import GradientHealth
from src.diagnostics.lightning.first_steps import NO_FALL, FirstSteps
from src.diagnostics.lightning.state import from_state, to_state
from tests.diagnostics.lightning.small_modules import FEATURES, Plain, fit, loader


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


LONG = {"max_epochs": 15}  # 8 batches each


def reported(module: Any, folder: Path, **options: Any) -> GradientHealth:
    health = GradientHealth()
    fit(module, [health], folder, **({"batches": loader(dead=())} | LONG | options))
    return health


def test_a_net_that_learns_is_left_in_peace(tmp_path: Path) -> None:
    health = reported(Plain(), tmp_path)
    assert health.alerts == []
    assert health.diagnosis is not None
    assert health.diagnosis.worst is None


def test_a_layer_that_is_dead_from_the_start_is_named_once_with_the_step(tmp_path: Path) -> None:
    module = Plain()
    module.net = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        module.net[0].bias.fill_(-50.0)
    health = reported(module, tmp_path)
    assert [finding.cause for _, finding in health.alerts].count("dead_unit") == 1
    assert health.alerts[0][0] <= 100
    assert health.alerts[0][1].module == "net.0"


def test_gradients_that_are_no_numbers_are_named_after_the_first_step(tmp_path: Path) -> None:
    class Rooted(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            error = self.net(batch[0]) - batch[1]
            return (error * 0).square().mean().sqrt() + F.mse_loss(self.net(batch[0]), batch[1])

    health = reported(Rooted(), tmp_path)
    step, finding = health.alerts[0]
    assert (step, finding.cause) == (1, "nonfinite_gradient")


def noise() -> DataLoader:
    """Targets that do not follow from the inputs, in batches that never come again."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(960, FEATURES, generator=generator)
    return DataLoader(TensorDataset(x, torch.randn(960, 1, generator=generator)), 8)


class AtRest(Plain):
    """A net that predicts about nothing and cannot do better."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def test_a_loss_that_does_not_fall_for_no_known_cause_is_said_with_the_call_that_finds_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health = reported(AtRest(), tmp_path, batches=noise(), max_epochs=1)
    said = [(step, finding) for step, finding in health.alerts if finding.cause == "not_learning"]
    ((step, finding),) = said
    assert step == 100
    assert "what_would_help(model, batches, loss_fn, optimizer)" in finding.remedy
    assert caplog.text.count("not_learning") == 1


def test_a_loss_that_does_not_fall_is_said_without_a_replay_too(tmp_path: Path) -> None:
    class Stubborn(AtRest):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("one of a kind")

    health = reported(Stubborn(), tmp_path, batches=noise(), max_epochs=1)
    assert [(step, finding.cause) for step, finding in health.alerts] == [(100, "not_learning")]


def losses(values: Tensor) -> FirstSteps:
    first = FirstSteps()
    assert [first.add(value) for value in values] == [False] * (len(values) - 1) + [True]
    return first


def test_the_first_hundred_losses_are_judged_once_and_after_the_warm_up() -> None:
    flat = losses(torch.ones(100))
    assert flat.judge([(1e-4, 1e-2)]) == set()
    assert (flat.losses, flat.skipped) == ([], 100)
    assert not flat.is_judged
    again = losses(torch.ones(100))
    assert again.judge([(1e-2, 1e-2)]) == {NO_FALL}
    assert not again.add(torch.ones(()))
    assert losses(torch.linspace(2, 1, 100)).judge([]) == set()


def test_what_the_latest_losses_no_longer_hold_is_known_of_the_first() -> None:
    first = losses(torch.arange(100.0))
    assert first.before(latest=100, count=100) == []
    assert first.before(latest=256, count=300) is None  # not judged: it may have begun anywhere
    first.judge([])
    assert first.before(latest=256, count=300) == first.losses[:44]
    assert first.before(latest=256, count=1000) == first.losses
    restored = from_state(to_state(first))
    assert (len(restored.losses), restored.is_judged) == (100, True)
