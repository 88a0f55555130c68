"""What repairs change about a program, one at a time, and when there is nothing to change."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics.trials import changes, program
from src.diagnostics.trials.pairs import Activation, Pair
from src.diagnostics.trials.planted import Planted
from src.diagnostics.trials.program import NotApplicableError, OutOfTimeError, Program, train
from src.diagnostics.trials.program_facts import Facts, LossFacts, Scale


def numbers(**more: Any) -> LossFacts:
    known: dict[str, Any] = {"function": "mse_loss", "columns": 1, "classes": 0}
    return LossFacts(**{**known, "activation": None, "mean": 5.0, "std": 2.0, **more})


def mean_square(model: nn.Module, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def made(*losses: LossFacts, rate: float = 0.1, **facts: Any) -> Program:
    """Return a program of one layer, with weights of one."""
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    known = Facts(losses=losses, **facts)
    return Program(model, [optimizer], mean_square, known, (torch.ones(4, 2), torch.zeros(4, 1)))


def test_rates_decay_and_clipping_are_changed_in_every_group() -> None:
    one = made()
    one.optimizers[0].add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.5})
    changes.scale_rate(10.0)(one)
    assert [group["lr"] for group in one.optimizers[0].param_groups] == [1.0, 5.0]
    with pytest.raises(NotApplicableError, match="there is no weight decay"):
        changes.drop_decay(one)
    one.optimizers[0].param_groups[1]["weight_decay"] = 0.1
    changes.drop_decay(one)
    assert [group["weight_decay"] for group in one.optimizers[0].param_groups] == [0.0, 0.0]
    changes.clip(one)
    assert one.clip_norm == 1.0


def test_adam_takes_over_what_was_trained_in_the_models_order() -> None:
    one = made()
    other, frozen = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    one.optimizers.insert(0, torch.optim.SGD([other, frozen], 0.1))
    changes.use_adam(one)
    (adam,) = one.optimizers
    assert isinstance(adam, torch.optim.Adam)
    (group,) = adam.param_groups
    assert group["lr"] == 1e-3
    assert [id(p) for p in group["params"]] == [id(one.model.weight), id(other)]
    one.optimizers = []
    with pytest.raises(NotApplicableError, match="no parameter is trained"):
        changes.use_adam(one)


def test_every_tensor_is_handed_to_the_optimiser_at_its_largest_rate() -> None:
    one = made(rate=0.2)
    with pytest.raises(NotApplicableError, match="the optimiser holds every tensor"):
        changes.train_everything(one)
    one.model.extra = nn.Parameter(torch.ones(1), requires_grad=False)
    changes.train_everything(one)
    assert one.model.extra.requires_grad
    (optimizer,) = one.optimizers
    assert [(len(g["params"]), g["lr"]) for g in optimizer.param_groups] == [(1, 0.2), (1, 0.2)]
    bare = made()
    bare.optimizers = []
    changes.train_everything(bare)
    assert bare.optimizers[0].param_groups[0]["lr"] == 1e-3


def test_targets_that_are_numbers_are_standardised_and_classes_kept() -> None:
    one = made(numbers(), numbers(classes=3, function="cross_entropy"))
    changes.standardise_targets(one)
    assert one.retarget is not None
    pair = Pair("mse_loss", torch.zeros(2), torch.tensor([5.0, 9.0]))
    assert one.retarget(0, pair).tolist() == [0.0, 2.0]
    assert one.retarget(1, pair) is pair.target
    assert one.retarget(7, pair) is pair.target, "the last of those that are known"
    with pytest.raises(NotApplicableError, match="no target is a number"):
        changes.standardise_targets(made(numbers(classes=2)))


def test_inputs_are_standardised_where_there_are_any() -> None:
    scale = Scale(torch.tensor([1.0, 1.0]), torch.tensor([2.0, 4.0]))
    one = made(inputs={0: scale})
    changes.standardise_inputs(one)
    (change,) = one.change_batch
    x, y = change((torch.tensor([[3.0, 9.0]]), torch.ones(1, 1)))
    assert (x.tolist(), y.tolist()) == ([[1.0, 2.0]], [[1.0]])
    with pytest.raises(NotApplicableError, match="no input is a tensor of numbers"):
        changes.standardise_inputs(made())


def test_the_natural_loss_leaves_activations_out_and_gives_each_class_an_output() -> None:
    sigmoid = Activation("sigmoid", 1)
    one = made(numbers(activation=sigmoid), numbers(classes=3))
    held = one.model = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(4, 1), nn.Linear(4, 2))
    one.optimizers = [torch.optim.Adam(held.parameters(), 0.1)]
    old = held[2].weight
    one.optimizers[0].state[old] = {"step": 1}
    changes.use_natural_loss(one)
    assert one.natural
    assert one.skipped == frozenset({sigmoid})
    assert (held[0].out_features, held[2].out_features, held[2].in_features) == (1, 3, 4)
    params = one.optimizers[0].param_groups[0]["params"]
    assert any(p is held[2].weight for p in params)
    assert not any(p is old for p in params)
    assert old not in one.optimizers[0].state
    shown = held[2](torch.ones(2, 4))
    assert one.logits is shown
    with pytest.raises(NotApplicableError, match="no predictions and targets were seen"):
        changes.use_natural_loss(made())
    wide = made(numbers(classes=3))
    wide.model = nn.Linear(2, 2)
    with pytest.raises(NotApplicableError, match="no last layer that could have 3 outputs"):
        changes.use_natural_loss(wide)


def softened(function: Any, x: Tensor, one: Program | None = None) -> Tensor:
    one = one or made()
    changes.soften_units(one)
    with one.around[0](one.model):
        return function(x)


def test_rectifiers_leak_a_tenth_and_steps_let_gradients_through() -> None:
    x = torch.tensor([-1.0, 0.6], requires_grad=True)
    for rectifier in (torch.relu, F.relu6, lambda x: x.clamp_min(0.0), lambda x: F.relu(input=x)):
        assert softened(rectifier, x).tolist() == pytest.approx([-0.1, 0.6])
    assert softened(torch.tanh, x).tolist() == torch.tanh(x).tolist()
    rounded = softened(torch.round, x)
    assert rounded.tolist() == [-1.0, 1.0]
    (slope,) = torch.autograd.grad(rounded.sum(), x)
    assert slope.tolist() == [1.0, 1.0]
    assert not softened(torch.round, x.detach()).requires_grad


def test_an_activation_that_is_left_out_in_any_case_is_not_softened() -> None:
    last = Activation("relu", 1)
    one = made(numbers(activation=last))
    one.skipped = frozenset({last})
    x = torch.tensor([-1.0])
    assert softened(lambda x: torch.relu(x) + torch.relu(x), x, one).tolist() == [
        pytest.approx(-0.1)
    ]
    again = made(numbers(activation=last))
    assert softened(lambda x: torch.relu(x) + torch.relu(x), x, again).tolist() == [
        pytest.approx(-0.2)
    ]


def test_fresh_weights_come_with_a_fresh_optimiser() -> None:
    one = made()
    one.optimizers[0].state[one.model.weight] = {"step": 1}
    changes.draw_afresh(one)
    assert one.model.weight.tolist() != [[1.0, 1.0]]
    assert not one.optimizers[0].state


def test_state_is_put_back_but_for_the_mode() -> None:
    one = made()
    one.model.seen = 1
    changes.keep_no_state(one)
    with one.around[0](one.model):
        one.model.seen = 2
        one.model.training = False
    assert (one.model.seen, one.model.training) == (1, False)


def test_a_step_is_clipped_over_all_parameters_that_are_trained() -> None:
    one = made(rate=1.0)
    batch = torch.ones(4, 2), torch.zeros(4, 1)
    assert one.step(batch) == 4.0  # (1 + 1)^2, slope 4 each
    assert one.model.weight.tolist() == [[-3.0, -3.0]]
    nn.init.ones_(one.model.weight)
    one.clip_norm = 0.5**0.5
    one.step(batch)
    assert one.model.weight[0].tolist() == pytest.approx([0.5, 0.5], rel=1e-4)
    still = made()
    still.loss_fn = lambda model, batch: torch.tensor(3.0)
    assert still.step(batch) == 3.0


def test_without_an_optimiser_adam_trains_a_copy_and_a_warm_up_is_over() -> None:
    model = nn.Linear(2, 1).eval()
    copied = Program.copied(model, [], mean_square, Facts(), None)
    assert copied.model is not model
    assert copied.model.training
    assert copied.optimizers[0].param_groups[0]["lr"] == 1e-3
    model.requires_grad_(False)
    assert Program.copied(model, [], mean_square, Facts(), None).optimizers == []
    warm = torch.optim.SGD(nn.Linear(2, 1).parameters(), 0.1)
    warm.param_groups[0]["initial_lr"] = 0.5
    one = Program.copied(model, [warm], mean_square, Facts(), None)
    assert one.optimizers[0].param_groups[0]["lr"] == 0.5
    warm.state[warm.param_groups[0]["params"][0]] = {"step": 1}
    two = Program.copied(model, [warm], mean_square, Facts(), None)
    assert two.optimizers[0].param_groups[0]["lr"] == 0.1


class Counted:
    """A program whose losses and skills are made up."""

    def __init__(self, losses: list[float], skills: list[float]) -> None:
        self.losses, self.skills, self.taken = losses, skills, list[int]()

    def step(self, batch: int) -> float:
        self.taken.append(batch)
        return self.losses[len(self.taken) - 1]

    def judged(self, batches: Any) -> float:
        assert batches == ["held out"]
        return self.skills.pop(0)


def trained(
    losses: list[float], skills: list[float], **more: Any
) -> tuple[dict[int, float], list[int]]:
    one: Any = Counted(losses, skills)
    told = train(one, [5, 6], ["held out"], [1, 3, 4], **more)
    return told, one.taken


def test_a_training_is_judged_at_its_marks_and_ends_where_it_is_enough() -> None:
    assert trained([1.0] * 4, [0.1, 0.2, 0.3]) == ({1: 0.1, 3: 0.2, 4: 0.3}, [5, 6, 5, 6])
    enough = trained([1.0] * 4, [0.1, 0.2, 0.3], enough=0.2)
    assert enough == ({1: 0.1, 3: 0.2}, [5, 6, 5])
    told, taken = trained([1.0, math.nan], [0.1])
    assert str(told) == "{1: 0.1, 3: nan, 4: nan}"
    assert taken == [5, 6]
    with pytest.raises(OutOfTimeError):
        trained([1.0] * 4, [0.1, 0.2, 0.3], deadline=0.0)


def planted(steps: str = "all", **facts: Any) -> tuple[Planted, list[Any]]:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(64, 5, 2, generator=generator), torch.zeros(64, 1)) for _ in range(2)]
    batches[0][0][:, 4], batches[1][0][:, 4] = 0.0, 0.0  # the last step says nothing
    known = Facts(targets=frozenset({1}), losses=(numbers(**facts),))
    return Planted(known, batches, steps), batches


def test_a_planted_target_is_a_standardised_linear_function_of_all_steps_or_the_last_one() -> None:
    for steps in ("all", "last"):
        plant, batches = planted(steps)
        found = [
            plant._retarget(0, Pair("mse_loss", batch[1], batch[1]))
            for batch in batches
            if plant._note(batch) is batch
        ]
        target = torch.cat(found)
        assert target.shape == (128, 1)
        assert float(target.mean()) == pytest.approx(0.0, abs=1e-5)
        assert float(target.std()) == pytest.approx(1.0, rel=1e-4)
        x = torch.cat([batch[0] for batch in batches])
        features = x.mean(1) if steps == "all" else x[:, 3]
        columns = torch.cat([features, torch.ones(128, 1)], 1)
        fitted = columns @ torch.linalg.lstsq(columns, target).solution
        torch.testing.assert_close(fitted, target, rtol=1e-3, atol=1e-3)
    assert planted("last")[0].step == -2


@pytest.mark.parametrize(
    ("classes", "target", "labels"),
    [
        (1, torch.zeros(64, 1), {0.0, 1.0}),
        (2, torch.zeros(64).long(), {0, 1}),
        (4, torch.zeros(64).long(), {0, 1, 2, 3}),
        (4, torch.zeros(64, 1), {0.0, 1.0, 2.0, 3.0}),
        (0, torch.zeros(64).long(), {0, 1}),
    ],
)
def test_of_classes_all_are_planted(classes: int, target: Tensor, labels: set[float]) -> None:
    plant, batches = planted(classes=classes)
    plant._note(batches[0])
    found = plant._retarget(3, Pair("cross_entropy", torch.zeros(64, 1), target))
    assert set(found.flatten().tolist()) == labels
    assert (found.dtype, found.shape) == (target.dtype, target.shape)


def test_where_samples_cannot_be_told_nothing_is_planted() -> None:
    plant, batches = planted()
    plant._note(batches[0])
    for target in (torch.tensor(1.0), torch.zeros(63, 1)):
        with pytest.raises(NotApplicableError, match="not in the order of the samples"):
            plant._retarget(0, Pair("mse_loss", target, target))
    with pytest.raises(NotApplicableError, match="no linear function of the inputs"):
        Planted(Facts(targets=frozenset({0})), [(torch.zeros(4, 1),)])
    one: Any = SimpleNamespace(change_batch=["other"], retarget=None)
    plant.plant(one)
    assert one.change_batch == [plant._note, "other"]
    assert one.retarget == plant._retarget
    assert program.NATURAL[0] == "mse_loss"
