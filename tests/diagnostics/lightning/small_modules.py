"""Small LightningModules of many makes, and fits of a few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

FEATURES, DEAD = 6, (4, 5)


def loader(num_batches: int = 8, batch_size: int = 8, dead: tuple[int, ...] = DEAD) -> DataLoader:
    """Batches (x, y) in which some features are zero throughout."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_batches * batch_size, FEATURES, generator=generator)
    x[:, list(dead)] = 0
    y = x[:, :1] - 2 * x[:, 1:2] + 0.1 * torch.randn(len(x), 1, generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size)


def network() -> nn.Sequential:
    """Dropout draws random numbers, batch normalisation has buffers."""
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1)
    )


class Plain(pl.LightningModule):
    """Automatic optimisation; it logs, counts and collects as many modules do."""

    def __init__(self, make_optimizer: Callable[..., Any] = torch.optim.Adam) -> None:
        super().__init__()
        self.net = network()
        self.make_optimizer = make_optimizer
        self.seen: list[Tensor] = []
        self.calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls += 1
        loss = F.mse_loss(self.net(batch[0]), batch[1])
        self.seen.append(loss.detach())
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return self.make_optimizer(self.parameters(), lr=1e-2)


class Adversaries(pl.LightningModule):
    """Two optimisers, manual optimisation, a step of one in each of two batches."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.maker, self.judge = nn.Linear(2, FEATURES), nn.Linear(FEATURES, 1)
        self.calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.calls += 1
        for_maker, for_judge = self.optimizers()
        fake = self.maker(torch.randn(len(batch[0]), 2))
        self.toggle_optimizer(for_maker)
        loss = F.softplus(-self.judge(fake)).mean()
        for_maker.zero_grad()
        self.manual_backward(loss)
        for_maker.step()
        self.untoggle_optimizer(for_maker)
        self.toggle_optimizer(for_judge)
        verdicts = self.judge(torch.cat([batch[0], fake.detach()]))
        truth = torch.cat([torch.ones(len(fake), 1), torch.zeros(len(fake), 1)])
        loss = F.binary_cross_entropy_with_logits(verdicts, truth)
        for_judge.zero_grad()
        self.manual_backward(loss)
        for_judge.step()
        self.untoggle_optimizer(for_judge)
        self.log("judge/loss", loss)

    def configure_optimizers(self) -> Any:
        modules = (self.maker, self.judge)
        return [torch.optim.Adam(module.parameters(), lr=1e-2) for module in modules]


class Pooled(NamedTuple):
    """What a pooling returns."""

    pooled: Tensor
    weights: Tensor


class SlopedPooling(nn.Module):
    """Weights over time from logits that start as a slope."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.linspace(-1, 1, steps))

    def forward(self, hidden_btd: Tensor) -> Pooled:
        weights = self.logits.softmax(0)
        return Pooled((weights[:, None] * hidden_btd).sum(1), weights)


class PooledSequence(pl.LightningModule):
    """Reads the features as time steps, and pools over them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 4)
        self.pooling = SlopedPooling(FEATURES)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        hidden_btd = torch.tanh(self.encoder(batch[0].unsqueeze(-1)))
        loss = F.mse_loss(self.head(self.pooling(hidden_btd).pooled), batch[1])
        self.log("train/aux_loss", 0.0234)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    module: Any,
    callbacks: list[Any],
    folder: Path,
    *,
    epochs: int = 2,
    batches: DataLoader | None = None,
    package: Any = pl,
    **options: Any,
) -> Any:
    """Fit a module on a CPU, from the same seed every time, and return its Trainer."""
    torch.manual_seed(1)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    defaults = {"logger": False, "accelerator": "cpu", "devices": 1, "max_epochs": epochs}
    trainer = package.Trainer(
        callbacks=callbacks,
        default_root_dir=folder,
        enable_checkpointing=False,
        log_every_n_steps=1,
        **(quiet | defaults | options),
    )
    trainer.fit(module, batches if batches is not None else loader())
    return trainer
