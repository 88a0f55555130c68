"""Name the cause of dead gradients, in a finished run or in a fresh model.

Usage:
    python -m src.diagnose <run folder or checkpoint> [--json] [--batches 8]
    python -m src.diagnose pooling=mean norm=none [--json] [--batches 8]
"""

import argparse
import json
import sys
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from src.config import CONFIG_DIR, stop
from src.config.compose import check_command_line


def main() -> None:
    """Run the command line."""
    arguments = _parse(sys.argv[1:])
    run = [item for item in arguments.what if "=" not in item]
    overrides = [item for item in arguments.what if "=" in item]
    if run and (overrides or len(run) > 1):
        stop(f"give one run folder, or overrides alone; got {' '.join(arguments.what)}")
    if not run:
        check_command_line("train", overrides)
    try:
        result = diagnose_run(run[0] if run else None, overrides, arguments.batches)
    except ValueError as error:
        stop(str(error))
    if arguments.json:
        print(json.dumps(result, allow_nan=False))
    else:
        _print(result)


def diagnose_run(run: str | None, overrides: list[str], num_batches: int) -> dict[str, Any]:
    """Diagnose a run's best checkpoint, or a fresh model, on training batches.

    Args:
        run: a run folder or checkpoint; None for a fresh model.
        overrides: the fresh model's overrides of conf/train.yaml.
        num_batches: training batches to replay; a finding has to hold over all of them.

    Returns:
        Plain values: `diagnosis`, `what_if`, and what they are about.

    Raises:
        ValueError: the run cannot be read, or the overrides do not fit each other.
    """
    # Imported here: a slip on the command line is answered at once, without torch.
    import lightning.pytorch as pl

    from src.diagnostics import diagnose
    from src.runs.build import build_datamodule, build_module
    from src.runs.opening import open_run
    from src.runs.what_if import replay_options

    if num_batches < 1:
        raise ValueError(f"--batches must be at least 1, got {num_batches}")
    if run:
        opened = open_run(run)
        config, module, datamodule = opened.config, opened.module, opened.datamodule
        trained = module
    else:
        config, trained = _compose(overrides), None
        pl.seed_everything(config.seed, verbose=False)
        datamodule = build_datamodule(config)
        module = build_module(config, datamodule)
    loader = datamodule.train_dataloader()
    batches = [batch for batch, _ in zip(loader, range(num_batches), strict=False)]
    module.train()
    parameters = any(p.requires_grad for p in module.parameters())
    diagnosis = diagnose(
        module,
        batches,
        lambda model, batch: model.diagnosis_loss(batch),
        module.configure_optimizers() if parameters else None,
        feature_names=datamodule.feature_names,
    )
    what_if = replay_options(config, datamodule, batches, trained)
    return {
        "subject": run or " ".join(overrides) or "the default model",
        "batches": len(batches),
        "windows": sum(len(batch.x) for batch in batches),
        "diagnosis": diagnosis.to_dict(),
        "what_if": [_plain(row) for row in what_if],
    }


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m src.diagnose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", help="a run folder, or overrides of a fresh model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--batches", type=int, default=8, help="training batches to replay (8)")
    return parser.parse_args(arguments)


def _compose(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("train", overrides)


def _plain(row: Any) -> dict[str, Any]:
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


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console

    from src.reporting.run_tables import findings_view, what_if_table

    console = Console()
    shown = f"{result['batches']} training batches, {result['windows']} windows"
    console.print(f"Diagnosis of {result['subject']} on {shown}", style="bold", soft_wrap=True)
    console.print(findings_view(result["diagnosis"]))
    if result["what_if"]:
        console.print(what_if_table(result["what_if"]))


if __name__ == "__main__":
    main()
