"""A stand-in replays a batch and leaves no trace."""

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from src.diagnostics import Diagnosis, Finding, TrainingContext
from src.diagnostics.lightning import GradientHealth
from src.diagnostics.lightning.diagnose_in_training import (
    diagnose_in_training,
    persistent_part,
    training_context,
)
from src.diagnostics.lightning.stand_in import StandIn
from src.diagnostics.measuring.liveness import Sightings
from tests.diagnostics.lightning.small_modules import FEATURES, Adversaries, Plain, fit, loader

NOTHING_KNOWN = TrainingContext()


def batch() -> Any:
    return next(iter(loader()))


def trained(module: Any, folder: Path, **options: Any) -> Any:
    return fit(module, [], folder, epochs=1, **options)


class Talkative(Plain):
    """Does in its training step what modules do there, and what they should not."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, float]] = []
        self.data = TensorDataset(torch.zeros(4, 2))
        self.register_buffer("total", torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.total += 1
        self.last = loss  # kept with its graph
        self.log_dict({"a": loss})
        self.print("said")
        self.logger.experiment.add_scalar("direct", loss, self.global_step)
        for logger in self.loggers:
            logger.log_metrics({"direct": float(loss.detach())}, step=0)
        return {"loss": loss, "extra": 1}


class Recorder(pl.loggers.logger.DummyLogger):
    """Counts what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.logged = 0

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.logged += 1


def test_a_replay_leaves_the_module_the_loggers_and_the_generators_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, logger = Talkative(), Recorder()
    trainer = trained(module, tmp_path, logger=logger)
    replayed = batch()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    grads = {name: p.grad for name, p in module.named_parameters()}
    state, logged, seen = torch.get_rng_state(), logger.logged, list(module.seen)
    capsys.readouterr()
    diagnosis = diagnose_in_training(trainer, module, [replayed], TrainingContext())
    assert diagnosis.worst is not None
    assert diagnosis.worst.cause == "dead_input"
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())
    assert all(p.grad is grads[name] for name, p in module.named_parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert (logger.logged, module.seen, module.calls) == (logged, seen, 8)
    assert capsys.readouterr().out == ""
    assert module.trainer is trainer
    assert "log" not in vars(module)


def test_the_stand_in_shares_weights_and_data_and_copies_the_rest(tmp_path: Path) -> None:
    module = Talkative()
    trainer = trained(module, tmp_path, logger=Recorder())
    replay = StandIn(trainer, module)
    twin = replay.module
    assert twin.net[0].weight.data_ptr() == module.net[0].weight.data_ptr()
    assert twin.total is not module.total
    assert twin.seen is not module.seen
    assert twin.data is module.data
    deeper = copy.deepcopy(twin)
    assert deeper.net[0].weight.data_ptr() != module.net[0].weight.data_ptr()
    assert deeper.data is module.data
    (first,), (second,) = (replay.losses(m, batch()) for m in (twin, deeper))
    assert first[0].requires_grad
    assert second[0].requires_grad


def test_a_module_that_keeps_results_with_a_graph_in_a_list_is_replayed(tmp_path: Path) -> None:
    class Keeping(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            self.kept = [{"outputs": self.net(batch[0])}]
            return loss

    module = Keeping()
    diagnosis = diagnose_in_training(trained(module, tmp_path), module, [batch()], NOTHING_KNOWN)
    assert not diagnosis.not_replayed
    assert diagnosis.worst is not None
    assert diagnosis.worst.cause == "dead_input"


class OnlyForReal(Plain):
    """A training step that raises wherever it is called by anything but a Trainer."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if not isinstance(self._trainer, pl.Trainer):
            raise RuntimeError("only for real")
        return super().training_step(batch, batch_idx)


def test_what_cannot_be_replayed_is_said_once_and_guessed_at_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health = GradientHealth(every_n_steps=1, details_every_n_steps=1, needed_windows=1)
    fit(OnlyForReal(), [health], tmp_path, epochs=1)
    assert health.diagnosis is not None
    assert health.diagnosis.findings == ()
    assert (
        str(health.diagnosis)
        == "not known: a batch could not be replayed: RuntimeError: only for real"
    )
    assert health.alerts == []
    assert caplog.text.count("only for real") == 1


def test_hooks_on_the_parameters_do_not_fire_in_a_replay(tmp_path: Path) -> None:
    module, fired = Plain(), list[int]()
    trainer = trained(module, tmp_path)
    weight = module.net[0].weight
    weight.register_post_accumulate_grad_hook(lambda p: fired.append(1))
    replay = StandIn(trainer, module)
    sum(loss for loss, _ in replay.losses(replay.module, batch())).backward()
    assert fired == []


def test_manual_optimisation_gives_each_optimiser_its_own_loss(tmp_path: Path) -> None:
    module = Adversaries()
    trainer = trained(module, tmp_path)
    replay = StandIn(trainer, module)
    losses = replay.losses(replay.module, batch())
    assert [index for _, index in losses] == [0, 1]
    assert replay.stepping(batch()) == [0, 1]
    assert replay.foreign_parameters(0) == {"judge.weight", "judge.bias"}
    loss = replay.loss_of(1)(replay.module, batch())
    for_maker = torch.autograd.grad(loss, replay.module.maker.weight, allow_unused=True)
    assert for_maker == (None,)


def test_a_direct_backward_and_a_closure_are_caught_too(tmp_path: Path) -> None:
    class Direct(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.net = nn.Linear(FEATURES, 1)

        def training_step(self, batch: Any) -> None:
            optimizer = self.optimizers()

            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = (self.net(batch[0]) - batch[1]).square().mean()
                loss.backward()
                return loss

            with optimizer.toggle_model():
                optimizer.step(closure)
            self.lr_schedulers().step()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 100)]

    module = Direct()
    trainer = trained(module, tmp_path)
    rate, weight = trainer.optimizers[0].param_groups[0]["lr"], module.net.weight.detach().clone()
    replay = StandIn(trainer, module)
    ((loss, index),) = replay.losses(replay.module, batch())
    assert loss.requires_grad
    assert index == 0
    assert torch.equal(module.net.weight, weight)
    assert trainer.optimizers[0].param_groups[0]["lr"] == rate


def test_a_loss_for_diagnosis_is_used_instead_of_the_training_step(tmp_path: Path) -> None:
    class WithLoss(Plain):
        def diagnosis_loss(self, batch: Any) -> Tensor:
            return self.net(batch[0]).sum() * 0 + 42

    module = WithLoss()
    replay = StandIn(trained(module, tmp_path), module)
    assert [loss.item() for loss, _ in replay.losses(replay.module, batch())] == [42.0]


def test_a_module_that_cannot_be_copied_is_measured_and_not_judged(tmp_path: Path) -> None:
    class Stubborn(Plain):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("one of a kind")

    health = GradientHealth()
    fit(Stubborn(), [health], tmp_path, epochs=1)
    assert health.diagnosis is not None
    assert "one of a kind" in health.diagnosis.not_replayed
    assert health.diagnosis.findings == ()
    assert health.report()["zero_grad_fraction"]["net.0.weight"] == pytest.approx(2 / 6)


def test_the_loop_is_described_to_the_diagnosis(tmp_path: Path) -> None:
    trainer = trained(Plain(), tmp_path, gradient_clip_val=0.5, accumulate_grad_batches=2)
    context = training_context(trainer, [], [torch.tensor(3.0), torch.tensor(2.0)])
    assert (context.clip_norm, context.clip_value) == (0.5, None)
    assert context.losses == [3.0, 2.0]
    assert (context.accumulate_grad_batches, context.step) == (2, 4)
    assert context.precision == "32-true"


def test_only_what_was_dead_in_the_whole_run_stays_in_a_finding() -> None:
    sightings = Sightings()
    sightings.add("w", torch.tensor([True, True]), torch.tensor([True, False, False]))
    finding = Finding(cause="dead_input", parameter="w", fraction=0.6, indices=("a", "b", "c"))
    kept = persistent_part(finding, sightings, ("a", "b", "c"))
    assert kept is not None
    assert (kept.indices, kept.fraction) == (("b", "c"), pytest.approx(0.4))
    sightings.add("w", torch.tensor([True, True]), torch.tensor([True, True, True]))
    assert persistent_part(finding, sightings, ("a", "b", "c")) is None
    assert Diagnosis().worst is None
