"""The memory monitor: on its schedule, right, and without a trace in the weights."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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
