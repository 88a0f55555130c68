"""Write to whatever loggers a Trainer has, straight to the event file where there is one.

Lightning's `self.log` walks every metric at each call, and one TensorBoard event per scalar costs
more than the measurement it shows. All scalars of one step go into one event here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def _lines(pattern: str) -> list[Any]:
    """Return a chart of every curve whose tag matches."""
    return ["Multiline", [pattern]]


def _share(pattern: str) -> list[Any]:
    """Return one whose axis goes from 0 to 1."""
    return _lines(rf"{pattern}$|zeros/axis")


LAYOUT = {
    "1 Does it learn?": {
        "training loss": _lines(r"(?!val|test|best|.*aux).*loss(_step|_epoch)?$"),
        "validation loss": _lines(r"(?!.*aux)val.*loss(_step|_epoch)?$"),
        "skill against tomorrow = today; above 0 is better": _lines(r"val/skill$"),
    },
    "2 Are its gradients alive?": {
        "zeros in the first weight's gradient": _share("zeros/first_weight"),
        "the part in dead columns: features": _share("zeros/first_weight_in_dead_columns"),
        "the part in dead rows: units": _share("zeros/first_weight_in_dead_rows"),
        "the rest, scattered": _share("zeros/first_weight_scattered"),
        "most zeros in any weight's gradient": _share("zeros/most_of_any_weight"),
        "norm of all gradients": _lines(r"grad_norm_total$"),
    },
    "3 Why, and what would help? In words: TEXT; each run on one picture: IMAGES": {
        "findings to act on": _lines(r"findings_to_act_on$"),
    },
    "4 What does the pooling look at?": {
        "weight of the latest 3 steps": _share(r"pooling/.+/recent_3_sum"),
        "gradient share of the latest 3 steps": _share(r"gradient_share/.*"),
        "std of the weights over time": _lines(r"pooling/.+/std$"),
    },
}
"""TensorBoard's custom-scalars page: what matters, on one page."""


class LogWriter:
    """The loggers of one run.

    Args:
        loggers: a Trainer's loggers; on ranks other than zero and without loggers nothing happens.
    """

    def __init__(self, loggers: Iterable[Any]) -> None:
        self._writers: list[Any] = []
        self._others: list[Any] = []
        for logger in loggers:
            experiment = getattr(logger, "experiment", None)
            is_writer = hasattr(type(experiment), "add_custom_scalars")
            if is_writer:
                self._writers.append(experiment)
            elif hasattr(logger, "log_metrics"):
                self._others.append(logger)

    def __bool__(self) -> bool:
        return bool(self._writers or self._others)

    @property
    def draws(self) -> bool:
        """Whether histograms, images and text are shown anywhere."""
        return bool(self._writers)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars by tag, all in one event."""
        if not values:
            return
        for writer in self._writers:
            _add_scalars(writer, values, step)
        for logger in self._others:
            logger.log_metrics(dict(values), step=step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text."""
        for writer in self._writers:
            writer.add_text(tag, markdown, step)

    def image(self, tag: str, image_chw: Tensor, step: int) -> None:
        """Write an image (3, height, width) of uint8."""
        for writer in self._writers:
            writer.add_image(tag, image_chw, step)

    def histogram(self, tag: str, values: Tensor, step: int, bins: int = 30) -> None:
        """Write a histogram of the finite values on the host, in bins of equal width."""
        values = values[values.isfinite()].float()
        if not self._writers or not len(values):
            return
        low, high = (float(end) for end in values.aminmax())
        # Equal values keep a narrow bin: a wide one looks like values that are not there.
        width = (high - low or 0.01 * abs(high) or 1.0) / bins
        counts = torch.histc(values, bins, low, low + bins * width).long().tolist()
        edges = [low + i * width for i in range(bins + 1)]
        self.counted({tag: counts}, edges, step)

    def counted(
        self, histograms: Mapping[str, Sequence[int]], edges: Sequence[float], step: int
    ) -> None:
        """Write histograms that are counted already, all in one event.

        Args:
            histograms: counts between neighbouring edges, by tag.
            edges: one edge more than there are counts, ascending.
            step: optimiser steps done.
        """
        if not self._writers:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary()
        for tag, counts in histograms.items():
            filled = [i for i, count in enumerate(counts) if count]
            if filled:
                shown = range(filled[0], filled[-1] + 1)
                summary.value.add(tag=tag, histo=_histogram(counts, edges, shown))
        for writer in self._writers:
            writer._get_file_writer().add_summary(summary, step)

    def hyperparameters(self, values: Mapping[str, str | float]) -> None:
        """Hand a run's hyperparameters to the loggers that are no event files."""
        for logger in self._others:
            logger.log_hyperparams(dict(values))

    def summary(self, summary: Any) -> None:
        """Write a summary protocol buffer of one of TensorBoard's plugins."""
        for writer in self._writers:
            writer._get_file_writer().add_summary(summary)

    def layout(self) -> None:
        """Write the custom-scalars page."""
        for writer in self._writers:
            writer.add_custom_scalars(LAYOUT)


def _add_scalars(writer: Any, values: Mapping[str, float], step: int) -> None:
    if not isinstance(writer, _summary_writer()):
        for tag, value in values.items():
            writer.add_scalar(tag, value, step)
        return
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary()
    for tag, value in values.items():
        summary.value.add(tag=tag, simple_value=value)
    writer._get_file_writer().add_summary(summary, step)


def _histogram(counts: Sequence[int], edges: Sequence[float], shown: range) -> Any:
    """Return TensorBoard's form of some bins: upper edges, the first bin empty."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    middles = [(edges[i] + edges[i + 1]) / 2 for i in shown]
    numbers = [counts[i] for i in shown]
    return HistogramProto(
        min=edges[shown[0]],
        max=edges[shown[-1] + 1],
        num=sum(numbers),
        sum=sum(n * m for n, m in zip(numbers, middles, strict=True)),
        sum_squares=sum(n * m * m for n, m in zip(numbers, middles, strict=True)),
        bucket_limit=[edges[i] for i in (*shown, shown[-1] + 1)],
        bucket=[0, *numbers],
    )


def _summary_writer() -> Any:
    """Return torch's writer class, or nothing where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return ()
    return SummaryWriter
