"""What a remedy is worth: small doses are named where they hurt, and only there."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import Diagnosis, TrainingContext, diagnose
from src.diagnostics.causes.gain import goes_round
from src.diagnostics.causes.harm import Course, Judge, Worth
from src.diagnostics.symptoms.replay import as_found

Batches = list[tuple[Tensor, Tensor]]


def batches(noise: bool = False, scale: float = 1.0) -> Batches:
    """Four batches of a linear target, or of one that follows from nothing."""
    torch.manual_seed(0)
    x = torch.randn(256, 6)
    y = torch.randn(256, 1) if noise else x[:, :1] - x[:, 1:2]
    return list(zip(x.split(64), (scale * y).split(64), strict=True))


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def net(*middle: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 32), nn.Tanh(), *middle, nn.Linear(32, 1))


def trained(
    model: nn.Module, data: Batches, rate: float = 1e-2, clip: float | None = None, steps: int = 30
) -> Diagnosis:
    """Train a model a little and diagnose it."""
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    for step in range(steps):
        optimizer.zero_grad()
        loss_fn(model, data[step % len(data)]).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return diagnose(model, data, loss_fn, optimizer, context=TrainingContext(clip_norm=clip))


def causes(diagnosis: Diagnosis) -> list[str]:
    return [finding.cause for finding in diagnosis.alarms]


def test_harm_is_the_loss_over_that_under_the_remedy_and_no_more_than_there_was() -> None:
    assert Worth(Course(1.0, 0.6), Course(1.0, 0.2), 60).harm == pytest.approx(3.0)
    assert Worth(Course(9.0, math.inf), Course(1.0, 0.5), 60).harm == pytest.approx(2.0)
    assert Worth(Course(1.0, 0.6), Course(1.0, math.inf), 60).harm == 0.0
    assert Worth(Course(-1.0, -2.0), Course(-1.0, -4.0), 60).harm == 0.0


@pytest.mark.parametrize(
    ("count", "held_out"), [(1, []), (2, [1]), (3, [2]), (4, [3]), (9, [3, 7]), (12, [3, 7, 11])]
)
def test_every_fourth_batch_is_judged_on_and_of_fewer_the_last(
    count: int, held_out: list[int]
) -> None:
    judge = Judge(SimpleNamespace(batches=[None] * count))  # type: ignore[arg-type]
    assert judge.held_out == held_out
    assert judge.learnt == [i for i in range(count) if i not in held_out]


def test_a_loss_that_is_next_to_nothing_either_way_does_no_harm() -> None:
    assert Worth(Course(1.0, 0.04), Course(1.0, 0.005), 60).is_harmful
    assert not Worth(Course(1.0, 0.03), Course(1.0, 0.005), 60).is_harmful


@pytest.mark.parametrize(
    ("rate", "clip", "scale", "middle", "named"),
    [
        (1e-2, None, 1.0, (), []),
        (1e-4, None, 1.0, (), ["learning_rate_too_low"]),
        (1e-2, 0.01, 1.0, (), ["overclipped"]),
        (1e-2, None, 1.0, (nn.Linear(32, 32), nn.Sigmoid()) * 2, ["vanishing"]),
    ],
    ids=["healthy", "rate / 100", "clipped", "two sigmoids"],
)
def test_a_small_dose_is_named_first_where_it_hurts(
    rate: float,
    clip: float | None,
    scale: float,
    middle: tuple[nn.Module, ...],
    named: list[str],
) -> None:
    assert causes(trained(net(*middle), batches(scale=scale), rate, clip))[:1] == named


def test_targets_ten_times_too_large_are_named_first() -> None:
    torch.manual_seed(1)
    model, data = net(), batches(scale=10.0)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(30):
        optimizer.zero_grad()
        loss_fn(model, data[step % 4]).backward()
        optimizer.step()
    found = diagnose(model, data, loss_fn, optimizer)
    assert causes(found)[:1] == ["misscaled_target"]
    assert found.findings[0].evidence["harm"] >= 1.5


def test_features_twenty_times_too_large_are_named_first() -> None:
    data = [(x * torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 20.0]), y) for x, y in batches()]
    assert causes(trained(net(), data))[:1] == ["misscaled_input"]


def test_weights_four_times_too_large_are_named_first() -> None:
    model = net(nn.Linear(32, 32), nn.Tanh())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.dim() > 1 else 1.0)
    assert causes(trained(model, batches()))[:1] == ["large_init"]


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_where_nothing_can_be_learnt_no_rate_is_too_low(rate: float) -> None:
    assert causes(trained(net(), batches(noise=True), rate)) == []


def test_before_its_first_step_a_program_has_lost_nothing() -> None:
    assert causes(trained(net(), batches(), rate=1e-4, steps=0)) == []


def test_a_few_dead_features_are_worth_knowing_and_no_alarm_in_a_model_that_has_learned() -> None:
    data = [(torch.cat([x, 0 * x[:, :2]], 1), y) for x, y in batches()]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
    assert "dead_input" in causes(trained(model, data, rate=1e-4, steps=3))
    told = trained(model, data, steps=200)
    assert causes(told) == []
    assert [finding.cause for finding in told.findings] == ["dead_input"]


def test_large_weights_go_round_where_they_are_those_of_one_recurrent_layer() -> None:
    model = nn.ModuleDict({"rnn": nn.RNN(6, 8, 2), "head": nn.Linear(8, 1)})
    seen = as_found(model)
    inner, outer = "rnn.weight_ih_l0", "rnn.weight_hh_l1"
    assert goes_round(seen, [outer])
    assert goes_round(seen, [inner, outer])
    assert not goes_round(seen, [inner])
    assert not goes_round(seen, [outer, "head.weight"])
