"""What PoolingMonitor keeps and shows of weights and gradients that are known beforehand."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.callbacks import PoolingMonitor
from tests.diagnostics.lightning.small_modules import Pooled

WEIGHTS = (0.1, 0.1, 0.1, 0.2, 0.5)
STATISTICS = ("max", "min", "std", "recent_3_sum", "top_3_recent", "entropy")


class Fixed(nn.Module):
    """A pooling whose weights, (T,) or (B, T), are told to it."""

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.weights = torch.as_tensor(weights)

    def forward(self, hidden_btd: Tensor) -> Pooled:
        return Pooled((self.weights[..., None] * hidden_btd).sum(1), self.weights)


class Known(nn.Module):
    """Its loss is a multiple of all that is pooled: each step's gradient is its weight's."""

    automatic_optimization = True

    def __init__(self, *weights: Any, factor: float = 0.01) -> None:
        super().__init__()
        self.scale, self.beside = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.poolings, self.factor = nn.ModuleList(map(Fixed, weights)), factor

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        hidden_btd = self.scale * batch
        return self.factor * sum(pooling(hidden_btd).pooled.sum() for pooling in self.poolings)


def train(
    monitor: PoolingMonitor,
    module: Any,
    made: Any = (1,),
    before: Callable[[int], None] = lambda batch: None,
    windows: int = 2,
    **state: Any,
) -> PoolingMonitor:
    """Tell a monitor of a training; `made` has the optimiser steps that each batch makes."""
    trainer = SimpleNamespace(global_step=0, loggers=(), is_global_zero=True, callback_metrics={})
    vars(trainer).update(state)
    monitor.on_fit_start(trainer, module)
    monitor.on_train_start(trainer, module)
    for index, steps in enumerate(made):
        before(index)
        batch = torch.ones(windows, module.poolings[0].weights.shape[-1], 3)
        monitor.on_train_batch_start(trainer, module, batch, index)
        loss = module.training_step(batch, index)
        if loss is not None:
            loss.backward()
        trainer.global_step += steps
        monitor.on_train_batch_end(trainer, module, None, batch, index)
    monitor.on_train_end(trainer, module)
    return monitor


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what the loggers are given."""
    given = SimpleNamespace(scalars={}, images={})

    class Board:
        draws = True

        def __init__(self, loggers: Any) -> None: ...

        def scalars(self, values: dict[str, float], step: int) -> None:
            given.scalars[step] = values

        def histogram(self, *_: Any) -> None: ...

        def image(self, tag: str, picture: Any, step: int) -> None:
            given.images[tag] = picture

    monkeypatch.setattr("src.callbacks.pooling_monitor.LogWriter", Board)
    monkeypatch.setattr("src.callbacks.pooling_monitor.heatmap", lambda *drawn: drawn)
    return given


def test_a_record_by_hand() -> None:
    monitor = train(PoolingMonitor(), Known(WEIGHTS))
    (record,) = monitor.history["poolings.0"]
    assert record == {
        "step": 1,
        "weights": pytest.approx(WEIGHTS),
        "gradient_share": pytest.approx(WEIGHTS),
    }
    for tag in ("pooling/recent_3_sum", "gradient_share/poolings.0/recent_3_sum"):
        assert monitor.latest[tag] == pytest.approx(0.8)


def test_loggers_get_two_statistics_and_a_gradients_share_or_all(board: SimpleNamespace) -> None:
    share = "gradient_share/poolings.0/recent_3_sum"
    train(PoolingMonitor(), Known(WEIGHTS))
    few = {f"pooling/poolings.0/{key}" for key in ("std", "recent_3_sum")} | {share}
    assert set(board.scalars[1]) == few
    train(PoolingMonitor(every_scalar=True), Known(WEIGHTS))
    assert set(board.scalars[1]) == {f"pooling/poolings.0/{k}" for k in STATISTICS} | {share}


def test_a_gradient_of_0_has_no_shares() -> None:
    monitor = train(PoolingMonitor(), Known(WEIGHTS, factor=0.0))
    assert monitor.history["poolings.0"][0]["gradient_share"] is None
    assert "gradient_share/poolings.0/recent_3_sum" not in monitor.latest


def test_of_a_batch_256_windows_are_looked_at_and_of_one_window_every_step() -> None:
    weights_bt = torch.tensor([[1.0, 0.0]] * 256 + [[0.0, 1.0]] * 44)
    many = train(PoolingMonitor(), Known(weights_bt), windows=300)
    assert many.history["poolings.0"][0]["weights"] == [1, 0]
    long = train(PoolingMonitor(), Known([1 / 300] * 300))
    assert len(long.history["poolings.0"][0]["weights"]) == 300


def test_256_records_are_kept_and_of_more_every_second_one() -> None:
    steps = {}
    for number in (256, 257):
        monitor = train(PoolingMonitor(1), Known(WEIGHTS), made=[1] * number)
        steps[number] = [record["step"] for record in monitor.history["poolings.0"]]
    assert steps == {256: [*range(1, 257)], 257: [*range(1, 258, 2)]}


def test_of_several_poolings_the_first_has_the_short_names() -> None:
    monitor = train(PoolingMonitor(1), Known((0.0, 1.0), (0.5, 0.5)), made=[1, 1])
    assert monitor.latest["pooling/max"] == monitor.latest["pooling/poolings.0/max"] == 1
    assert monitor.latest["pooling/poolings.1/max"] == 0.5


def test_where_a_batch_makes_several_steps_none_that_is_due_is_passed_over() -> None:
    module = Known(WEIGHTS)
    module.automatic_optimization = False
    monitor = train(PoolingMonitor(10), module, made=[3] * 14)
    assert monitor.recorded_steps == [1, 10, 40], "of those that a batch begins with"


def test_batches_that_make_a_step_together_are_listened_to_and_not_replayed() -> None:
    # A replay would ask this trainer for its precision, which it has not.
    monitor = train(PoolingMonitor(1), Known(WEIGHTS), made=[0, 1] * 3)
    assert monitor.recorded_steps == [1, 2, 3]


def test_a_fit_that_goes_on_keeps_its_records_and_another_one_starts_afresh() -> None:
    first, again = (PoolingMonitor(2) for _ in range(2))
    train(first, Known(WEIGHTS), made=[1] * 4)
    again.load_state_dict(first.state_dict())
    train(again, Known(WEIGHTS), made=[1] * 2, global_step=4)
    assert first.recorded_steps == [1, 2, 4]
    assert again.recorded_steps == [1, 2, 4, 6]
    assert [record["step"] for record in again.history["poolings.0"]] == [1, 2, 4, 6]
    assert again.report()["pooling"]["latest"] == first.latest
    train(again, Known(WEIGHTS))
    assert again.recorded_steps == [1]


def test_of_a_pooling_that_never_moves_no_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="src.callbacks"):
        train(PoolingMonitor(1, log_every_n_steps=1), Known(WEIGHTS), made=[1] * 3)
        assert caplog.messages == []
        module = Known(WEIGHTS)

        def move(batch: int) -> None:
            module.poolings[0].weights = torch.tensor(WEIGHTS).roll(batch)

        train(PoolingMonitor(1, log_every_n_steps=1), module, [1] * 3, move)
    assert [line[:24] for line in caplog.messages[::2]] == [
        "[FIXED POOLING] Step 2: ",
        "[FIXED POOLING] Step 3: ",
    ]


class Outside(Known):
    """Its loss does not know what is pooled."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        super().training_step(batch, batch_idx)
        return 1.0 * self.beside


class Lossless(Known):
    """It has no loss, as where a batch is skipped."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        super().training_step(batch, batch_idx)
        return None


class Frozen(Known):
    """Nothing before the pooling learns."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        return self.beside * self.poolings[0](batch).pooled.sum()


@pytest.mark.parametrize(
    ("kind", "share"), [(Known, WEIGHTS), (Outside, None), (Lossless, None), (Frozen, None)]
)
def test_a_replay_finds_the_weights_and_the_gradient_where_there_is_one(
    kind: type[Known], share: tuple[float, ...] | None
) -> None:
    module = kind(WEIGHTS)
    module._compiler_ctx = {}  # as torch.compile leaves a module
    precision = SimpleNamespace(train_step_context=nullcontext)
    nothing: dict[str, Any] = {"strategy": None, "callbacks": [], "optimizers": []}
    monitor = train(PoolingMonitor(), module, precision_plugin=precision, **nothing)
    (record,) = monitor.history["poolings.0"]
    assert record["weights"] == pytest.approx(WEIGHTS)
    assert record["gradient_share"] == (share if share is None else pytest.approx(share))


def test_a_picture_shows_the_records_of_the_present_number_of_steps(board: SimpleNamespace) -> None:
    module = Known(WEIGHTS)

    def shorten(batch: int) -> None:
        module.poolings[0].weights = torch.tensor([0.25, 0.75] if batch == 3 else WEIGHTS)

    train(PoolingMonitor(1), module, [1] * 4, shorten)
    assert set(board.images) == {
        "pooling_weights_over_time/poolings.0",
        "gradient_share_over_time/poolings.0",
    }
    shares, steps, title = board.images["pooling_weights_over_time/poolings.0"]
    assert (shares.tolist(), steps) == ([[0.25, 0.75]], [4])
    assert title == "pooling weights of poolings.0"


def test_without_a_gradient_the_weights_alone_are_drawn(board: SimpleNamespace) -> None:
    train(PoolingMonitor(), Frozen(WEIGHTS))
    assert list(board.images) == ["pooling_weights_over_time/poolings.0"]
