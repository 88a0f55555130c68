"""Zeros that models have by construction raise no alarm; what only looks like them does."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import diagnose

STEPS, WIDTH = 6, 8


def batches(features: int = 3) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(16, STEPS, features), torch.randn(16, 1)) for _ in range(2)]


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def alarms(model: nn.Module) -> list[str]:
    return [finding.cause for finding in diagnose(model, batches(), loss_fn).alarms]


class Selection(nn.Module):
    """Weights the embeddings of several variables by a softmax over them, in a TFT's manner."""

    def __init__(self, variables: int, by_product: bool) -> None:
        super().__init__()
        self.variables, self.by_product = variables, by_product
        self.embed = nn.ModuleList(nn.Linear(1, WIDTH) for _ in range(variables))
        self.choose = nn.Linear(variables, variables)

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., : self.variables]
        weights = torch.softmax(self.choose(x), dim=-1)
        parts = [embed(x[..., i : i + 1]) for i, embed in enumerate(self.embed)]
        stacked = torch.stack(parts, dim=-1)
        if self.by_product:
            return torch.matmul(stacked, weights.unsqueeze(-1)).squeeze(-1)
        return (stacked * weights.unsqueeze(-2)).sum(dim=-1)


class Selecting(nn.Module):
    """One variable selection for all features, another for the first alone."""

    def __init__(self, by_product: bool) -> None:
        super().__init__()
        self.all, self.one = Selection(3, by_product), Selection(1, by_product)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.all(x) + self.one(x)).mean(1))


@pytest.mark.parametrize("by_product", [False, True])
def test_a_selection_among_one_variable_is_no_alarm(by_product: bool) -> None:
    found = diagnose(Selecting(by_product), batches(), loss_fn)
    assert not found.alarms
    assert [f.module for f in found if f.cause == "degenerate_norm"] == ["one"]


class WrongDimension(nn.Module):
    """Attention over time whose softmax is taken over the single score."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.score, self.head = (
            nn.Linear(3, WIDTH),
            nn.Linear(WIDTH, 1),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.embed(x))
        weights = torch.softmax(self.score(hidden), dim=-1)
        return self.head((hidden * weights).sum(dim=1))


def test_a_softmax_over_the_single_score_of_each_step_is_an_alarm() -> None:
    assert alarms(WrongDimension())[:1] == ["degenerate_norm"]


class Decoder(nn.Module):
    """A transformer whose decoder starts from one token."""

    def __init__(self, encode: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3, WIDTH)
        options = {"dropout": 0.0, "batch_first": True}
        self.encode = encode
        self.transformer = nn.Transformer(WIDTH, 2, 1, 1, 16, **options)
        self.alone = nn.TransformerEncoderLayer(WIDTH, 2, 16, **options)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.project(x)
        if self.encode:
            return self.head(self.transformer(hidden, hidden[:, -1:])[:, 0])
        return self.head(self.alone(hidden.mean(1, keepdim=True))[:, 0])


def test_a_decoder_that_starts_from_one_token_is_no_alarm() -> None:
    model = Decoder(encode=True)
    del model.alone
    assert alarms(model) == []


def test_attention_over_one_token_and_nothing_else_is_an_alarm() -> None:
    model = Decoder(encode=False)
    del model.transformer
    assert alarms(model)[:1] == ["degenerate_norm"]


class WithoutStatics(nn.Module):
    """Has a part for static features, which gets zeros where there are none."""

    def __init__(self, through: bool) -> None:
        super().__init__()
        self.through = through
        self.static = nn.Sequential(nn.Linear(4, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.body, self.head = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = self.static(x.new_zeros(len(x), 4))
        context = context if self.through else torch.zeros_like(context)
        return self.head(torch.tanh(self.body(x).mean(1) + context))


@pytest.mark.parametrize("through", [False, True])
def test_a_part_for_features_that_are_not_there_is_no_alarm(through: bool) -> None:
    assert alarms(WithoutStatics(through)) == []


class Picks(nn.Module):
    """Takes two of three features."""

    def __init__(self, places: list[int] | slice) -> None:
        super().__init__()
        self.places, self.head = places, nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x[..., self.places].mean(1))


def test_features_left_out_by_a_list_of_places_are_left_out_on_purpose() -> None:
    assert alarms(Picks([0, 2])) == []
    assert alarms(Picks(slice(0, 2))) == ["ignored_input"]


def test_gradients_on_entry_that_are_rounding_do_not_accumulate() -> None:
    model = nn.ModuleDict({n: nn.Linear(3, 1, bias=False) for n in ("lost", "also", "heard")})

    def loss(model: nn.ModuleDict, batch: tuple[Tensor, Tensor]) -> Tensor:
        x = batch[0].mean(1)
        small = 1e-12 * (model["lost"](x) + model["also"](x))
        return F.mse_loss(model["heard"](x) + small, batch[1])

    data = batches()
    loss(model, data[0]).backward()
    for name in ("lost", "also"):
        model[name].weight.grad *= 100
    found = [f.cause for f in diagnose(model, data, loss).findings]
    assert "accumulating" not in found
