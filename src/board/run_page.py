"""One run on TensorBoard's pages, besides its curves: config, HParams row, forecasts, result.

The HParams row is written so that every run has one, also one that failed. Torch's
`SummaryWriter.add_hparams` takes hyperparameters and metrics together at the end, in an event file
of its own. The page only needs the columns and values at the start and a status at the end; metrics
are read from ordinary scalars by their tags.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

import yaml
from torch import Tensor

from src.diagnostics.lightning.log_writer import LogWriter

GROUPS = ("data", "model", "pooling", "pooling_prior", "norm", "dropout", "output", "optimizer")
FIRST = {"model", "norm", "pooling", "pooling_prior", "seed"}
"""What is compared most: TensorBoard shows five columns until one asks for more."""
METRICS = {
    "best/val_loss": "best val loss (scaled)",
    "test/rmse": "test RMSE (price)",
    "test/rmse_ratio": "test RMSE / RMSE of tomorrow = today",
    "test/skill": "test skill (1 - ratio)",
    "test/directional_accuracy": "test directional accuracy (share)",
}
"""Scalars that the HParams page compares, and what it calls them."""
SERIES_METRICS = ("rmse", "mape", "directional_accuracy")
SERIES_PARTS = {"model": "model", "tomorrow = today": "baseline", "ratio": "ratio"}


class RunPage:
    """One run on the pages of TensorBoard; scalars and hyperparameters go to other loggers too.

    A context manager around the run: what the run is shows from its first second, how it ended also
    when it failed. Every run has the same HParams columns, so all rows show.

    Args:
        trainer: the run's Trainer.
        report: what report.json says, kept up to date by the run: `run`, `config`, `choices`, `seed`
            at the start; `status`, and `reason`, `best`, `test` as far as it got, at the end.
        overrides: the command line's items.
        begins: whether this is the run's beginning; one that goes on has its first texts already.

    | tag | meaning | unit | frequency |
    |---|---|---|---|
    | run/config | text: the config, resolved | | at the start |
    | run/data | text: what is odd in the prices, where anything is | | at the start |
    | run/result | text: status, scores against "tomorrow = today" | | at the end |
    | run/profile | text: the profiler's summary, where one was asked for | | at the end |
    | run/series | text: scores of each of several series | | at the end |
    | 1_story | image: loss, gradients, findings and pooling weights | | at the end |
    | 2_forecasts, 2_forecasts/<ticker> | image: forecasts of the test part against the prices that came | price | at the end |
    | best/val_loss | lowest validation loss | scaled | at the end |
    | test/rmse_ratio | test RMSE / RMSE of "tomorrow = today" | ratio | at the end |
    """  # noqa: E501

    def __init__(
        self,
        trainer: Any,
        report: Mapping[str, Any],
        overrides: Sequence[str],
        begins: bool = True,
    ) -> None:
        self._trainer = trainer
        self._begins = begins
        self._report = report
        self._columns = hyperparameters(report, overrides)
        self._board = LogWriter(())

    def __enter__(self) -> Self:
        """Show what is about to run."""
        self._board = LogWriter(self._trainer.loggers if self._trainer.is_global_zero else ())
        if not self._begins:
            return self
        self._board.layout()
        self._board.summary(columns_summary(self._columns, FIRST, METRICS))
        self._board.summary(start_summary(self._columns, time.time()))
        self._board.hyperparameters(self._columns)
        config = yaml.safe_dump(self._report["config"], sort_keys=False)
        self._board.text("run/config", f"```\n{config}```", 0)
        if warnings := self._report.get("data", {}).get("warnings"):
            self._board.text("run/data", "\n".join(f"- {line}" for line in warnings), 0)
        return self

    def __exit__(self, *_: object) -> None:
        """Show how it ended, and end every logger's record."""
        step, succeeded = self._trainer.global_step, self._report["status"] == "finished"
        self._board.scalars(final_scores(self._report), step)
        self._board.text("run/result", result_text(self._report), step)
        if rows := series_cells(self._report):
            self._board.text("run/series", markdown_rows(rows), step)
        profile = self._trainer.profiler.summary() if succeeded else ""
        if profile:
            self._board.text("run/profile", f"```\n{profile.strip()}\n```", step)
        self._board.summary(end_summary(succeeded, time.time()))
        for logger in self._trainer.loggers:
            logger.finalize("success" if succeeded else "failed")
            if hasattr(logger, "close"):
                logger.close()

    def show(self, tag: str, picture_chw: Tensor) -> None:
        """Show a picture (3, height, width) of uint8."""
        self._board.image(tag, picture_chw, self._trainer.global_step)


def hyperparameters(report: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, str | float]:
    """Return a run's HParams columns: strings and numbers, the same ones for every run.

    Args:
        report: the run's `choices`, `config` and `seed`.
        overrides: the command line's items; those without a column of their own go into `other`.

    >>> report = {"choices": {"model": "lstm"}, "config": {"optimizer": {"lr": 0.1}}, "seed": 0}
    >>> columns = hyperparameters(report, ["model=lstm", "trainer.max_epochs=2"])
    >>> columns["model"], columns["norm"], columns["lr"], columns["other"]
    ('lstm', '-', 0.1, 'max_epochs=2')
    """
    choices, config = report["choices"], report["config"]
    shown = {*choices, "seed", "name", "log_dir", "resume", "optimizer.lr", "data.batch_size"}
    others = [item.lstrip("+~") for item in overrides]
    others = [item for item in others if item.partition("=")[0].split("@")[0] not in shown]
    return {
        **{group: str(choices.get(group) or "-") for group in GROUPS},
        "lr": float(config.get("optimizer", {}).get("lr") or 0),
        "batch_size": float(config.get("data", {}).get("batch_size") or 0),
        "seed": str(report["seed"]),
        "other": " ".join(_short(item) for item in others) or "-",
    }


def _short(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key.rsplit('.', 1)[-1]}={value}"


def final_scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalars that stand for a whole run, as far as it got."""
    scores = {
        "best/val_loss": report.get("best", {}).get("val_loss"),
        "test/rmse_ratio": report.get("test", {}).get("ratio", {}).get("rmse"),
    }
    return {tag: value for tag, value in scores.items() if value is not None}


def result_text(report: Mapping[str, Any]) -> str:
    """Return how a run ended, as Markdown."""
    lines = [f"**{report['status']}**: {report['experiment']}/{report['run']}"]
    if "reason" in report:
        lines.append(f"reason: `{report['reason']}`")
    if "test" in report:
        test = report["test"]
        rows = [("test", "model", "tomorrow = today", "ratio"), ("---", "---:", "---:", "---:")]
        rows += [
            (name, *(f"{test[part][name]:.4g}" for part in ("model", "baseline", "ratio")))
            for name in test["model"]
        ]
        lines.append(markdown_rows(rows))
    ended = time.strftime("%Y-%m-%d %H:%M:%S")
    return "\n\n".join([*lines, f"ended {ended}"])


def series_cells(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the scores of each of several series, and over all, as rows of a Markdown table."""
    test = report.get("test", {})
    if "series" not in test:
        return []
    names = [name for name in SERIES_METRICS if name in test["model"]] or list(test["model"])
    rows = [("series", "windows", *(f"{m}, {p}" for m in names for p in SERIES_PARTS))]
    rows.append(("---", *["---:"] * (len(rows[0]) - 1)))
    windows = sum(scores["windows"] for scores in test["series"].values())
    for ticker, scores in [*test["series"].items(), ("all", {**test, "windows": windows})]:
        cells = (scores[part][name] for name in names for part in SERIES_PARTS.values())
        rows.append((ticker, f"{scores['windows']}", *(f"{cell:.4g}" for cell in cells)))
    return rows


def markdown_rows(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table; the second says how columns are aligned."""
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def columns_summary(
    values: Mapping[str, str | float], first: Collection[str], metrics: Mapping[str, str]
) -> Any:
    """Return the summary that names the page's columns; TensorBoard reads any one run's.

    Args:
        values: a run's hyperparameters, for their names and types.
        first: those that come first.
        metrics: scalar tags to compare, each with the heading of its column.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata

    experiment = api_pb2.Experiment()
    for name, value in values.items():
        kind = "DATA_TYPE_STRING" if isinstance(value, str) else "DATA_TYPE_FLOAT64"
        experiment.hparam_infos.add(
            name=name, type=api_pb2.DataType.Value(kind), differs=name in first
        )
    for tag, heading in metrics.items():
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag), display_name=heading)
    return _summary(metadata.EXPERIMENT_TAG, experiment=experiment)


def start_summary(values: Mapping[str, str | float], started: float) -> Any:
    """Return the summary that begins a row.

    Args:
        values: the run's hyperparameters.
        started: seconds since 1970.
    """
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in values.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=start)


def end_summary(succeeded: bool, ended: float) -> Any:
    """Return the summary that gives a row its status.

    Args:
        succeeded: whether the run finished.
        ended: seconds since 1970.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=end)


def _summary(tag: str, **content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**content)
    summary = Summary()
    summary.value.add(
        tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary
