"""How a training ended, in the words of its terminal, its train.log and TensorBoard's text page."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.reporting.score_tables import scored_as
from src.reporting.text import count_of, number

WRITTEN = {
    "forecast.png": "forecasts of the test part against what came",
    "forecasts.csv": "the same, a row a bar",
    "story.png": "loss, gradients, findings and pooling weights on one page",
    "checkpoints/best.ckpt": "the weights of the best validation",
    "checkpoints/last.ckpt": "the last ones, to go on from",
    "report.json": "scores, findings, config, versions",
    "train.log": "what was said while it trained",
}
"""Files of a run that a reader may want, and what is in them."""

_MANY_ZEROS = 0.5  # of one gradient: somebody who sees that share elsewhere asks what it is


def length_line(report: Mapping[str, Any]) -> str:
    """Say what ended a training, and when it was best.

    Args:
        report: a run's: `ended_by`, `best`, `validation`, `fitting`.

    >>> length_line({
    ...     "ended_by": "trainer.max_epochs",
    ...     "best": {"epochs_trained": 2, "steps_trained": 20, "val_loss": 0.5},
    ...     "validation": [{"step": 10, "loss": 0.5, "skill": 0.02}, {"step": 20, "loss": 0.6}],
    ... })
    'Trained 2 epochs, 20 steps, until trainer.max_epochs. Best validation: 1 of 2, at step 10, loss 0.5000, RMSE 2.0% below that of "tomorrow = today".'
    """  # noqa: E501
    best, validation = report["best"], report.get("validation") or []
    if "ended_by" not in report:
        return fitting_line(report["fitting"]) if "fitting" in report else "Nothing to train."
    epochs = count_of(best["epochs_trained"], "epoch")
    to = "until " if report["ended_by"].startswith("trainer.") else "ended by "
    line = f"Trained {epochs}, {best['steps_trained']:,} steps, {to}{report['ended_by']}."
    if not validation:
        return line
    place = min(range(len(validation)), key=lambda n: validation[n]["loss"])
    found = validation[place]
    line += f" Best validation: {place + 1} of {len(validation)}, at step {found['step']:,}"
    line += f", loss {number(found['loss'])}"
    if (skill := found.get("skill")) is not None and math.isfinite(skill):
        side = f"{abs(skill):.1%} {'below' if skill >= 0 else 'above'}"
        side = side if abs(skill) >= 0.0005 else "even with"
        kind = scored_as(((report.get("config") or {}).get("data") or {}).get("target"))
        line += f', {kind.name} {side} that of "{kind.baseline}"'
    return line + "."


def fitting_line(fitting: Mapping[str, Any]) -> str:
    """Say how a model that is fitted, not trained, was tuned.

    Args:
        fitting: a report's: the options `chosen`, and all `tried` with their `val_loss`.

    >>> tried = [{"lags": 1, "val_loss": 0.5}, {"lags": 2, "val_loss": 0.25}]
    >>> fitting_line({"chosen": {"lags": 2}, "tried": tried})
    'Fitted to the training part; lags=2, the best of 2 by validation loss (0.2500 to 0.5000).'
    """
    chosen, tried = fitting["chosen"], fitting["tried"]
    if not chosen:
        return "Fitted to the training part; nothing to tune."
    options = " ".join(f"{key}={value}" for key, value in chosen.items())
    losses = [candidate["val_loss"] for candidate in tried]
    spread = f" ({min(losses):.4f} to {max(losses):.4f})" if len(tried) > 1 else ""
    best = f"the best of {len(tried)} by validation loss" if len(tried) > 1 else "the only one"
    return f"Fitted to the training part; {options}, {best}{spread}."


def gradient_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield whether the gradients are healthy, and of each finding what, where and since when.

    Args:
        report: a run's: `diagnosis`, `alerts`; one that was not watched has neither.
    """
    diagnosis = report.get("diagnosis")
    if diagnosis is None:
        return
    alarms = [finding for finding in diagnosis["findings"] if not finding["benign"]]
    batches = f"replayed batches: {diagnosis['num_batches']}"
    if not alarms and diagnosis.get("not_replayed"):
        yield f"Gradients: not known: {diagnosis['not_replayed']}."
        return
    if not alarms:
        yield f"Gradients: healthy, nothing to act on ({batches})."
        for finding in diagnosis["findings"]:
            if finding["cause"] == "structural":  # the true gradient is zero in any such model
                continue
            if (place := finding["parameter"]) and finding["fraction"] >= _MANY_ZEROS:
                share = f"{finding['fraction']:.1%} of its gradient"
                yield f"  No alarm, but worth knowing: {finding['cause']} in {place}, {share}."
        return
    yield f"Gradients: {count_of(len(alarms), 'finding')} to act on ({batches})."
    first = {_key(alert): alert["step"] for alert in reversed(report.get("alerts", ()))}
    for finding in alarms:
        place = finding["parameter"] or finding["module"] or "model"
        proof = {True: ", confirmed by intervention", False: ", not confirmed", None: ""}
        key = _key(finding)
        since = f", reported at step {first[key]:,}" if key in first else ""
        yield (
            f"  {finding['cause']} in {place}: {finding['fraction']:.1%} of its gradient"
            f"{proof[finding['confirmed']]}{since}. {finding['remedy']}".rstrip()
        )


def _key(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes two findings the same one."""
    return tuple(str(finding.get(name)) for name in ("cause", "parameter", "module", "indices"))


def written_lines(folder: Path, present: Sequence[str]) -> Iterator[str]:
    """Yield the run's folder and what of it is worth opening.

    Args:
        folder: the run's.
        present: names of files in it.
    """
    yield f"run folder: {folder}"
    for name, meaning in WRITTEN.items():
        if name in present:
            yield f"  {name:22} {meaning}"


def next_lines(
    folder: Path, log_dir: str, forecasts: bool, gradients: bool = True
) -> Iterator[str]:
    """Yield what to type next.

    Args:
        folder: the run's.
        log_dir: where all runs are.
        forecasts: whether the run forecasts prices that a market has.
        gradients: whether it was trained by steps, which can be diagnosed.
    """
    yield "Next:"
    if gradients:
        yield f"  python -m src.diagnose {folder}"
    if forecasts:
        yield f"  python -m src.predict {folder} data.path=<your prices.csv>"
    yield f"  tensorboard --logdir {log_dir}"
