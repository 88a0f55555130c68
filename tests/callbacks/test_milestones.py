"""Goals judged by hand-written sequences, and inside a Trainer whose quantities are scripted."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from src.callbacks.milestones import Milestone, Milestones, Progress, make_milestone
from src.callbacks.pooling_monitor import PoolingMonitor
from src.config import CONFIG_DIR
from src.diagnostics.lightning.gradient_health import GradientHealth
from src.models.norm import Norm
from src.models.pooling import LearnablePooling
from src.models.regressor import build_regressor
from src.models.transformer import TransformerEncoder

GOAL = {"quantity": "q", "comparison": ">", "bound": 0.5}


def outcome(milestone: Milestone, values: dict[int, float], end: int) -> tuple[str, int | None]:
    progress = Progress()
    for step, value in values.items():
        progress.observe(milestone, step, value)
    return progress.status(milestone, end), progress.reached_at


@pytest.mark.parametrize(
    ("values", "end", "expected"),
    [
        ({10: 0.4, 20: 0.6, 30: 0.4}, 30, ("reached", 20)),
        ({10: 0.4, 20: 0.5}, 20, ("not yet", None)),
        ({10: 0.4, 100: 0.4}, 100, ("missed", None)),
        ({10: 0.4, 110: 0.9}, 110, ("missed", None)),
        ({5: 0.9, 20: 0.4}, 20, ("not yet", None)),
        ({100: 0.6}, 100, ("reached", 100)),
        ({10: 0.6}, 10, ("reached", 10)),
        ({10: float("nan"), 100: float("nan")}, 100, ("missed", None)),
        ({}, 5, ("not yet", None)),
        ({}, 9, ("not yet", None)),
        ({}, 10, ("not measured", None)),
        ({}, 50, ("not measured", None)),
    ],
    ids=[
        "met once is enough",
        "at the bound is not above it",
        "not met by the last step",
        "met too late",
        "met too early",
        "met at the last step",
        "met at the first step",
        "nan meets nothing",
        "long before its first step",
        "just before its first step",
        "not seen at its first step",
        "never seen",
    ],
)
def test_outcome_in_a_window_from_10_to_100(
    values: dict[int, float], end: int, expected: tuple[str, int | None]
) -> None:
    milestone = Milestone("m", "q", ">", 0.5, from_step=10, to_step=100)
    assert outcome(milestone, values, end) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({1: 0.6, 2: 0.7}, ("reached", 1)),
        ({1: 0.6, 2: 0.4}, ("not yet", None)),
        ({1: 0.6, 2: 0.4, 3: 0.6, 4: 0.6}, ("reached", 3)),
    ],
    ids=["stays", "lost again", "regained"],
)
def test_a_milestone_to_hold_is_dated_from_when_it_holds(
    values: dict[int, float], expected: tuple[str, int | None]
) -> None:
    milestone = Milestone("m", "q", ">", 0.5, hold=True)
    assert outcome(milestone, values, max(values)) == expected


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
    ],
)
def test_comparisons(comparison: str, below: bool, equal: bool, above: bool) -> None:
    milestone = Milestone("m", "q", comparison, 0.5)
    assert [milestone.is_met(v) for v in (0.4, 0.5, 0.6)] == [below, equal, above]


def test_scale_multiplies_the_steps_alone() -> None:
    milestone = make_milestone("m", {**GOAL, "from_step": 4000, "to_step": 6000}, scale=0.1)
    assert (milestone.from_step, milestone.to_step, milestone.bound) == (400, 600, 0.5)
    assert make_milestone("m", {**GOAL, "to_step": None}, scale=0.1).to_step is None


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({**GOAL, "comparison": "=="}, "milestone m: comparison must be one of .* got =="),
        ({**GOAL, "from_step": 5, "to_step": 4}, "milestone m: steps .* got 5 and 4"),
        ({**GOAL, "from_step": -1}, "milestone m: steps .* got -1 and None"),
        ({**GOAL, "quantity": 3}, "milestone m: its quantity is a tag, got 3"),
        ({"quantity": "q"}, "milestone m must have bound, comparison, quantity .* got quantity"),
        ({**GOAL, "unit": "%"}, "milestone m must have .* got .* unit"),
    ],
)
def test_goals_that_cannot_be_judged_are_refused(goal: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_milestone("m", goal)


def test_a_goal_counts_from_the_start_for_ever_unless_it_says_otherwise() -> None:
    milestone = Milestone("m", "q", ">", 0.5)
    assert (milestone.from_step, milestone.to_step, milestone.hold) == (0, None, False)
    assert milestone.covers(0)
    one_step = Milestone("m", "q", ">", 0.5, from_step=7, to_step=7)
    assert [one_step.covers(step) for step in (6, 7, 8)] == [False, True, False]


def test_before_the_first_step_a_goal_from_step_1_is_not_due() -> None:
    milestones = Milestones({"m": {**GOAL, "from_step": 1}})
    assert milestones.results[0]["status"] == "not yet"


def test_the_first_step_is_looked_at_where_every_step_is() -> None:
    milestones = Looks({"m": GOAL}, every_n_steps=1)
    fit([milestones], 3)
    assert milestones.steps == [1, 2, 3]


def test_a_distance_between_looks_below_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_steps must be at least 1, got 0"):
        Milestones({}, every_n_steps=0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_a_scale_that_makes_no_sense_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale must be positive and finite, got {scale}"):
        Milestones({}, scale=scale)


class Module(pl.LightningModule):
    """Log the number of completed steps at every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("train/steps", float(self.trainer.global_step))
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Monitor(pl.Callback):
    """Measure a tenth of the step, as a monitor would."""

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.latest["monitor/tenth"] = trainer.global_step / 10


class Looks(Milestones):
    """Keep the steps of the looks that were not skipped."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.steps: list[int] = []

    def _look(self, trainer: pl.Trainer) -> None:
        if trainer.global_step != self._last_step:
            self.steps.append(trainer.global_step)
        super()._look(trainer)


def fit(
    callbacks: list[pl.Callback],
    steps: int,
    module: pl.LightningModule | None = None,
    **options: Any,
) -> pl.Trainer:
    options = {"logger": False, "accumulate_grad_batches": 1, **options}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=callbacks,
        **options,
    )
    trainer.fit(module or Module(), DataLoader(torch.ones(1000, 1), batch_size=1))
    return trainer


@pytest.mark.parametrize("accumulate", [1, 4])
def test_goals_are_looked_at_on_schedule_at_window_ends_and_at_the_end(accumulate: int) -> None:
    goals = {"m": {**GOAL, "from_step": 7, "to_step": 13}}
    milestones = Looks(goals, every_n_steps=5)
    fit([milestones], 17, accumulate_grad_batches=accumulate)
    assert milestones.steps == [5, 7, 10, 13, 15, 17]


def test_quantities_come_from_monitors_and_from_logged_metrics() -> None:
    goals = {
        "by monitor": {"quantity": "monitor/tenth", "comparison": ">=", "bound": 1.0},
        "by log": {"quantity": "train/steps", "comparison": ">", "bound": 14},
        "too early": {
            "quantity": "monitor/tenth",
            "comparison": ">=",
            "bound": 1,
            "to_step": 8,
        },
        "nobody's": {"quantity": "nothing", "comparison": ">", "bound": 0},
        "left out": None,
    }
    milestones = Milestones(goals, every_n_steps=1)
    fit([Monitor(), milestones], 20)
    outcomes = {r["name"]: (r["status"], r["step"]) for r in milestones.results}
    assert outcomes == {
        "by monitor": ("reached", 10),
        "by log": ("reached", 16),
        "too early": ("missed", None),
        "nobody's": ("not measured", None),
    }
    assert json.loads(json.dumps(milestones.report())) == {"milestones": milestones.results}
    assert milestones.results[0] == {
        "name": "by monitor",
        "quantity": "monitor/tenth",
        "comparison": ">=",
        "bound": 1.0,
        "from_step": 0,
        "to_step": None,
        "hold": False,
        "status": "reached",
        "step": 10,
        "value": 2.0,
    }


def test_the_default_goals_find_their_quantities_in_the_real_monitors() -> None:
    class Pooled(Module):
        def __init__(self) -> None:
            super().__init__()
            encoder = partial(TransformerEncoder, hidden_size=8, num_heads=2, feedforward_size=8)
            self.model = build_regressor(
                encoder, LearnablePooling, Norm, {}, context_length=6, num_features=2
            )

        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            return self.model(batch.expand(4, 6, 2)).preds.square().mean()

    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        node = compose("train", ["callbacks=milestones"]).callbacks.milestones
    milestones = instantiate(node, every_n_steps=5, scale=1e-3)
    fit([GradientHealth(1, 1), PoolingMonitor(1), milestones], 12, module=Pooled())
    assert {result["status"] for result in milestones.results} <= {"reached", "missed", "not yet"}
    assert all(result["value"] is not None for result in milestones.results)


def test_the_table_is_in_the_terminal_and_in_tensorboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    goals = {"tenth": {"quantity": "monitor/tenth", "comparison": ">=", "bound": 1, "hold": True}}
    logger = TensorBoardLogger(tmp_path, name="", version="")
    fit([Monitor(), Milestones(goals, every_n_steps=1)], 12, logger=logger)
    printed = capsys.readouterr().out
    assert "Milestones" in printed
    assert "tenth" in printed
    events = EventAccumulator(str(tmp_path)).Reload()
    (event,) = events.Tensors("milestones/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    row = "| tenth | monitor/tenth >= 1, and stays | from 0 | reached at step 10 | 1.2 |"
    assert text.splitlines()[2] == row
    assert event.step == 12


def test_a_resumed_run_remembers_what_was_reached() -> None:
    goals = {"a": GOAL, "b": {**GOAL, "bound": 5}}
    first, second = Milestones(goals), Milestones(goals)
    first._progress["a"].observe(first.milestones[0], 40, 0.9)
    first._last_step = 50
    second.load_state_dict(first.state_dict())
    assert second.results == first.results
    assert [r["step"] for r in second.results] == [40, None]
