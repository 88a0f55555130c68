"""PoolingMonitor records what poolings do, on schedule, and changes nothing."""

import copy
import itertools
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from src.callbacks import PoolingMonitor
from src.callbacks.pooling_hooks import PoolingHooks, is_pooled, pooling_statistics
from src.callbacks.pooling_monitor import _aux_loss, pooling_lines
from tests.diagnostics.lightning.small_modules import FEATURES, Plain, PooledSequence, fit
from tests.models.options import load, options


def gradient_share(grad_btd: Tensor) -> Tensor:
    """Return the share of the gradient (B, T, D) that each time step receives, (T,)."""
    norms = torch.stack([step.double().norm() for step in grad_btd.unbind(1)])
    return norms / norms.sum()


def test_statistics_of_hand_made_weights() -> None:
    statistics = pooling_statistics(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert statistics["max"] == pytest.approx(0.4)
    assert statistics["min"] == pytest.approx(0.1)
    assert statistics["std"] == pytest.approx(math.sqrt((0.15**2 * 2 + 0.05**2 * 2) / 3))
    assert statistics["recent_3_sum"] == pytest.approx(0.9)
    assert statistics["top_3_recent"] == 1
    entropy = -sum(w * math.log(w) for w in (0.1, 0.2, 0.3, 0.4))
    assert statistics["entropy"] == pytest.approx(entropy)


def test_statistics_average_over_the_batch_and_entropy_over_samples() -> None:
    statistics = pooling_statistics(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert statistics["max"] == statistics["min"] == 0.5
    assert statistics["entropy"] == 0


def test_the_lines_have_the_established_form() -> None:
    weights = torch.full((20,), 0.0423)
    weights[17:] = torch.tensor([0.065, 0.071, 0.078])
    statistics = {"max": 0.078, "min": 0.035, "std": 0.012, "recent_3_sum": 0.287}
    lines = pooling_lines("LearnablePooling", 20000, weights, statistics, 0.0234)
    assert lines == (
        "[LEARNABLE POOLING] Step 20000: max=0.078, min=0.035, std=0.012, recent_3_sum=0.287, "
        "aux_loss=0.0234",
        "Top3: [(19, '0.078'), (18, '0.071'), (17, '0.065')]",
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_recorded_steps_are_the_scheduled_ones(accumulate: int, tmp_path: Path) -> None:
    monitor = PoolingMonitor(every_n_steps=3)
    fit(PooledSequence(), [monitor], tmp_path, accumulate_grad_batches=accumulate)
    steps = 16 // accumulate
    assert monitor.recorded_steps == [1, *range(3, steps + 1, 3)]
    assert [record["step"] for record in monitor.history["pooling"]] == monitor.recorded_steps


def test_the_log_line_appears_every_so_many_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="src.callbacks"):
        fit(PooledSequence(), [PoolingMonitor(5, log_every_n_steps=7)], tmp_path)
    lines = [r.message for r in caplog.records if r.name == "src.callbacks.pooling_monitor"]
    assert [line[:25] for line in lines[::2]] == [
        "[SLOPED POOLING] Step 7: ",
        "[SLOPED POOLING] Step 14:",
    ]
    assert all(line.endswith("aux_loss=0.0234") for line in lines[::2])
    assert all(line.startswith("Top3: [(5, '0.") for line in lines[1::2])


def test_recorded_weights_and_gradient_shares_match_a_slow_twin(tmp_path: Path) -> None:
    twin: dict[str, list[Tensor]] = {"weights": [], "share": []}

    class Watched(PooledSequence):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            hidden = torch.tanh(self.encoder(batch[0].unsqueeze(-1)))
            hidden.register_hook(lambda grad: twin["share"].append(gradient_share(grad)))
            pooled = self.pooling(hidden)
            twin["weights"].append(pooled.weights.detach())
            return (self.head(pooled.pooled) - batch[1]).square().mean()

    monitor = PoolingMonitor(every_n_steps=1)
    fit(Watched(), [monitor], tmp_path)
    records = monitor.history["pooling"]
    assert len(records) == len(twin["weights"]) == len(twin["share"]) == 16
    for record, weights, share in zip(records, twin["weights"], twin["share"], strict=True):
        assert record["weights"] == pytest.approx(weights.tolist())
        assert record["gradient_share"] == pytest.approx(share.tolist(), rel=1e-5)
    assert monitor.latest["pooling/std"] == pytest.approx(float(twin["weights"][-1].std()))
    assert monitor.latest["pooling/pooling/std"] == monitor.latest["pooling/std"]


def test_training_is_bitwise_the_same_with_and_without_it(tmp_path: Path) -> None:
    on = PooledSequence()
    off = copy.deepcopy(on)
    fit(on, [PoolingMonitor(every_n_steps=2)], tmp_path)
    fit(off, [], tmp_path)
    assert all(torch.equal(p, q) for p, q in zip(on.parameters(), off.parameters(), strict=True))


def test_no_hook_is_left_behind_and_none_is_there_between_records(tmp_path: Path) -> None:
    hooked: list[int] = []

    class Counting(PooledSequence):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            hooked.append(sum(len(module._forward_hooks) for module in self.modules()))
            return super().training_step(batch, batch_idx)

    module = Counting()
    fit(module, [PoolingMonitor(every_n_steps=4)], tmp_path)
    num_modules = sum(1 for _ in module.modules())
    # All modules on the first step, the pooling alone on steps 4, 8, 12 and 16.
    assert hooked == [num_modules] + [int(step % 4 == 0) for step in range(2, 17)]
    assert not any(module._forward_hooks for module in module.modules())


def test_a_step_that_fails_leaves_no_hook_behind_and_keeps_its_own_error(tmp_path: Path) -> None:
    class Failing(PooledSequence):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            if batch_idx == 5:
                raise ArithmeticError("no number")
            return super().training_step(batch, batch_idx)

    for every in (1, 4):  # fails while it is listened to, and between two records
        module = Failing()
        with pytest.raises(ArithmeticError, match="no number"):
            fit(module, [PoolingMonitor(every_n_steps=every)], tmp_path)
        assert not any(part._forward_hooks for part in module.modules())


def test_a_pooling_that_cannot_be_read_ends_the_training_with_its_error(tmp_path: Path) -> None:
    class Odd(PooledSequence):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.pooling.register_forward_hook(lambda *_: Wordy(torch.ones(8, 4), torch.ones(())))
            return super().training_step(batch, batch_idx)

    class Wordy(NamedTuple):
        pooled: Tensor
        weights: Tensor

    with pytest.raises(IndexError):
        fit(Odd(), [PoolingMonitor(every_n_steps=1)], tmp_path)


def test_a_model_without_a_pooling_is_left_alone(tmp_path: Path) -> None:
    monitor = PoolingMonitor(every_n_steps=1)
    fit(Plain(), [monitor], tmp_path)
    assert monitor.recorded_steps == []
    assert monitor.latest == {}
    assert monitor.report() == {"pooling": {"latest": {}, "history": {}}}


@pytest.mark.parametrize("pooling", options("pooling"))
def test_every_pooling_of_this_package_is_found(pooling: str) -> None:
    module = instantiate(load("pooling", pooling))(8, 5)
    hooks = PoolingHooks([("pooling", module)])
    hidden = torch.randn(3, 5, 8, requires_grad=True)
    module(hidden).pooled.sum().backward()
    hooks.remove()
    caught = hooks.caught["pooling"]
    assert caught.weights.shape[-1] == 5
    assert caught.grad_norm_t is not None
    assert hidden.grad is not None
    share = gradient_share(hidden.grad)
    torch.testing.assert_close(
        (caught.grad_norm_t / caught.grad_norm_t.sum()).double(), share, rtol=1e-5, atol=1e-6
    )


def test_other_outputs_are_not_taken_for_a_pooling() -> None:
    assert not is_pooled(torch.ones(2))
    assert not is_pooled((torch.ones(2), torch.ones(2)))


@pytest.mark.parametrize("what", ["module", "part"])
def test_a_compiled_model_is_replayed_instead_of_listened_to(what: str, tmp_path: Path) -> None:
    class Quiet(PooledSequence):  # dynamo cannot trace Lightning's `log`
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            hidden = torch.tanh(self.encoder(batch[0].unsqueeze(-1)))
            return (self.head(self.pooling(hidden).pooled) - batch[1]).square().mean()

    module: Any = Quiet()
    plain = copy.deepcopy(module)
    if what == "part":
        module.pooling = torch.compile(module.pooling, backend="eager")
    else:
        module = torch.compile(module, backend="eager")
    monitor = PoolingMonitor(every_n_steps=4)
    fit(module, [monitor], tmp_path, epochs=1)
    fit(plain, [], tmp_path, epochs=1)
    assert monitor.recorded_steps == [1, 4, 8]
    assert monitor.history["pooling"][0]["gradient_share"] is not None
    assert len(monitor.history["pooling"][0]["weights"]) == FEATURES
    trained = {k.replace("_orig_mod.", ""): v for k, v in module.state_dict().items()}
    assert all(torch.equal(trained[key], value) for key, value in plain.state_dict().items())


def test_the_history_stays_small_and_spans_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.callbacks.pooling_monitor.MAX_ROWS", 8)
    monitor = PoolingMonitor(every_n_steps=1)
    fit(PooledSequence(), [monitor], tmp_path, epochs=5)
    steps = [record["step"] for record in monitor.history["pooling"]]
    assert len(monitor.recorded_steps) == 40
    assert len(steps) <= 8
    assert steps[0] == 1
    assert {b - a for a, b in itertools.pairwise(steps)} == {8}


def test_tensorboard_shows_every_documented_tag(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    monitor = PoolingMonitor(every_n_steps=1, every_scalar=True)
    fit(PooledSequence(), [monitor], tmp_path, logger=logger)
    tags = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0}).Reload().Tags()
    keys = ("max", "min", "std", "recent_3_sum", "top_3_recent", "entropy")
    expected = {f"pooling/pooling/{key}" for key in keys}
    assert expected | {"gradient_share/pooling/recent_3_sum"} <= set(tags["scalars"])
    assert tags["histograms"] == ["pooling_weights/pooling"]
    images = ("pooling_weights_over_time/pooling", "gradient_share_over_time/pooling")
    assert set(tags["images"]) == set(images)


def test_the_history_is_drawn_when_it_has_doubled_and_at_the_end(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    fit(PooledSequence(), [PoolingMonitor(every_n_steps=1)], tmp_path, epochs=5, logger=logger)
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    shown = [event.step for event in events.Images("pooling_weights_over_time/pooling")]
    assert shown == [16, 32, 40]


@pytest.mark.parametrize("name", ["every_n_steps", "log_every_n_steps"])
def test_impossible_schedules_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        PoolingMonitor(**{name: 0})


def test_the_share_of_the_latest_three_steps_is_that_of_the_history(tmp_path: Path) -> None:
    monitor = PoolingMonitor(every_n_steps=1)
    fit(PooledSequence(), [monitor], tmp_path, epochs=1)
    last = monitor.history["pooling"][-1]
    latest = monitor.latest["gradient_share/pooling/recent_3_sum"]
    assert latest == pytest.approx(sum(last["gradient_share"][-3:]))
    assert 0 < latest < 1
    assert monitor.latest["pooling/recent_3_sum"] == pytest.approx(sum(last["weights"][-3:]))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, 0.0),
        ({"train/loss": 2.0}, 0.0),
        ({"train/loss": 2.0, "train/aux_loss": 0.5}, 0.5),
        ({"aux_loss": 0.25}, 0.25),
        ({"train/aux_loss_scaled": 3.0}, 0.0),
    ],
)
def test_the_auxiliary_loss_is_the_logged_one_and_none_is_0(
    metrics: dict[str, float], expected: float
) -> None:
    assert _aux_loss(SimpleNamespace(callback_metrics=metrics)) == expected
