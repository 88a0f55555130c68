"""Any module, any batch, any loss: layers, shapes of batches, optimisers, precision."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import TrainingContext, diagnose


def mean_square(model: nn.Module, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def pairs(*shape: int, count: int = 3) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(16, *shape), torch.randn(16, 1)) for _ in range(count)]


class Squeeze(nn.Module):
    """Average whatever is between batch and features."""

    def __init__(self, body: nn.Module, axis: int | tuple[int, ...], width: int = 8) -> None:
        super().__init__()
        self.body, self.axis, self.head = body, axis, nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out.mean(self.axis))


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 1), (6,)),
    "conv1d": (lambda: Squeeze(nn.Conv1d(6, 8, 3), -1), (6, 10)),
    "conv2d": (lambda: Squeeze(nn.Conv2d(6, 8, 3), (-2, -1)), (6, 5, 5)),
    "depthwise": (
        lambda: Squeeze(nn.Sequential(nn.Conv1d(6, 6, 3, groups=6), nn.Conv1d(6, 8, 1)), -1),
        (6, 10),
    ),
    "rnn": (lambda: Squeeze(nn.RNN(6, 8, batch_first=True), 1), (10, 6)),
    "two-way lstm": (
        lambda: Squeeze(nn.LSTM(6, 4, 2, batch_first=True, bidirectional=True), 1),
        (10, 6),
    ),
    "gru": (lambda: Squeeze(nn.GRU(6, 8, 2, batch_first=True, dropout=0.3), 1), (10, 6)),
    "encoder": (
        lambda: Squeeze(
            nn.Sequential(
                nn.Linear(6, 8),
                nn.TransformerEncoder(
                    nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"),
                    num_layers=2,
                ),
            ),
            1,
        ),
        (10, 6),
    ),
    "norms": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(6),
            nn.Linear(6, 8),
            nn.LayerNorm(8),
            nn.SiLU(),
            nn.Linear(8, 8),
            nn.RMSNorm(8),
            nn.Linear(8, 1),
        ),
        (6,),
    ),
    "weight norm": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 1)
        ),
        (6,),
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [True, False])
def test_fresh_model_is_healthy_and_dead_features_are_found(name: str, train: bool) -> None:
    torch.manual_seed(0)
    build, shape = MODELS[name]
    model, batches = build().train(train), pairs(*shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    assert not diagnose(model, batches, mean_square, optimizer).alarms
    axis = 1 if name.startswith(("conv", "depth")) else -1
    for x, _ in batches:
        x.select(axis, 2).zero_()
    worst = diagnose(model, batches, mean_square, optimizer).worst
    assert worst is not None
    assert (worst.cause, worst.indices) == ("dead_input", (2,))


def test_batches_may_be_any_iterable_of_mappings() -> None:
    model = nn.Linear(6, 1)
    batches = ({"inputs": {"x": x}, "target": y, "id": ["a"]} for x, y in pairs(6))
    diagnosis = diagnose(
        model, batches, lambda net, b: F.l1_loss(net(b["inputs"]["x"]), target=b["target"])
    )
    assert diagnosis.num_batches == 3
    assert not diagnosis.alarms


def test_no_batch_is_an_error_that_shows_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"got \[\]"):
        diagnose(nn.Linear(1, 1), [], mean_square)


def test_shared_weights_and_modules_called_twice_are_healthy() -> None:
    torch.manual_seed(0)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.mix = nn.Linear(8, 8)
            self.out = nn.Linear(8, 20, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(self.mix(self.mix(self.embed(ids)).relu()))

    batches = [torch.randint(20, (16, 12)) for _ in range(3)]

    def next_token(model: nn.Module, ids: Tensor) -> Tensor:
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

    model = Tied()
    optimizer = torch.optim.Adam(model.parameters())
    assert not diagnose(model, batches, next_token, optimizer).alarms


def test_parameters_may_be_spread_over_several_optimizers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    first = torch.optim.Adam(model[0].parameters())
    last = torch.optim.SGD(model[4].parameters(), lr=0.01)
    worst = diagnose(model, pairs(6), mean_square, [first, last]).worst
    assert worst is not None
    assert (worst.cause, worst.module) == ("not_optimized", "2")


def test_custom_squared_error_is_seen_as_a_regression_loss() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    diagnosis = diagnose(model, pairs(6), lambda net, b: ((net(b[0]) - b[1]) ** 2).mean())
    assert diagnosis.worst is not None
    assert diagnosis.worst.cause == "unreachable_target"


def test_functional_output_activation_is_located_at_the_last_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    batches = [(torch.randn(32, 6), torch.arange(32) % 4) for _ in range(3)]
    diagnosis = diagnose(
        model, batches, lambda net, b: F.cross_entropy(net(b[0]).softmax(-1), b[1])
    )
    assert diagnosis.worst is not None
    assert (diagnosis.worst.cause, diagnosis.worst.module) == ("loss_mismatch", "2")


def test_classification_loss_on_a_regression_is_a_mismatch() -> None:
    torch.manual_seed(0)
    diagnosis = diagnose(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)),
        pairs(6),
        lambda net, b: F.binary_cross_entropy_with_logits(net(b[0]), b[1]),
    )
    assert diagnosis.worst is not None
    assert diagnosis.worst.cause == "loss_mismatch"


def test_mixed_precision_underflows_without_a_scale_and_not_with_one() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 1))
    batches = pairs(32)

    def loss_fn(net: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            return 1e-6 * F.mse_loss(net(batch[0]).float(), batch[1])

    bare = TrainingContext(precision="16-mixed")
    worst = diagnose(model, batches, loss_fn, context=bare).worst
    assert worst is not None
    assert (worst.cause, worst.confirmed) == ("underflow", True)
    scaled = TrainingContext(precision="16-mixed", loss_scale=2.0**20)
    assert not diagnose(model, batches, loss_fn, context=scaled).alarms


def test_weights_that_diverged_at_a_huge_rate_are_put_down_to_the_rate() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    batches = pairs(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=100.0)
    for batch in batches * 20:
        optimizer.zero_grad()
        mean_square(model, batch).backward()
        optimizer.step()
    assert not torch.isfinite(model[0].weight).all()
    worst = diagnose(model, batches, mean_square, optimizer).worst
    assert worst is not None
    assert worst.cause == "learning_rate_too_high"
