"""Programs of a make that nothing here was tuned on: graphs, sets, hinges, dataclasses."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.diagnostics import diagnose

NODES = 24


class Graph(nn.Module):
    """Two rounds in which each node hears of its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        return neighbours @ self.second(torch.tanh(neighbours @ self.first(x)))


def graph(isolated: bool) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    edges = (torch.rand(NODES, NODES) < 0.2).float() + torch.eye(NODES)
    edges = ((edges + edges.T) > 0).float()
    if isolated:
        edges[3] = edges[:, 3] = 0
    scale = edges.sum(1) ** -0.5
    x = torch.randn(NODES, 5)
    return x, scale[:, None] * edges * scale, (x[:, 0] > 0).long()


def node_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0], batch[1]), batch[2])


def test_nodes_of_a_graph_may_know_their_neighbours() -> None:
    assert not diagnose(Graph(), [graph(isolated=False)], node_loss).alarms


def test_a_loss_that_is_no_number_is_an_alarm_though_one_repair_is_not_enough() -> None:
    worst = diagnose(Graph(), [graph(isolated=True)], node_loss).worst
    assert worst is not None
    assert worst.cause == "nonfinite"


@dataclass(frozen=True)
class Bag:
    """Sets of different sizes, and a number for each."""

    sets: list[Tensor]
    target: Tensor


class Sets(nn.Module):
    """Averages what is made of the members of a set."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.detached = detached
        self.member, self.whole = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, sets: list[Tensor]) -> Tensor:
        means = torch.stack([torch.tanh(self.member(one)).mean(0) for one in sets])
        return self.whole(means.detach() if self.detached else means).squeeze(-1)


def bags() -> list[Bag]:
    torch.manual_seed(0)
    sets = [torch.randn(2 + i % 4, 3) for i in range(32)]
    bag = Bag(sets, torch.stack([one[:, 0].mean() for one in sets]))
    return [bag, bag]


@pytest.mark.parametrize("detached", [False, True])
def test_a_batch_may_be_a_dataclass_of_sets(detached: bool) -> None:
    def loss_fn(model: nn.Module, bag: Bag) -> Tensor:
        return F.mse_loss(model(bag.sets), bag.target)

    causes = [f.cause for f in diagnose(Sets(detached), bags(), loss_fn).alarms]
    assert causes == (["unused"] if detached else [])


def test_a_hinge_that_all_samples_meet_has_no_gradient_and_needs_none() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    anchor = torch.eye(4).repeat(4, 1)

    def loss_fn(model: nn.Module, batch: Tensor) -> Tensor:
        near, far = model(batch), model(-batch) - 100 * batch
        return F.triplet_margin_loss(model(batch), near, far, margin=0.1)

    assert not diagnose(model, [anchor, anchor], loss_fn).alarms


def test_no_gradient_at_all_is_never_healthy_though_two_operations_block_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 5)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        decided = model(batch[0]).sign() / 2 + 0.5
        return F.binary_cross_entropy(decided.clamp(1e-6, 1 - 1e-6), batch[1])

    found = diagnose(model, [(x, (x[:, :1] > 0).float())], loss_fn)
    assert [finding.cause for finding in found.alarms] == ["zero_gradient"]
    assert found.alarms[0].confirmed is None


@pytest.mark.parametrize("dim", [0, 1])
def test_a_log_softmax_over_the_samples_is_told_from_one_over_the_classes(dim: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 5)
    batch = (x, x[:, :3].argmax(1))
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    found = diagnose(
        model, [batch], lambda m, b: F.nll_loss(F.log_softmax(m(b[0]), dim), b[1])
    ).alarms
    assert [finding.cause for finding in found] == ["loss_mismatch"] * (dim == 0)
    assert all("over dim 1" in finding.remedy for finding in found)


class Checkpointed(nn.Module):
    """Computes its blocks again on the way back."""

    def __init__(self, reentrant: bool | None, features: int = 8) -> None:
        super().__init__()
        self.first, self.last, self.reentrant = nn.Linear(features, 16), nn.Linear(16, 1), reentrant
        block = (nn.LayerNorm(16), nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.1))
        self.blocks = nn.ModuleList(nn.Sequential(*block) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            if self.reentrant is None:
                x = x + block(x)
            else:
                x = x + checkpoint(block, x, use_reentrant=self.reentrant)
        return self.last(x)


@pytest.mark.parametrize("dead", [False, True])
def test_checkpoints_change_nothing_that_is_found(dead: bool) -> None:
    found = []
    for reentrant in (None, False, True):
        torch.manual_seed(0)
        x = torch.randn(64, 8) * torch.tensor([1.0] * 5 + [0.0 if dead else 1.0] * 3)
        model = Checkpointed(reentrant)
        batches = list(zip(x.split(16), x[:, :1].split(16), strict=True))
        told = diagnose(model, batches, lambda m, b: F.mse_loss(m(b[0]), b[1]))
        found.append([(f.id, f.confirmed, f.benign) for f in told.findings])
        calls = list[int]()
        model.blocks[0].register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        F.mse_loss(model(x), x[:, :1]).backward()
        assert len(calls) == (1 if reentrant is None else 2)  # checkpoints are taken again
    assert found[0] == found[1] == found[2]
    assert bool(found[0]) == dead


class Again(torch.autograd.Function):
    """Calls a module on the way there, and once more on the way back."""

    @staticmethod
    def forward(ctx, x, module):  # type: ignore[no-untyped-def]
        ctx.module, ctx.x = module, x.detach()
        return module(x)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        with torch.enable_grad():
            x = ctx.x.requires_grad_(True)
            torch.autograd.backward(ctx.module(x), grad)
        return x.grad, None


def test_a_function_that_calls_modules_on_the_way_back_is_no_crash() -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 4)
    model = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 1)])

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.mse_loss(model[1](Again.apply(model[0](batch[0]), nn.Tanh())), batch[1])

    assert not diagnose(model, [(x, x[:, :1])], loss_fn).alarms


class Gated(nn.Module):
    """Residual blocks whose branches begin at zero, each behind a gate of its own."""

    def __init__(self, trainable: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(3)
        )
        self.gates = nn.Parameter(torch.zeros(3)) if trainable else torch.zeros(3)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        for gate, branch in zip(self.gates, self.branches, strict=True):
            x = x + gate * branch(x)
        return self.head(x)


@pytest.mark.parametrize("trainable", [False, True])
def test_branches_behind_gates_that_open_with_the_first_step_are_no_alarm(trainable: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    found = diagnose(
        Gated(trainable), [(x, x[:, :1])], lambda m, b: F.mse_loss(m(b[0]), b[1])
    ).alarms
    assert bool(found) != trainable
