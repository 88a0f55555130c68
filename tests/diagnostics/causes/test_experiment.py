"""Replays and steps of copies on a model of one weight, by hand."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes import courses
from src.diagnostics.causes.courses import Courses, _build_up
from src.diagnostics.causes.experiment import Experiment, RewrittenCalls, widened
from src.diagnostics.symptoms.symptoms import Symptoms, TrainingContext


def product(model: nn.Module, batch: Tensor) -> Tensor:
    return (model.weight * batch).sum()


def experiment(*batches: float, rate: float = 0.5, **context: Any) -> Experiment:
    """Return an experiment with a weight of 3, whose gradient is the batch itself."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    data = [torch.tensor([[b]]) for b in batches]
    seen = Symptoms(context=TrainingContext(**context))
    return Experiment(model, data, product, [optimizer], seen)


def test_a_replay_tells_loss_and_gradient_of_a_batch() -> None:
    tried = experiment(2.0, -5.0)
    assert tried.replay().loss == 6.0
    other = tried.replay(batch=1)
    assert (other.loss, other.grads["weight"].item(), other.norm) == (-15.0, -5.0, 5.0)
    assert tried.replay(given=torch.tensor([[7.0]])).loss == 21.0
    assert tried.baseline.norm == 2.0
    copy = tried.copy()
    nn.init.ones_(copy.weight)
    assert (tried.replay(copy).loss, tried.loss(copy), tried.loss(tried.model)) == (2.0, 2.0, 6.0)


def test_a_scale_of_the_loss_is_taken_out_of_the_gradient() -> None:
    for scale in (None, 1024.0):
        tried = experiment(2.0, loss_scale=scale)
        assert tried.replay(loss_scale=64.0).grads["weight"].item() == 2.0


def test_half_gradients_are_widened_and_others_kept() -> None:
    assert widened(torch.ones(1, dtype=torch.float16)).dtype == torch.float32
    assert widened(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert widened(torch.ones(1)).dtype == torch.float32
    assert widened(torch.ones(1, dtype=torch.float64)).dtype == torch.float64


def test_the_norm_is_that_of_all_gradients_together() -> None:
    tried = experiment(3.0)
    outcome = tried.replay()
    outcome.grads["other"] = torch.tensor([4.0])
    assert outcome.norm == 5.0


@pytest.mark.parametrize(
    ("context", "options", "weight"),
    [
        ({}, {}, 3.0 - 0.5 * 2.0),
        ({"clip_norm": 1.0}, {}, 3.0 - 0.5 * 1.0),
        ({"clip_norm": 1.0}, {"clips": False}, 3.0 - 0.5 * 2.0),
        ({"clip_value": 0.5}, {}, 3.0 - 0.5 * 0.5),
        ({"clip_value": 0.5}, {"clips": False}, 3.0 - 0.5 * 2.0),
        ({}, {"batch": 1}, 3.0 - 0.5 * 5.0),
    ],
)
def test_a_step_of_a_copy_is_clipped_as_the_programs_are(
    context: dict[str, float], options: dict[str, Any], weight: float
) -> None:
    tried = experiment(2.0, 5.0, **context)
    model, optimizers = tried.copy_all()
    outcome = tried.step(model, optimizers, **options)
    assert model.weight.item() == pytest.approx(weight, rel=1e-5)
    assert tried.model.weight.item() == 3.0
    assert outcome.loss == (15.0 if options.get("batch") else 6.0)


@pytest.mark.parametrize(("clears", "second"), [(True, 5.0), (False, 7.0)])
def test_gradients_add_up_where_they_are_not_cleared(clears: bool, second: float) -> None:
    tried = experiment(2.0, 5.0)
    model, optimizers = tried.copy_all()
    assert tried.step(model, optimizers, clears=clears).norm == 2.0
    assert tried.step(model, optimizers, batch=1, clears=clears).norm == second


def test_calls_are_rewritten_by_name_or_left_alone() -> None:
    names = []

    def rewrite(name: str, func: Any, args: Any, kwargs: Any) -> Any:
        names.append(name)
        return args[0] if name == "relu" else NotImplemented

    x = torch.tensor([-1.0, 1.0])
    with RewrittenCalls(rewrite):
        kept, sign = torch.relu_(x), torch.sign(input=x)
    assert kept is x
    assert x.tolist() == sign.tolist() == [-1.0, 1.0]
    assert names[:2] == ["relu", "sign"]


class Named(nn.Module):
    def forward(self, note: str, x: Tensor, y: Tensor) -> tuple[str, Tensor, Tensor]:
        return note, x, y


def test_the_first_tensor_that_enters_is_changed_by_place_or_by_name() -> None:
    model = nn.ModuleDict({"relu": nn.ReLU(), "named": Named()})
    tried = Experiment(model, [], product, [], Symptoms())
    x = torch.ones(2)
    with tried.input_changed("relu", lambda t: 2 * t):
        assert model["relu"](x).tolist() == [2.0, 2.0]
    assert model["relu"](x).tolist() == [1.0, 1.0]
    with tried.input_changed("named", lambda t: 2 * t):
        _, first, second = model["named"]("n", x=x, y=x)
    assert (first.tolist(), second.tolist()) == ([2.0, 2.0], [1.0, 1.0])
    with tried.output_changed("relu", lambda t: 3 * t):
        assert model["relu"](x).tolist() == [3.0, 3.0]
    with tried.output_changed("named", lambda t: 3 * t):
        assert model["named"]("n", x, x)[1].tolist() == [1.0, 1.0], "it returns no tensor"
    assert model["relu"](x).tolist() == [1.0, 1.0]


def test_a_course_takes_batches_in_turn_and_stops_where_a_loss_is_no_number() -> None:
    tried = experiment(1.0, 2.0)
    # weights 3, 2.5, 1.5 and 1 by batches 1 and 2
    assert tried.courses.losses([0.5], False, 4) == [3.0, 5.0, 1.5, 2.0]
    assert tried.courses.losses([0.0], False, 3) == [3.0, 6.0, 3.0]
    broken = experiment(1.0, float("nan"))
    told = broken.courses.losses([0.5], False, 4)
    assert told[0] == 3.0
    assert str(told[1:]) == "[nan, nan, nan]"
    assert len(tried.courses.losses([0.0], True)) == courses.TRIAL_STEPS == 16


@pytest.mark.parametrize(
    ("group", "base", "rate"),
    [
        ({"lr": 0.1}, None, 0.1),
        ({"lr": 0.1, "initial_lr": 0.5}, None, 0.5),
        ({"lr": 0.1, "initial_lr": 0.05}, 0.2, 0.2),
    ],
)
def test_the_rate_is_that_after_the_warm_up(
    group: dict[str, float], base: float | None, rate: float
) -> None:
    optimizer = SimpleNamespace(param_groups=[group], state={})
    context = TrainingContext(base_lr=base)
    tried: Any = SimpleNamespace(context=context, optimizers=[optimizer])
    assert Courses(tried).rates == [rate]


def test_a_program_has_stepped_if_loop_or_optimiser_remember_one() -> None:
    optimizer = SimpleNamespace(param_groups=[], state={})
    tried: Any = SimpleNamespace(context=TrainingContext(step=0), optimizers=[optimizer])
    assert not Courses(tried).has_stepped
    tried.context = TrainingContext(step=1)
    assert Courses(tried).has_stepped
    tried.context, optimizer.state = TrainingContext(), {"w": 1}
    assert Courses(tried).has_stepped


@pytest.mark.parametrize(
    ("group", "factor"),
    [
        ({"momentum": 0.9}, 10.0),
        ({"momentum": 0.9, "dampening": 0.5}, 5.0),
        ({"momentum": 0.9, "dampening": 0.95}, 1.0),  # never shorter than the first
        ({"momentum": 0.0}, 1.0),
        ({"momentum": 1.0}, 1.0),
        ({}, 1.0),
    ],
)
def test_momentum_builds_up_to_the_sum_of_its_powers(
    group: dict[str, float], factor: float
) -> None:
    assert _build_up(group) == pytest.approx(factor)
    slow, fast = (SimpleNamespace(param_groups=[one]) for one in (group, {"momentum": 0.99}))
    assert Courses(SimpleNamespace(optimizers=[fast, slow])).build_up == pytest.approx(factor)  # type: ignore[arg-type]
    assert Courses(SimpleNamespace(optimizers=[])).build_up == 1.0  # type: ignore[arg-type]


def test_the_mean_of_the_last_quarter_is_where_a_course_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = experiment(1.0)
    told = [9.0] * 6 + [2.0, 4.0]
    monkeypatch.setattr(Courses, "affordable_steps", 8)
    monkeypatch.setattr(Courses, "_train", lambda self, model, optimizers, steps: told[:steps])
    assert tried.courses.loss_after_steps(lambda model: None) == 3.0
    told[:] = [7.0, 5.0, 1.0]
    assert tried.courses.loss_after_steps(lambda model: None) == 1.0, "one at least"


@pytest.mark.parametrize(("seconds", "steps"), [(0.029, 60), (0.03, 16), (1.0, 16)])
def test_where_a_step_takes_long_trials_are_short(
    monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    clock = iter([0.0, seconds])
    monkeypatch.setattr(courses.time, "process_time", lambda: next(clock))
    tried: Any = SimpleNamespace(replay=lambda: None)
    assert Courses(tried).affordable_steps == steps


def test_one_step_is_told_of_the_weights_that_a_gradient_reaches() -> None:
    tried = experiment(2.0)
    fresh, present = tried.courses.first_steps
    assert present == pytest.approx(0.5 * 2 / 3)
    assert fresh != present
    told = tried.courses.rate_evidence(4.0, 2.0, 5.0, 60)
    assert told == {
        "learning_rate": 0.5,
        "update_ratio": present,
        "update_ratio_fresh": fresh,
        "steps_taken": False,
        "before": 4.0,
        "after": 2.0,
        "loss_at_start": 5.0,
        "steps": 60,
    }
    assert experiment(0.0).courses.first_steps == (0.0, 0.0), "no gradient moves it"
