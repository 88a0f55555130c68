"""The folds of a walk-forward evaluation as a table."""

from collections.abc import Mapping
from typing import Any

from src.reporting.text import TextTable, count_of, number


def fold_table(report: Mapping[str, Any]) -> TextTable:
    """Return a row per fold: when it was tested, on what it was trained, and how it did.

    Args:
        report: of a run that was put together of folds.
    """
    tuned = any(fold.get("fitting") for fold in report["folds"])
    rows = []
    for fold in report["folds"]:
        test = fold["test"]
        chosen = " ".join(f"{key}={value}" for key, value in fold.get("fitting", {}).items())
        names = (str(fold["fold"]), test["first"], test["last"], *[chosen] * tuned)
        windows = f"{fold['train']['windows']:,}"
        rows.append((*names, windows, number(fold["error"]), number(fold["ratio"])))
    headers = ("fold", "test from", "to", *["chosen"] * tuned, "training", "error", "ratio")
    over = report["over_folds"]["ratio"]
    caption = f"Ratio to the forecast without a model, over {count_of(over['n'], 'fold')}: mean "
    caption += number(over["mean"])
    if over["n"] > 1:
        caption += f", 95% t interval {number(over['low'])} to {number(over['high'])}"
    title = f"Folds of {report['run']}"
    return TextTable(title, headers, tuple(rows), 4 if tuned else 3, caption + ".")
