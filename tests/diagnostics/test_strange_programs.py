"""Programs of a make that nothing here was tuned on: graphs, sets, hinges, dataclasses."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
