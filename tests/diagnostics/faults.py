"""One seeded fault per cause in a small net, shared by the tests of `diagnose`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import Diagnosis, TrainingContext, diagnose

FEATURES, WIDTH, STEPS, BATCH = 12, 16, 10, 16


class Net(nn.Module):
    """Project each step, encode, average over time, rectify, read out."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.project = nn.Linear(FEATURES, WIDTH)
        self.encoder = nn.TransformerEncoderLayer(WIDTH, 2, 32, 0.1, batch_first=True)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.squash = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, outputs)
        self.output: nn.Module = nn.Identity()
        self.spare: nn.Module | None = None
        self.invert = False

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden_btd = self.project(x)
        if mask is not None:
            mask = ~mask if self.invert else mask
            hidden_btd = self.encoder(hidden_btd, src_key_padding_mask=~mask)
            weights = mask.float()[..., None]
            pooled = (hidden_btd * weights).sum(1) / weights.sum(1)
        else:
            pooled = self.encoder(hidden_btd).mean(1)
        hidden = self.squash(F.relu(self.hidden(pooled))).tanh()
        return self.output(self.head(hidden))


@dataclass
class Case:
    """A model with its batches, loss, optimiser and context, healthy until a fault is put in."""

    model: nn.Module
    batches: list[dict[str, Any]]
    loss: Callable[[Tensor, Tensor], Tensor] = F.mse_loss
    optimizer: torch.optim.Optimizer | None = None
    context: TrainingContext = field(default_factory=TrainingContext)
    half: bool = False

    def loss_fn(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return self.loss(model(batch["x"], batch.get("mask")), batch["y"])

    def diagnose(self, **options: Any) -> Diagnosis:
        return diagnose(
            self.model, self.batches, self.loss_fn, self.optimizer, context=self.context, **options
        )

    def step(self, count: int = 1) -> None:
        assert self.optimizer is not None
        for number in range(count):
            self.optimizer.zero_grad()
            self.loss_fn(self.model, self.batches[number % len(self.batches)]).backward()
            self.optimizer.step()


def make_batches(seed: int = 0, count: int = 3, padded: bool = False) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    batches: list[dict[str, Any]] = []
    for _ in range(count):
        x = torch.randn(BATCH, STEPS, FEATURES, generator=generator)
        batch: dict[str, Any] = {"y": x[:, -3:, :2].sum((1, 2), keepdim=True)[:, 0]}
        if padded:
            lengths = torch.randint(2, STEPS - 2, (BATCH, 1), generator=generator)
            batch["mask"] = torch.arange(STEPS) < lengths
            x = x * batch["mask"][..., None]
        batches.append({**batch, "x": x})
    return batches


def healthy(seed: int = 0, padded: bool = False, outputs: int = 1) -> Case:
    torch.manual_seed(seed)
    model = Net(outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Case(model, make_batches(seed, padded=padded), optimizer=optimizer)


def with_x(change: Callable[[Tensor], Tensor]) -> Case:
    case = healthy()
    case.batches = [{**batch, "x": change(batch["x"].clone())} for batch in case.batches]
    return case


def with_y(change: Callable[[Tensor], Tensor]) -> Case:
    case = healthy()
    case.batches = [{**batch, "y": change(batch["y"])} for batch in case.batches]
    return case


def with_weights(change: Callable[[Any], Any], **options: Any) -> Case:
    case = healthy(**options)
    with torch.no_grad():
        change(case.model)
    return case


def set_columns(columns: slice, value: float) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x[..., columns] = value
        return x

    return change


def copy_column(x: Tensor) -> Tensor:
    x[..., 3] = 2 * x[..., 1]
    return x


def scale_column(factor: float) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x[..., 4] *= factor
        return x

    return change


def poison(x: Tensor) -> Tensor:
    x[3, 2, 7] = float("nan")
    return x


def constant_weights(model: Net) -> None:
    for layer in (model.hidden, model.squash):
        layer.weight.fill_(0.1)
        layer.bias.zero_()


def sigmoid_tower() -> Case:
    case = healthy()
    layers = [m for _ in range(12) for m in (nn.Linear(WIDTH, WIDTH), nn.Sigmoid())]
    case.model = Tower(nn.Sequential(*layers))
    return replace(case, optimizer=None)


class Tower(nn.Module):
    """A stack on the mean over time."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.project, self.body, self.head = nn.Linear(FEATURES, WIDTH), body, nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(self.body(self.project(x.mean(1))))


class LastState(nn.Module):
    """A recurrent layer read at its last step."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(rnn.hidden_size, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def long_rnn() -> Case:
    torch.manual_seed(0)
    batches = [{"x": torch.randn(4, 500, FEATURES), "y": torch.randn(4, 1)} for _ in range(2)]
    return Case(LastState(nn.RNN(FEATURES, WIDTH, batch_first=True)), batches)


def recurrent_gain() -> Case:
    torch.manual_seed(0)
    rnn = nn.RNN(FEATURES, WIDTH, batch_first=True)
    with torch.no_grad():
        nn.init.orthogonal_(rnn.weight_hh_l0, gain=2.0)
    batches = [
        {"x": 0.3 * torch.randn(BATCH, 40, FEATURES), "y": torch.randn(BATCH, 1)} for _ in range(3)
    ]
    return Case(LastState(rnn), batches)


def saturated_gates() -> Case:
    torch.manual_seed(0)
    model = LastState(nn.LSTM(FEATURES, WIDTH, batch_first=True))
    with torch.no_grad():
        for parameter in model.rnn.parameters():
            parameter.mul_(20)
    return Case(model, make_batches())


def frozen_layer() -> Case:
    case = healthy()
    case.model.hidden.requires_grad_(False)
    return case


def detached() -> Case:
    case = healthy()
    case.model.hidden.register_forward_hook(lambda module, args, output: output.detach())
    return case


def never_called() -> Case:
    case = healthy()
    case.model.spare = nn.Linear(WIDTH, WIDTH)
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=1e-3)
    return case


def left_out() -> Case:
    case = healthy()
    kept = [p for n, p in case.model.named_parameters() if not n.startswith("hidden")]
    return replace(case, optimizer=torch.optim.Adam(kept, lr=1e-3))


def half_precision() -> Case:
    case = healthy()

    def loss(preds: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(preds.float(), target) * 1e-7

    case.model.half()
    case.batches = [{**b, "x": b["x"].half()} for b in case.batches]
    return replace(case, loss=loss, optimizer=None)


def accumulated() -> Case:
    case = healthy()
    for number in range(20):
        case.loss_fn(case.model, case.batches[number % 3]).backward()
    return case


def with_rate(rate: float) -> Case:
    case = healthy()
    return replace(case, optimizer=torch.optim.Adam(case.model.parameters(), lr=rate))


def decaying() -> Case:
    case = healthy()
    optimizer = torch.optim.Adam(case.model.parameters(), lr=3e-3, weight_decay=10.0)
    batches = [{**b, "y": 3 * b["x"][..., :1].mean(1)} for b in make_batches(count=8)]
    return replace(case, batches=batches, optimizer=optimizer, context=TrainingContext(step=60))


def with_context(**facts: Any) -> Case:
    return replace(healthy(), context=TrainingContext(**facts))


def inverted_mask() -> Case:
    case = healthy(padded=True)
    case.model.invert = True
    return case


def with_output(output: nn.Module) -> Case:
    case = healthy()
    case.model.output = output
    return case


def double_softmax() -> Case:
    case = healthy(outputs=3)
    case.model.output = nn.Softmax(-1)
    case.batches = [{**b, "y": torch.arange(BATCH) % 3} for b in case.batches]
    return replace(case, loss=F.cross_entropy)


class OverBatch(nn.Module):
    """Attention pooling whose softmax runs along a chosen axis."""

    def __init__(self, dim: int, keep: int = WIDTH) -> None:
        super().__init__()
        self.dim = dim
        self.project, self.score = nn.Linear(FEATURES, keep), nn.Linear(keep, 1)
        self.head = nn.Linear(keep, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self.project(x)
        return self.head((hidden * self.score(hidden).softmax(self.dim)).sum(1))


class Remembering(nn.Module):
    """A GRU that starts from where the last batch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Tensor | None = None
        self.rnn, self.head = nn.GRU(FEATURES, WIDTH, batch_first=True), nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out, self.state = self.rnn(x, self.state)
        return self.head(out[:, -1])


class Reader(nn.Module):
    """Masked attention, then a reading of the steps."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read
        self.project = nn.Linear(FEATURES, WIDTH)
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, 0.0, batch_first=True)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = self.layer(self.project(x), src_key_padding_mask=~mask)
        return self.head(self.read(hidden))


class Attending(nn.Module):
    """Attention of which the last step is read."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 1)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = self.project(x)
        return self.head(self.attention(hidden, hidden, hidden, key_padding_mask=~mask)[0][:, 0])


class Causal(nn.Module):
    """Causal attention by hand, with a mask that is added to the scores."""

    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 1)
        self.register_buffer("mask", torch.full((STEPS, STEPS), hidden).triu(1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self.project(x)
        weights = (hidden @ hidden.transpose(1, 2) + self.mask).softmax(-1)
        return self.head(weights @ hidden).squeeze(2)


class Fixed(nn.Module):
    """An output that is a bias and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), 1)


class Rounded(nn.Module):
    """Whole numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x)


def of_model(model: nn.Module, **options: Any) -> Case:
    return Case(model, make_batches(**options))


def over_batch(dim: int) -> Case:
    torch.manual_seed(0)
    return of_model(OverBatch(dim))


def hooked(name: str, change: Callable[[Tensor], Tensor]) -> Case:
    case = healthy()
    module = case.model.get_submodule(name)
    module.register_forward_hook(lambda module, args, output: change(output))
    return case


def outside_of_the_list() -> Case:
    case = healthy()
    case.model.extra = [nn.Linear(1, 1)]
    case.model.head.register_forward_hook(lambda m, a, output: case.model.extra[0](output))
    return case


def old_optimizer() -> Case:
    case = healthy()
    case.model.hidden = nn.Linear(WIDTH, WIDTH)
    return case


def detached_loss() -> Case:
    return replace(
        healthy(), loss=lambda preds, y: F.mse_loss(preds, y).detach().requires_grad_(True)
    )


def reads_half() -> Case:
    case = healthy()
    case.model.project = nn.Linear(FEATURES // 2, WIDTH)
    case.model.project.register_forward_pre_hook(lambda m, a: (a[0][..., : FEATURES // 2],))
    return replace(case, optimizer=None)


def reads_padding() -> Case:
    torch.manual_seed(0)
    case = of_model(LastState(nn.GRU(FEATURES, WIDTH, batch_first=True)))
    for batch in case.batches:
        x = torch.zeros(BATCH, 60, FEATURES)
        x[:, :4] = batch["x"][:, :4]
        x[0] = torch.randn(60, FEATURES)
        batch["x"] = x
    return case


def sees_the_future(hidden: float) -> Case:
    torch.manual_seed(0)
    case = of_model(Causal(hidden))
    case.batches = [{**b, "y": b["x"][..., 0].cumsum(1)} for b in case.batches]
    return case


def masks_all() -> Case:
    torch.manual_seed(0)
    case = of_model(Attending(), padded=True)
    for batch in case.batches:
        batch["mask"][0] = False
    return case


def root_of_zero() -> Case:
    def loss(preds: Tensor, y: Tensor) -> Tensor:
        return ((preds - preds.detach()).square().sum().sqrt() + F.mse_loss(preds, y)).mean()

    return replace(healthy(), loss=loss)


FAULTS: dict[str, tuple[Callable[[], Case], str, str]] = {
    "zero features": (lambda: with_x(set_columns(slice(2, 10), 0.0)), "dead_input", "project"),
    "constant feature": (
        lambda: with_x(set_columns(slice(5, 6), 3.0)),
        "constant_input",
        "project",
    ),
    "copied feature": (lambda: with_x(copy_column), "duplicate_input", "project"),
    "large feature": (lambda: with_x(scale_column(1e4)), "misscaled_input", "project"),
    "small feature": (lambda: with_x(scale_column(1e-4)), "misscaled_input", "project"),
    "one NaN": (lambda: with_x(poison), "nonfinite", "project"),
    "dead ReLU": (
        lambda: with_weights(lambda m: m.hidden.bias.fill_(-10.0)),
        "dead_unit",
        "hidden",
    ),
    "one unit carries all": (
        lambda: with_weights(lambda m: m.squash.weight[:, 1:].zero_()),
        "dead_unit",
        "hidden",
    ),
    "saturated tanh": (
        lambda: with_weights(lambda m: [p.mul_(60) for p in m.squash.parameters()]),
        "saturated",
        "squash",
    ),
    "saturated gates": (saturated_gates, "saturated", "rnn"),
    "sigmoid tower": (sigmoid_tower, "vanishing", "body.10"),
    "long recurrence": (long_rnn, "vanishing", "rnn"),
    "recurrent gain": (recurrent_gain, "exploding", "rnn"),
    "constant weights": (lambda: with_weights(constant_weights), "symmetric_init", "hidden"),
    "zero weights": (
        lambda: with_weights(lambda m: m.squash.weight.zero_()),
        "zero_init",
        "squash",
    ),
    "zero norm": (
        lambda: with_weights(lambda m: m.encoder.norm1.weight.zero_()),
        "zero_init",
        "encoder.norm1",
    ),
    "zero queries and keys": (
        lambda: with_weights(lambda m: m.encoder.self_attn.in_proj_weight[: 2 * WIDTH].zero_()),
        "zero_init",
        "encoder.self_attn",
    ),
    "gain ten": (lambda: with_weights(lambda m: m.hidden.weight.mul_(10)), "large_init", "hidden"),
    "frozen layer": (frozen_layer, "frozen", "hidden"),
    "detached branch": (detached, "unused", "hidden"),
    "never called": (never_called, "unused", "spare"),
    "group left out": (left_out, "not_optimized", "hidden"),
    "half precision": (half_precision, "underflow", ""),
    "collapsing scaler": (
        lambda: with_context(loss_scales=[2.0**k for k in range(10, -6, -1)]),
        "scaler_collapse",
        "",
    ),
    "never cleared": (accumulated, "accumulating", ""),
    "tiny clipping": (lambda: with_context(clip_norm=1e-6), "overclipped", ""),
    "flat loss": (
        lambda: with_context(first_losses=(), losses=[1.0, 1.1, 0.9, 1.0] * 30),
        "not_learning",
        "",
    ),
    "huge rate": (lambda: with_rate(1.0), "learning_rate_too_high", ""),
    "tiny rate": (lambda: with_rate(1e-9), "learning_rate_too_low", ""),
    "strong decay": (decaying, "weight_decay_too_strong", ""),
    "inverted mask": (inverted_mask, "masked", "encoder.self_attn"),
    "sigmoid output": (lambda: with_output(nn.Sigmoid()), "unreachable_target", "output"),
    "ReLU output": (lambda: with_output(nn.ReLU()), "unreachable_target", "output"),
    "softmax twice": (double_softmax, "loss_mismatch", "output"),
    "unscaled target": (lambda: with_y(lambda y: 1e4 * y), "misscaled_target", "head"),
    "equal targets": (lambda: with_y(torch.ones_like), "degenerate_target", "head"),
    "softmax over the batch": (lambda: over_batch(0), "mixed_samples", ""),
    "state kept": (lambda: of_model(Remembering()), "carried_state", ""),
    "shapes broadcast": (lambda: with_y(lambda y: y[:, 0]), "broadcast", ""),
    "layer in a list": (outside_of_the_list, "unregistered", ""),
    "layer replaced": (old_optimizer, "stale_optimizer", "hidden"),
    "loss detached": (detached_loss, "detached_loss", ""),
    "half of the features": (reads_half, "ignored_input", "project"),
    "padding read": (reads_padding, "padding_read", ""),
    "mask of ones added": (lambda: sees_the_future(1.0), "future_leak", ""),
    "mean over padding": (
        lambda: of_model(Reader(lambda hidden: hidden.mean(1)), padded=True),
        "padding_leak",
        "",
    ),
    "output rounded": (lambda: with_output(Rounded()), "zero_gradient", "head"),
    "norm over one": (lambda: with_output(nn.LayerNorm(1)), "degenerate_norm", "output"),
    "root of zero": (root_of_zero, "nonfinite_gradient", ""),
    "all keys masked": (masks_all, "fully_masked", "attention"),
    "hidden ones": (lambda: hooked("hidden", torch.ones_like), "collapsed_input", "squash"),
    "dropout as a function": (
        lambda: hooked("hidden", lambda h: torch.dropout(h, 0.3, True)),
        "active_dropout",
        "hidden",
    ),
    "output a bias": (lambda: with_output(Fixed()), "constant_output", ""),
}
"""Fault -> (how to seed it, the cause to name first, the module to name)."""
