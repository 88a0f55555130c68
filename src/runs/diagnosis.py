"""Why gradients are dead, in a finished run or in a fresh model, and what would change it."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig
from torch import Tensor

from src.data import PriceDataModule
from src.diagnostics import diagnose, what_would_help
from src.runs.build import build_datamodule, build_module
from src.runs.folder import REPORT
from src.runs.opening import open_run
from src.runs.what_if import Replay, replay_options
from src.training.module import RegressionModule

OVERRIDES = {
    "misscaled_input": "norm=feature",
    "saturated": "norm=feature",
    "vanishing": "pooling=mean, model=lstm or a shorter data.context_length",
    "exploding": "trainer.gradient_clip_val=1.0",
    "overclipped": "trainer.gradient_clip_val=1.0",
    "underflow": "trainer.precision=bf16-mixed",
    "scaler_collapse": "trainer.precision=bf16-mixed",
    "learning_rate_too_high": "optimizer.lr",
    "learning_rate_too_low": "optimizer.lr",
}
"""What of a run's config does what the remedy of a cause asks for."""


def in_our_terms(diagnosis: Mapping[str, Any]) -> dict[str, Any]:
    """Return a diagnosis as plain values whose remedies name the options of this project."""
    findings = [dict(finding) for finding in diagnosis["findings"]]
    for finding in findings:
        if override := OVERRIDES.get(finding["cause"]):
            finding["remedy"] = f"{finding['remedy']} Here: {override}."
    return {**diagnosis, "findings": findings}


MOST_TRIED = 32
"""Training batches for trials: some are learnt from, the others judged on."""


def diagnose_run(
    ckpt_path: str, num_batches: int, trial_seconds: float | None = None
) -> dict[str, Any]:
    """Diagnose a run's checkpoint on training batches; without one, say what the run recorded.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        num_batches: training batches to replay; a finding has to hold over all of them.
        trial_seconds: time for trials of repairs; None for no trials.

    Returns:
        Plain values: `diagnosis`, `trials`, `what_if`, how many `batches` and `windows` were
        replayed, and of a run folder what was `recorded` while it trained: `alerts` and
        `gradient_history`.

    Raises:
        ValueError: the run cannot be read, or there is nothing to replay and nothing was recorded.
    """
    _check(num_batches)
    run = open_run(ckpt_path)
    recorded = _recorded(run.report) if (run.folder / REPORT).is_file() else None
    if recorded and recorded["diagnosis"] and not run.has_checkpoint:
        diagnosis = recorded["diagnosis"]
        nothing = {"batches": 0, "windows": 0, "what_if": []}
        return {**nothing, "diagnosis": diagnosis, "recorded": recorded}
    return {"recorded": recorded} | _diagnose(
        run.config, run.datamodule, run.module, run.module, num_batches, trial_seconds
    )


def diagnose_fresh(
    config: DictConfig, num_batches: int, trial_seconds: float | None = None
) -> dict[str, Any]:
    """Diagnose the model that a config describes, before any training; as `diagnose_run`.

    Args:
        config: a composed conf/train.yaml.
        num_batches: training batches to replay.
        trial_seconds: time for trials of repairs; None for no trials.

    Raises:
        ValueError: the options do not fit each other, or there is nothing to replay.
    """
    _check(num_batches)
    pl.seed_everything(config.seed, verbose=False)
    datamodule = build_datamodule(config)
    module = build_module(config, datamodule)
    return _diagnose(config, datamodule, module, None, num_batches, trial_seconds)


def _diagnose(
    config: DictConfig,
    datamodule: PriceDataModule,
    module: RegressionModule,
    trained: RegressionModule | None,
    num_batches: int,
    trial_seconds: float | None,
) -> dict[str, Any]:
    if not any(p.requires_grad for p in module.parameters()):
        raise ValueError("no gradient step moves this model: it has no gradients to diagnose")
    loader = datamodule.train_dataloader()
    taken = max(num_batches, MOST_TRIED) if trial_seconds is not None else num_batches
    tried = [batch for batch, _ in zip(loader, range(taken), strict=False)]
    batches = tried[:num_batches]
    module.train()
    optimizer = module.configure_optimizers()
    names = datamodule.feature_names
    rare = datamodule.rare_feature_names
    diagnosis = diagnose(module, batches, _loss, optimizer, feature_names=names, rare_features=rare)
    trials = None
    if trial_seconds is not None:
        found = what_would_help(
            module, tried, _loss, optimizer, seconds=trial_seconds, feature_names=names
        )
        trials = in_our_terms(found.to_dict())
    return {
        "batches": len(batches),
        "windows": sum(len(batch.x) for batch in batches),
        "diagnosis": in_our_terms(diagnosis.to_dict()),
        "trials": trials,
        "what_if": [_plain(row) for row in replay_options(config, datamodule, batches, trained)],
    }


def _loss(model: Any, batch: Any) -> Tensor:
    return model.diagnosis_loss(batch)


def _recorded(report: Mapping[str, Any]) -> dict[str, Any]:
    return {key: report.get(key) for key in ("diagnosis", "alerts", "gradient_history")}


def _check(num_batches: Any) -> None:
    if not isinstance(num_batches, int) or num_batches < 1:
        raise ValueError(f"batches must be a whole number of at least 1, got {num_batches!r}")


def _plain(row: Replay) -> dict[str, Any]:
    facts = {"group": row.group, "option": row.option, "current": row.current}
    if row.gradient is None:
        return facts | {"refused": row.refused}
    return facts | {
        "refused": "",
        "parameter": row.gradient.name,
        "zero_fraction": row.gradient.zero_fraction,
        "dead_columns": row.gradient.dead_columns,
        "distinct_columns": row.gradient.distinct_columns,
        "columns": row.gradient.shape[1],
        "gradient_norm": row.gradient_norm,
        "loss": row.loss,
    }
