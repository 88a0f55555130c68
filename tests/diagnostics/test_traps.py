"""What looks like a fault and is none: nothing but benign findings may come of it."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.diagnostics import TrainingContext
from tests.diagnostics.faults import (
    BATCH,
    FEATURES,
    STEPS,
    WIDTH,
    Case,
    healthy,
    make_batches,
    with_weights,
)


class Tokens(nn.Module):
    """Embed tokens, average the real ones, read out."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, WIDTH, padding_idx=0, sparse=sparse)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        real = (ids != 0)[..., None]
        return self.head((self.embed(ids) * real).sum(1) / real.sum(1))


class Experts(nn.Module):
    """The best of 64 experts by a learned gate, either called alone or weighted by zero."""

    def __init__(self, dense: bool) -> None:
        super().__init__()
        self.dense = dense
        self.gate = nn.Linear(FEATURES, 64)
        self.experts = nn.ModuleList(nn.Linear(FEATURES, WIDTH) for _ in range(64))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x.mean(1)
        weight, chosen = self.gate(x).softmax(-1).topk(1)
        if self.dense:
            gates = torch.zeros(len(x), 64).scatter(1, chosen, weight)
            hidden = sum(gates[:, i, None] * e(x) for i, e in enumerate(self.experts))
        else:
            rows = [weight[b] * self.experts[int(chosen[b])](x[b]) for b in range(len(x))]
            hidden = torch.stack(rows)
        return self.head(hidden)


class AttentionPool(nn.Module):
    """Scores that start at zero: uniform attention."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.score = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 1)
        self.logits = nn.Parameter(torch.zeros(STEPS))
        self.head = nn.Linear(2 * WIDTH, 1)
        nn.init.zeros_(self.score.weight)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self.project(x)
        pooled = (self.score(hidden).softmax(1) * hidden).sum(1)
        learned = (self.logits.softmax(0)[:, None] * hidden).sum(1)
        return self.head(torch.cat([pooled, learned], dim=-1))


def tokens(sparse: bool) -> Case:
    torch.manual_seed(0)
    ids = [torch.randint(1, 200, (BATCH, STEPS)) for _ in range(3)]
    for batch in ids:
        batch[:, 7:] = 0
    return Case(Tokens(sparse), [{"x": i, "y": torch.randn(BATCH, 1)} for i in ids])


def one_sample_batches() -> Case:
    case = healthy()
    first = case.batches[0]
    batches = [{key: value[i : i + 1] for key, value in first.items()} for i in range(4)]
    return replace(case, batches=batches)


def rare_one_hot() -> Case:
    case = healthy()
    for number, batch in enumerate(case.batches):
        categories = torch.arange(BATCH * STEPS).reshape(BATCH, STEPS) % 100
        batch["x"][..., 4:] = (categories[..., None] == torch.arange(FEATURES - 4)).float()
        batch["x"][..., -1] = 0.0
        batch["x"][..., -2] *= number == 0
    return case


def standardised(events: dict[int, int], number: int) -> Case:
    """Set features to -0.03 but in one step of one batch of eight, more rows than are kept."""
    case = replace(healthy(), batches=make_batches(count=8))
    for feature, step in events.items():
        for batch in case.batches:
            batch["x"][..., feature] = -0.03
        case.batches[number]["x"][:, step, feature] = 30.0
    return case


def warm_up() -> Case:
    case = healthy()
    assert case.optimizer is not None
    torch.optim.lr_scheduler.LambdaLR(case.optimizer, lambda step: step / 1000)
    return case


def frozen_backbone() -> Case:
    case = healthy()
    case.model.encoder.requires_grad_(False)
    rest = [p for p in case.model.parameters() if p.requires_grad]
    return replace(case, optimizer=torch.optim.Adam(rest, lr=1e-3))


def rectified() -> Case:
    torch.manual_seed(0)
    layers = [m for _ in range(4) for m in (nn.Linear(64, 64), nn.ReLU())]
    body = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES * STEPS, 64), *layers, nn.Linear(64, 1))

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return self.body(x)

    return Case(Flat(), make_batches())


def balanced_classes() -> Case:
    case = healthy(outputs=3)
    for batch in case.batches:
        batch["y"] = torch.arange(BATCH) % 3
    return replace(case, loss=F.cross_entropy)


def reachable_sigmoid() -> Case:
    case = healthy()
    case.model.output = nn.Sigmoid()
    for batch in case.batches:
        batch["y"] = batch["y"].sigmoid()
    return case


def after_a_step() -> Case:
    case = healthy()
    case.step(1)
    return replace(case, context=TrainingContext(clip_norm=1.0, step=1, loss_scale=65536.0))


TRAPS: dict[str, Callable[[], Case]] = {
    "padding index and unseen words": lambda: tokens(False),
    "sparse embedding gradients": lambda: tokens(True),
    "experts weighted by zero": lambda: Case(Experts(True), make_batches()),
    "experts never called": lambda: Case(Experts(False), make_batches(count=1)),
    "ordinary ReLU sparsity": rectified,
    "deliberate freezing": frozen_backbone,
    "rare one-hot features": rare_one_hot,
    "standardised events too rare for the sample": lambda: standardised({3: 2, 5: 7}, number=7),
    "warm-up from rate zero": warm_up,
    "batch size one": one_sample_batches,
    "uniform attention": lambda: Case(AttentionPool(), make_batches()),
    "classification": balanced_classes,
    "sigmoid within range": reachable_sigmoid,
    "gradient of the last step": after_a_step,
    "evaluation mode": lambda: with_weights(lambda model: model.eval()),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_trap_raises_no_alarm(trap: str) -> None:
    diagnosis = TRAPS[trap]().diagnose()
    assert not diagnosis.alarms, str(diagnosis)


def test_copies_of_a_standardised_rare_feature_are_found_where_its_events_are_seen() -> None:
    (finding,) = standardised({3: 2, 5: 2, 8: 7}, number=0).diagnose().alarms
    assert (finding.cause, finding.indices) == ("duplicate_input", (3, 5))
    assert finding.confirmed


@pytest.mark.parametrize("half", [False, True])
def test_key_third_of_attention_bias_is_structural_and_confirmed(half: bool) -> None:
    case = dataclasses.replace(healthy(), half=half)
    findings = [f for f in case.diagnose() if f.cause == "structural"]
    assert [f.parameter for f in findings] == ["encoder.self_attn.in_proj_bias"]
    (finding,) = findings
    assert finding.benign
    assert finding.confirmed
    assert finding.fraction == pytest.approx(1 / 3)
    assert finding.indices == tuple(range(WIDTH, 2 * WIDTH))


def test_unvisited_vocabulary_rows_are_sparse_rows() -> None:
    case = tokens(False)
    seen = torch.cat([batch["x"].flatten() for batch in case.batches]).unique()
    (finding,) = [f for f in case.diagnose() if f.cause == "sparse_rows"]
    assert finding.benign
    assert set(finding.indices) == set(range(200)) - set(seen.tolist()) | {0}


def test_experts_without_samples_are_sparse_rows() -> None:
    causes = {f.cause for f in Case(Experts(False), make_batches(count=1)).diagnose()}
    assert "sparse_rows" in causes
