"""The memory monitor: on its schedule, right, and without a trace in the weights."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from src.callbacks.memory_monitor import MAX_SAMPLES, MemoryMonitor
from src.diagnostics.memory import prediction_memory
from src.runs.opening import open_run
from tests.conftest import report_of

EVERY_TWO = (
    "experiment=price_lstm",
    "callbacks=memory",
    "callbacks.memory_monitor.every_n_steps=2",
    "trainer.limit_train_batches=5",
)


def test_records_come_at_the_first_step_and_on_schedule(tiny_run):
    folder = tiny_run(*EVERY_TWO, "logger=tensorboard")
    memory = report_of(folder)["memory"]
    assert [record["step"] for record in memory["history"]] == [1, 2, 4]
    assert all(len(record["norms"]) == 60 for record in memory["history"])
    tags = {f"memory/retention_{lag}" for lag in (5, 10, 20, 50)}
    assert memory["latest"].keys() == tags | {"memory/half_life", "memory/norm_last"}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert tags <= set(events.Tags()["scalars"])
    assert "memory_over_time" in events.Tags()["images"]


def test_monitoring_leaves_the_weights_bitwise_as_without_it(tiny_run):
    dropout = ("dropout=encoder", "trainer.limit_train_batches=5")
    watched = tiny_run(*EVERY_TWO, *dropout)
    alone = tiny_run("experiment=price_lstm", *dropout)
    first, second = (
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (watched, alone)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_noted_is_the_memory_of_the_batch(kept_run):
    run = open_run(kept_run("experiment=price_lstm"))
    module, datamodule = run.module, run.datamodule
    batch = datamodule.datasets["train"][torch.arange(40)]
    monitor = MemoryMonitor(every_n_steps=1)

    class Trainer:
        global_step, loggers, is_global_zero = 0, (), True

    monitor.on_train_start(Trainer, module)
    Trainer.global_step = 1
    monitor.on_train_batch_end(Trainer, module, None, batch, 0)
    expected = prediction_memory(module, module, batch.x[:MAX_SAMPLES])
    assert monitor.history == [{"step": 1, "norms": expected.tolist()}]
    assert monitor.latest["memory/retention_5"] == pytest.approx(float(expected[-6] / expected[-1]))
    monitor.on_train_batch_end(Trainer, module, None, batch, 1)
    assert len(monitor.history) == 1, "a batch without an optimiser step is not measured"


def test_a_schedule_below_one_step_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        MemoryMonitor(every_n_steps=0)


class Weighing(nn.Module):
    """Predict the sum of the days' values, each times its weight: its memory is the weights."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, x_btf):
        return x_btf[:, :, 0] @ self.weights[:, None]


def stepped(monitor, steps, weights=(0.5, 1.0, 1.0, 1.0, 1.0, 2.0), logged=(), **state):
    """Tell a monitor of batches that ended at these optimiser steps."""
    trainer = SimpleNamespace(global_step=0, loggers=logged, is_global_zero=True)
    vars(trainer).update(state)
    module = Weighing(list(weights))
    monitor.on_train_start(trainer, module)
    for trainer.global_step in steps:
        batch = (torch.ones(100, len(weights), 1), None)
        monitor.on_train_batch_end(trainer, module, None, batch, 0)
    monitor.on_train_end(trainer, module)
    return [record["step"] for record in monitor.history]


def test_by_default_the_first_and_every_500th_step_are_measured_once():
    assert stepped(MemoryMonitor(), [1, 1, 2, 499, 500, 500, 501, 1000]) == [1, 500, 1000]


def test_the_influence_of_six_days_by_hand():
    monitor = MemoryMonitor()
    stepped(monitor, [1])
    (record,) = monitor.history
    assert [norm / record["norms"][-1] for norm in record["norms"]] == pytest.approx(
        [0.25, 0.5, 0.5, 0.5, 0.5, 1]
    )
    assert monitor.latest == {
        "memory/retention_5": pytest.approx(0.25),
        "memory/half_life": 5,
        "memory/norm_last": pytest.approx(record["norms"][-1]),
    }
    assert monitor.report() == {"memory": {"latest": monitor.latest, "history": monitor.history}}


def test_a_fit_that_goes_on_keeps_its_records_and_another_one_starts_afresh():
    first, again = MemoryMonitor(every_n_steps=2), MemoryMonitor(every_n_steps=2)
    stepped(first, [1, 2])
    again.load_state_dict(first.state_dict())
    assert stepped(again, [2, 3, 4], global_step=2) == [1, 2, 4]
    assert stepped(again, [1]) == [1]


def test_what_is_drawn_is_each_days_share_of_all_influence(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    stepped(MemoryMonitor(every_n_steps=1), [1, 2], logged=(logger,))
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    assert [event.step for event in events.Images("memory_over_time")] == [2]
    assert [event.value for event in events.Scalars("memory/half_life")] == [5, 5]


def test_of_several_processes_one_writes(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    assert stepped(MemoryMonitor(), [1], logged=(logger,), is_global_zero=False) == [1]
    assert not list(tmp_path.rglob("events*"))


class Squaring(Weighing):
    """Predict the weighted sum of squares: a day counts twice its value times its weight."""

    def forward(self, x_btf):
        return super().forward(x_btf.square())


def test_of_a_batch_the_first_32_windows_are_measured():
    monitor, module = MemoryMonitor(), Squaring([1.0, 2.0])
    trainer = SimpleNamespace(global_step=0, loggers=(), is_global_zero=True)
    monitor.on_train_start(trainer, module)
    trainer.global_step = 1
    x_btf = torch.ones(40, 2, 1)
    x_btf[32:] = 100
    monitor.on_train_batch_end(trainer, module, None, (x_btf, None), 0)
    assert monitor.history == [{"step": 1, "norms": pytest.approx([2, 4])}]


def test_a_window_of_five_days_has_none_five_days_back():
    monitor = MemoryMonitor()
    stepped(monitor, [1], weights=(1.0,) * 5)
    assert monitor.latest == {"memory/half_life": 5, "memory/norm_last": pytest.approx(1)}


@pytest.fixture
def drawn(monkeypatch):
    """Return what is drawn, on a board that shows pictures where there is a logger."""
    pictures = []

    class Board:
        def __init__(self, loggers):
            self.draws = bool(loggers)

        def scalars(self, values, step):
            pass

        def image(self, tag, picture, step):
            pictures.append((tag, step))

    def heatmap(shares, steps, title):
        pictures.append((shares.tolist(), steps, title))

    monkeypatch.setattr("src.callbacks.memory_monitor.LogWriter", Board)
    monkeypatch.setattr("src.callbacks.memory_monitor.heatmap", heatmap)
    return pictures


def test_each_row_of_the_picture_is_the_days_shares_by_hand(drawn):
    stepped(MemoryMonitor(every_n_steps=1), [1, 2], weights=(1.0, 1.0, 2.0, 4.0), logged=(1,))
    row = pytest.approx([0.125, 0.125, 0.25, 0.5])
    assert drawn == [([row, row], [1, 2], "influence on the forecast"), ("memory_over_time", 2)]


def test_a_forecast_that_feels_no_day_has_shares_of_0(drawn):
    stepped(MemoryMonitor(), [1], weights=(0.0, 0.0, 0.0), logged=(1,))
    assert drawn[0][0] == [[0, 0, 0]]


@pytest.mark.parametrize(("steps", "logged"), [([], (1,)), ([1], ())], ids=["records", "board"])
def test_without_records_or_a_board_nothing_is_drawn(drawn, steps, logged):
    stepped(MemoryMonitor(), steps, logged=logged)
    assert drawn == []
