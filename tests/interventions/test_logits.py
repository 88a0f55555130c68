"""Injection and direct update in Lightning: schedule, accumulation, clipping, AMP, state, DDP."""

from functools import partial
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from src.diagnostics.lightning.gradient_health import GradientHealth
from src.interventions.logits import DirectUpdate, GradientInjection, injected_gradient
from src.interventions.prior import recent_target
from src.models.pooling import LearnablePooling

T, D = 6, 4


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pooling = LearnablePooling(D, T)
        self.head = nn.Linear(D, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pooling(x).pooled)


class Module(pl.LightningModule):
    """Regress the first unit of the first step, by any optimiser."""

    def __init__(self, optimizer: type = torch.optim.Adam, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = Model()
        self.make_optimizer = partial(optimizer, **{"lr": 0.01, **options})

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.model(batch) - batch[:, 0, :1]).square().mean()

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters())

    @property
    def logits(self) -> nn.Parameter:
        return self.model.pooling.logits


class Recorder(pl.Callback):
    """Keep the logits and their gradient at every optimiser step."""

    def __init__(self) -> None:
        self.grads: list[Tensor] = []
        self.logits: list[Tensor] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.grads.append(pl_module.logits.grad.clone())
        self.logits.append(pl_module.logits.detach().clone())


class ListLogger(Logger):
    """Keep what is logged in memory."""

    name, version = "list", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step or 0, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def batches(count: int) -> DataLoader:
    generator = torch.Generator().manual_seed(1)
    return DataLoader(torch.randn(count, 8, T, D, generator=generator), batch_size=None)


def fit(module: Module, callbacks: list[pl.Callback], count: int, **options: Any) -> pl.Trainer:
    options = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "log_every_n_steps": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    trainer = pl.Trainer(callbacks=callbacks, **options)
    trainer.fit(module, batches(count))
    return trainer


def expected_injection(logits: Tensor, direction: str = "descent") -> Tensor:
    return injected_gradient(logits.softmax(0), recent_target(T), 0.01, direction)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_injection_counts_optimiser_steps_and_adds_just_what_it_says(accumulate: int) -> None:
    before, injection, after = Recorder(), GradientInjection(recent_target, 2), Recorder()
    callbacks = [before, injection, after]
    fit(Module(), callbacks, 7 * accumulate, accumulate_grad_batches=accumulate)
    assert injection.injected_steps == [2, 4, 6]
    assert len(before.grads) == 7
    for step, (clean, pushed) in enumerate(zip(before.grads, after.grads, strict=True)):
        added = expected_injection(before.logits[step]) if step in (2, 4, 6) else torch.zeros(T)
        torch.testing.assert_close(pushed, clean + added)


def test_clipping_works_on_the_gradient_with_the_push_in_it() -> None:
    after, module = Recorder(), Module(torch.optim.SGD, lr=1.0)
    injection = GradientInjection(recent_target, 1, multiple=1e4)
    fit(module, [injection, after], 2, gradient_clip_val=0.5)
    # The push dwarfs all else, so what clipping leaves of it has a norm of 0.5.
    assert after.grads[1].norm() > 100
    moved = module.logits.detach() - after.logits[1]
    torch.testing.assert_close(moved.norm(), torch.tensor(0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        moved, -0.5 * after.grads[1] / after.grads[1].norm(), atol=1e-3, rtol=0
    )


def amp(precision: str) -> dict[str, Any]:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if precision == "16-mixed" else None
    return {"plugins": [MixedPrecision(precision, "cpu", scaler)]}


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_injection_is_as_large_under_mixed_precision(precision: str) -> None:
    before, injection, after = Recorder(), GradientInjection(recent_target, 2), Recorder()
    fit(Module(), [before, injection, after], 5, **amp(precision))
    assert injection.injected_steps == [2, 4]
    for step in (2, 4):
        added = after.grads[step] - before.grads[step]
        torch.testing.assert_close(added, expected_injection(before.logits[step]))


def test_an_optimiser_that_unscales_in_its_step_gets_a_push_of_the_same_size() -> None:
    before, injection, after = Recorder(), GradientInjection(recent_target, 2), Recorder()
    fit(Module(fused=True), [before, injection, after], 4, **amp("16-mixed"))
    added = (after.grads[2] - before.grads[2]) / 1024
    torch.testing.assert_close(added, expected_injection(before.logits[2]), atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(injection.injected_norm, expected_injection(before.logits[2]).norm())


def test_what_was_injected_is_recorded_apart_at_the_steps_of_the_schedule() -> None:
    before, injection, logger = Recorder(), GradientInjection(recent_target, 3), ListLogger()
    fit(Module(), [before, injection], 8, logger=logger)
    rows = [(s, m) for s, m in logger.rows if "pooling_prior/injected_norm" in m]
    assert [step for step, _ in rows] == [3, 6] == injection.injected_steps
    for step, metrics in rows:
        norm = expected_injection(before.logits[step]).norm().item()
        assert metrics == {"pooling_prior/injected_norm": pytest.approx(norm)}
    assert injection.latest == rows[-1][1]


def test_gradient_health_measures_what_the_model_gave_without_what_was_injected() -> None:
    health, before = GradientHealth(1, 1), Recorder()
    injection = GradientInjection(recent_target, 2, multiple=100.0)
    fit(Module(), [health, before, injection], 7)
    norms = [m.parameters["model.pooling.logits"].norm for m in health.measurements]
    assert norms == pytest.approx([grad.norm().item() for grad in before.grads])
    assert injection.latest["pooling_prior/injected_norm"] > 10 * max(norms)


def test_logits_without_a_gradient_of_their_own_get_the_push_alone() -> None:
    class Detached(Module):
        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            return self.model.head(batch.mean(1)).square().mean()

    module, injection = Detached(torch.optim.SGD, lr=1.0), GradientInjection(recent_target, 1)
    fit(module, [injection], 2)
    torch.testing.assert_close(module.logits.detach(), -expected_injection(torch.zeros(T)))


def test_an_optimiser_of_other_parameters_is_left_alone() -> None:
    class HeadOnly(Module):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.model.head.parameters(), lr=0.01)

    module = HeadOnly()
    injection, update = GradientInjection(recent_target, 1), DirectUpdate(recent_target, 1)
    fit(module, [injection, update], 3)
    assert injection.injected_steps == update.updated_steps == []
    assert (module.logits == 0).all()


@pytest.mark.parametrize("accumulate", [1, 3])
def test_direct_update_follows_the_optimiser_step_once_each_time(accumulate: int) -> None:
    update, before = DirectUpdate(recent_target, 2, rate=1.0), Recorder()
    module = Module()
    fit(module, [before, update], 5 * accumulate, accumulate_grad_batches=accumulate)
    assert update.updated_steps == [2, 4]
    for step in (2, 4):
        torch.testing.assert_close(before.logits[step].softmax(0), recent_target(T))
    assert not torch.allclose(module.logits.softmax(0), recent_target(T))


@pytest.mark.parametrize("rate", [0.25, 1.0])
@pytest.mark.parametrize(
    ("optimizer", "options", "buffer"),
    [
        (torch.optim.Adam, {}, "exp_avg"),
        (torch.optim.Adam, {"fused": True}, "exp_avg"),
        (torch.optim.SGD, {"momentum": 0.9}, "momentum_buffer"),
    ],
    ids=["adam", "fused adam", "sgd"],
)
def test_direct_update_shrinks_momentum_by_the_share_moved_and_keeps_the_rest(
    optimizer: type, options: dict[str, Any], buffer: str, rate: float
) -> None:
    states = []
    for callbacks in ([], [DirectUpdate(recent_target, 3, rate)]):
        module = Module(optimizer, **options)
        trainer = fit(module, callbacks, 3)
        states.append(trainer.optimizers[0].state[module.logits])
    plain, updated = states
    torch.testing.assert_close(updated[buffer], plain[buffer] * (1 - rate))
    for name in set(plain) - {buffer}:
        torch.testing.assert_close(updated[name], plain[name])


def test_optimisers_without_momentum_are_fine() -> None:
    module = Module(torch.optim.SGD)
    fit(module, [DirectUpdate(recent_target, 3, 1.0)], 3)
    torch.testing.assert_close(module.logits.softmax(0), recent_target(T))


def test_a_resumed_run_keeps_the_schedule(tmp_path: Any) -> None:
    def run(count: int, ckpt: Any = None) -> tuple[Module, list[int], list[int], pl.Trainer]:
        module = Module()
        injection, update = GradientInjection(recent_target, 2), DirectUpdate(recent_target, 3)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=count,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[injection, update],
        )
        trainer.fit(module, batches(1), ckpt_path=ckpt)  # one batch: its order plays no part
        return module, injection.injected_steps, update.updated_steps, trainer

    whole, injected, updated, _ = run(12)
    _, injected_1, updated_1, trainer = run(6)
    trainer.save_checkpoint(tmp_path / "six.ckpt")
    resumed, injected_2, updated_2, _ = run(12, tmp_path / "six.ckpt")
    assert injected == injected_1 + injected_2 == [2, 4, 6, 8, 10]
    assert updated == updated_1 + updated_2 == [3, 6, 9, 12]
    assert torch.equal(whole.logits, resumed.logits)


def test_both_steps_depend_on_nothing_but_logits_and_target() -> None:
    # What makes ranks agree: the same logits give the same result, whatever data a rank saw.
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = Module()
        injection, update = GradientInjection(recent_target, 1), DirectUpdate(recent_target, 1)
        module.logits.grad = torch.zeros(T)
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        trainer = type("Trainer", (), {"global_step": 1, "loggers": [], "precision_plugin": None})()
        injection.on_before_optimizer_step(trainer, module, optimizer)
        update.on_before_optimizer_step(trainer, module, optimizer)
        optimizer.step()
        update.on_train_batch_end(trainer, module)
        results.append(module.logits.detach())
    assert torch.equal(*results)


class OnRanks(Module):
    """Give every rank other data, and compare the logits over ranks at the end."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch * (1 + self.global_rank), batch_idx)

    def on_train_end(self) -> None:
        gathered = self.all_gather(self.logits.detach())
        assert torch.equal(gathered[0], gathered[1])


@pytest.mark.slow
def test_two_processes_keep_equal_logits() -> None:
    injection, update = GradientInjection(recent_target, 2), DirectUpdate(recent_target, 3)
    module = OnRanks()
    fit(module, [injection, update], 8, devices=2, strategy="ddp_spawn")
    assert not torch.equal(module.logits, torch.zeros(T))


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        (GradientInjection, {"every_n_steps": 0}, "every_n_steps must be at least 1, got 0"),
        (GradientInjection, {"multiple": 0.0}, "multiple must be positive and finite, got 0.0"),
        (GradientInjection, {"direction": "up"}, "direction must be published or descent, got up"),
        (DirectUpdate, {"every_n_steps": -5}, "every_n_steps must be at least 1, got -5"),
        (DirectUpdate, {"rate": 0.0}, r"rate must be in \(0, 1\], got 0.0"),
        (DirectUpdate, {"rate": 1.5}, r"rate must be in \(0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(step: type, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step(recent_target, **options)
