"""GradientHealth measures when it should, what is there, and changes nothing."""

import copy
import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import pytorch_lightning
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from src.callbacks import GradientHealth
from tests.diagnostics.lightning.small_modules import (
    DEAD,
    FEATURES,
    Adversaries,
    Plain,
    fit,
    loader,
    network,
)


def watchful(**options: Any) -> GradientHealth:
    """Measure everything at every step, and suspect at once."""
    eager = {"every_n_steps": 1, "details_every_n_steps": 1, "details_per_window": 1}
    return GradientHealth(**(eager | {"needed_windows": 1, "among_windows": 1} | options))


class SlowTwin(pl.Callback):
    """Zero fractions and norms of every parameter, one by one, at every step."""

    def __init__(self) -> None:
        self.zeros: list[dict[str, float]] = []
        self.norms: list[dict[str, float]] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        self.zeros.append({n: float((g == 0).double().mean()) for n, g in grads.items()})
        self.norms.append({n: float(g.double().norm()) for n, g in grads.items()})


BITWISE: dict[str, dict[str, Any]] = {
    "plainly": {},
    "accumulating": {"accumulate_grad_batches": 3},
    "clipping norms": {"gradient_clip_val": 0.1},
    "clipping values": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    "in bf16-mixed": {"precision": "bf16-mixed"},
}


@pytest.mark.parametrize("name", BITWISE)
def test_training_is_bitwise_the_same_with_and_without_it(name: str, tmp_path: Path) -> None:
    options, health = BITWISE[name], watchful()
    on, off = Plain(), Plain()
    torch.manual_seed(3)
    on.net = network()
    off.net = copy.deepcopy(on.net)
    fit(on, [health], tmp_path, **options)
    fit(off, [], tmp_path, **options)
    assert health.alerts, "the replays that could change something took place"
    for key, value in off.state_dict().items():
        assert torch.equal(on.state_dict()[key], value), key
    assert on.calls == off.calls
    assert torch.equal(torch.stack(on.seen), torch.stack(off.seen))


def test_manual_optimisation_is_bitwise_the_same_too(tmp_path: Path) -> None:
    on = Adversaries()
    off = copy.deepcopy(on)
    health = watchful()
    fit(on, [health], tmp_path)
    fit(off, [], tmp_path)
    assert health.diagnosis is not None
    assert health.diagnosis.num_batches == 3, "batches were replayed"
    for key, value in off.state_dict().items():
        assert torch.equal(on.state_dict()[key], value), key
    assert on.calls == off.calls
    assert {p.requires_grad for p in on.parameters()} == {True}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_recorded_steps_are_the_scheduled_ones(accumulate: int, tmp_path: Path) -> None:
    health = GradientHealth(every_n_steps=3, details_every_n_steps=6)
    trainer = fit(Plain(), [health], tmp_path, epochs=3, accumulate_grad_batches=accumulate)
    scheduled = list(range(0, trainer.global_step, 3))
    assert [m.step for m in health.measurements] == scheduled


def test_each_optimiser_is_measured_on_its_own_schedule(tmp_path: Path) -> None:
    health = GradientHealth(every_n_steps=2, details_every_n_steps=4)
    fit(Adversaries(), [health], tmp_path, epochs=1)
    # Even steps are the maker's, odd ones the judge's; of each, every second is measured.
    assert [m.step for m in health.measurements] == [0, 1, 4, 5, 8, 9, 12, 13]
    by_maker, by_judge = health.measurements[0], health.measurements[1]
    assert set(by_maker.parameters) == {"maker.weight", "maker.bias"}
    assert set(by_judge.parameters) == {"judge.weight", "judge.bias"}


@pytest.mark.parametrize("options", list(BITWISE.values())[:4], ids=list(BITWISE)[:4])
def test_measurements_match_the_slow_twin(options: dict[str, Any], tmp_path: Path) -> None:
    health, twin = watchful(), SlowTwin()
    fit(Plain(), [twin, health], tmp_path, **options)
    assert len(twin.zeros) == len(health.measurements)
    for measurement, zeros, norms in zip(health.measurements, twin.zeros, twin.norms, strict=True):
        assert set(measurement.parameters) == set(zeros)
        for name, stats in measurement.parameters.items():
            assert stats.zero_fraction == pytest.approx(zeros[name])
            assert stats.norm == pytest.approx(norms[name], rel=1e-5)


def test_an_optimiser_that_evaluates_twice_in_a_step_is_measured_once(tmp_path: Path) -> None:
    health = watchful()
    module = Plain(lambda parameters, lr: torch.optim.LBFGS(parameters, lr=lr, max_iter=4))
    trainer = fit(module, [health], tmp_path, epochs=1)
    assert [m.step for m in health.measurements] == list(range(trainer.global_step))


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_under_fp16_are_reported_without_the_loss_scale(
    fused: bool, tmp_path: Path
) -> None:
    def plugins() -> list[Any]:
        return [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))]

    def adam(parameters: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=lr, fused=fused)

    scaled, plain = watchful(), watchful()
    options = {"epochs": 1, "batches": loader(1)}
    torch.manual_seed(0)
    module = Plain(adam)
    fit(copy.deepcopy(module), [scaled], tmp_path, plugins=plugins(), **options)
    fit(copy.deepcopy(module), [plain], tmp_path, **options)
    assert scaled.measurements[0].loss_scale == 1024.0
    assert plain.measurements[0].loss_scale is None
    for name, stats in scaled.measurements[0].parameters.items():
        true = plain.measurements[0].parameters[name]
        assert stats.norm == pytest.approx(true.norm, rel=0.02, abs=1e-3), name


@pytest.mark.parametrize("package", [pl, pytorch_lightning], ids=["lightning", "pytorch_lightning"])
@pytest.mark.parametrize("as_list", [True, False], ids=["list", "single"])
def test_both_import_names_take_it(package: Any, as_list: bool, tmp_path: Path) -> None:
    class Foreign(package.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any) -> Tensor:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    health = GradientHealth()
    assert isinstance(health, package.Callback)
    callbacks: Any = [health] if as_list else health
    fit(Foreign(), callbacks, tmp_path, epochs=1, package=package)
    assert health.diagnosis is not None
    assert health.diagnosis.worst is not None
    assert health.diagnosis.worst.cause == "dead_input"


def test_a_model_that_is_not_ours_works_without_a_line_of_configuration(tmp_path: Path) -> None:
    health = GradientHealth()
    trainer = pl.Trainer(
        max_epochs=1, callbacks=[health], default_root_dir=tmp_path, accelerator="cpu"
    )
    trainer.fit(BoringModel())
    assert [m.step for m in health.measurements] == [0, 50]
    assert health.diagnosis is not None
    assert set(health.measurements[0].parameters) == {"layer.weight", "layer.bias"}


def test_a_transformer_that_is_not_ours_works_as_well(tmp_path: Path) -> None:
    from lightning.pytorch.demos import Transformer

    class Language(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Transformer(vocab_size=20, ninp=16, nhead=2, nhid=16, nlayers=1)

        def training_step(self, batch: Tensor) -> Tensor:
            output = self.model(batch[:, :-1], batch[:, 1:])
            return nn.functional.nll_loss(output.view(-1, 20), batch[:, 1:].reshape(-1))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    health = GradientHealth()
    tokens = torch.randint(20, (16, 8), generator=torch.Generator().manual_seed(0))
    batches = torch.utils.data.DataLoader(tokens, 4)  # type: ignore[arg-type, var-annotated]
    fit(Language(), [health], tmp_path, epochs=1, batches=batches)
    assert health.diagnosis is not None
    assert health.diagnosis.num_batches == 3


@pytest.mark.parametrize("logger", ["none", "csv", "fast_dev_run"])
def test_it_works_with_any_logger_or_none(logger: str, tmp_path: Path) -> None:
    health = watchful()
    options: dict[str, Any] = {
        "none": {"logger": False},
        "csv": {"logger": CSVLogger(tmp_path)},
        "fast_dev_run": {"fast_dev_run": 2},
    }[logger]
    trainer = fit(Plain(), [health], tmp_path, epochs=1, **options)
    assert health.diagnosis is not None
    assert len(health.measurements) == trainer.global_step
    if logger == "csv":
        (metrics,) = tmp_path.rglob("metrics.csv")
        assert "zeros/first_weight" in metrics.read_text().splitlines()[0]


def shown_by(health: GradientHealth, folder: Path) -> EventAccumulator:
    logger = TensorBoardLogger(folder)
    fit(Plain(), [health], folder, epochs=1, logger=logger)
    events = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def test_tensorboard_shows_every_documented_tag(tmp_path: Path) -> None:
    events = shown_by(watchful(every_scalar=True), tmp_path)
    tags = events.Tags()
    weight = "net.0.weight"
    expected = {f"zero_grad_shape/{weight}/{kind}" for kind in ("rows", "columns", "scattered")}
    expected |= {f"{tag}/{weight}" for tag in ("zero_grad_fraction", "grad_norm", "update_ratio")}
    assert expected | {f"distinct_columns/{weight}", "grad_norm_total"} <= set(tags["scalars"])
    assert f"log2_of_gradient/{weight}" in tags["histograms"]
    assert {"diagnosis/text_summary", "custom_scalars__config__"} <= set(tags["tensors"])
    zeros = events.Scalars(f"zero_grad_shape/{weight}/columns")
    assert [event.step for event in zeros] == list(range(8))
    assert {round(event.value, 6) for event in zeros} == {round(len(DEAD) / FEATURES, 6)}


def test_few_scalars_are_shown_by_default_and_they_are_of_the_first_weight(tmp_path: Path) -> None:
    events = shown_by(watchful(), tmp_path)
    tags = events.Tags()
    shapes = ("", "_in_dead_rows", "_in_dead_columns", "_scattered")
    assert set(tags["scalars"]) - {"epoch", "train/loss"} == {
        *(f"zeros/first_weight{shape}" for shape in shapes),
        *("zeros/most_of_any_weight", "zeros/axis_0", "zeros/axis_1"),
        *("grad_norm_total", "findings_to_act_on"),
    }
    assert tags["histograms"] == ["log2_of_gradient/net.0.weight"]
    assert tags["images"] == ["dead_rows_blue_and_columns_orange/net.0.weight"]
    share = events.Scalars("zeros/first_weight_in_dead_columns")[-1].value
    assert share == pytest.approx(len(DEAD) / FEATURES)


def test_an_alert_names_place_cause_and_repair_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Named(pl.LightningDataModule):
        feature_names = ("open", "high", "low", "close", "volume", "interest")

        def train_dataloader(self) -> Any:
            return loader()

    health, data = watchful(), Named()
    with caplog.at_level(logging.WARNING, logger="src.callbacks"):
        fit(Plain(), [health], tmp_path, batches=data, epochs=3)  # type: ignore[arg-type]
    lines = [r.message for r in caplog.records if "dead_input" in r.message]
    assert len(lines) == 1
    assert "net.0.weight" in lines[0]
    assert "(volume, interest)" in lines[0]
    assert len(lines[0].split(". ")) >= 2, "a remedy follows"


def test_replays_during_training_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    original = GradientHealth._diagnose

    def counted(self: Any, trainer: Any, module: Any) -> None:
        steps.append(trainer.global_step)
        original(self, trainer, module)

    monkeypatch.setattr(GradientHealth, "_diagnose", counted)
    fit(Plain(), [watchful(max_replays=0)], tmp_path)
    assert steps == [16], "the end of the fit alone"


def test_a_rare_feature_is_not_reported_as_dead(tmp_path: Path) -> None:
    batches = loader(8, dead=())
    x = batches.dataset.tensors[0]  # type: ignore[attr-defined]
    x[8:, 3] = 0  # alive in the first batch alone, so dead in those that are replayed
    health = GradientHealth(1, 1)
    fit(Plain(), [health], tmp_path, epochs=1, batches=batches)
    assert health.diagnosis is not None
    assert "dead_input" not in {finding.cause for finding in health.diagnosis.alarms}


def test_shared_frozen_unused_and_sparse_parameters_are_told_apart(tmp_path: Path) -> None:
    class Mixed(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.table = nn.Embedding(50, FEATURES, sparse=True)
            self.first, self.second = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
            self.second.weight = self.first.weight
            self.frozen = nn.Linear(FEATURES, 1).requires_grad_(False)
            self.unused = nn.Linear(2, 2)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            rows = self.table(torch.arange(len(batch[0])))
            loss = (
                (self.frozen(self.second(self.first(batch[0]) + rows)) - batch[1]).square().mean()
            )
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()

        def configure_optimizers(self) -> Any:
            dense = [p for n, p in self.named_parameters() if "table" not in n and p.requires_grad]
            sparse = torch.optim.SparseAdam(self.table.parameters())
            return [torch.optim.Adam(dense), sparse]

    health = watchful()
    fit(Mixed(), [health], tmp_path, epochs=1)
    dense, sparse = health.measurements[0], health.measurements[1]
    assert set(dense.parameters) == {"first.weight", "first.bias", "second.bias"}
    assert set(dense.missing) == {"unused.weight", "unused.bias"}
    assert sparse.parameters["table.weight"].touched_rows == 8
    assert sparse.parameters["table.weight"].zero_fraction == 0
    assert health.diagnosis is not None
    assert "unused" in {finding.cause for finding in health.diagnosis.findings}


@pytest.mark.parametrize("what", ["module", "part"])
def test_compiled_models_are_measured_and_diagnosed(what: str, tmp_path: Path) -> None:
    class Quiet(Plain):  # dynamo cannot trace Lightning's `log`
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    module: Any = Quiet()
    if what == "part":
        module.net = torch.compile(module.net, backend="eager")
    else:
        module = torch.compile(module, backend="eager")
    health = GradientHealth()
    fit(module, [health], tmp_path, epochs=1, batches=loader(2))
    assert set(health.measurements[0].parameters) >= {"net.0.weight", "net.4.bias"}
    assert health.diagnosis is not None
    assert health.diagnosis.worst is not None
    assert health.diagnosis.worst.parameter == "net.0.weight"


def test_training_that_stops_at_a_number_that_is_none_is_explained(tmp_path: Path) -> None:
    class Careful(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            if not torch.isfinite(loss) and self.trainer.loggers is not None:
                raise FloatingPointError("training loss is nan")
            return loss

        def diagnosis_loss(self, batch: Any) -> Tensor:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    batches, health = loader(4, dead=()), GradientHealth()
    batches.dataset.tensors[0][20, 3] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(FloatingPointError):
        fit(Careful(), [health], tmp_path, epochs=1, batches=batches)
    assert health.diagnosis is not None
    assert health.diagnosis.worst is not None
    assert health.diagnosis.worst.cause == "nonfinite"


def test_a_second_fit_starts_afresh(tmp_path: Path) -> None:
    health, module = watchful(), Plain()
    fit(module, [health], tmp_path, epochs=1)
    fit(module, [health], tmp_path, epochs=1, batches=loader(3))
    assert [m.step for m in health.measurements] == [0, 1, 2]


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    import json

    health = watchful()
    fit(Plain(), [health], tmp_path, epochs=1)
    report = json.loads(json.dumps(health.report(), allow_nan=False))
    assert report["diagnosis"]["findings"][0]["cause"] == "dead_input"
    assert report["alerts"][0]["step"] > 0
    share = len(DEAD) / FEATURES
    assert report["zero_grad_fraction"]["net.0.weight"] == pytest.approx(share)
    assert health.latest["zero_grad_fraction/net.0.weight"] == pytest.approx(share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_steps": 0}, "got 200 and 0"),
        ({"every_n_steps": 60}, "got 200 and 60"),
        ({"max_replays": -1}, "got -1 and 3"),
        ({"num_batches": 0}, "got 3 and 0"),
        ({"needed_windows": 4}, "among=3, got 4"),
        ({"details_per_window": 0}, "got 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientHealth(**options)
