"""What is handed to loggers: to event files all that is drawn, to others the scalars alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from src.diagnostics.lightning.log_writer import LAYOUT, LogWriter, _histogram


class Events:
    """Stands in for an event file's writer."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def add_custom_scalars(self, layout: Any) -> None:
        self.told.append(layout)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.told.append((tag, value, step))

    def add_text(self, tag: str, text: str, step: int) -> None:
        self.told.append((tag, text, step))

    def add_image(self, tag: str, image: Any, step: int) -> None:
        self.told.append((tag, image.shape, step))

    def add_summary(self, summary: Any, step: int | None = None) -> None:
        self.told.append((summary, step))

    def _get_file_writer(self) -> Any:
        return self


def logger(told: list[Any]) -> Any:
    return SimpleNamespace(
        log_metrics=lambda values, step: told.append((values, step)),
        log_hyperparams=lambda values: told.append(values),
    )


def test_each_kind_of_logger_gets_what_it_can_show() -> None:
    events, told = Events(), list[Any]()
    writer = LogWriter([SimpleNamespace(experiment=events), logger(told), object()])
    assert writer
    assert writer.draws
    writer.scalars({"a": 1.0}, 3)
    writer.text("t", "*x*", 4)
    writer.image("i", torch.zeros(3, 2, 2), 5)
    writer.layout()
    writer.hyperparameters({"rate": 0.1})
    writer.summary("s")
    picture = ("i", torch.Size([3, 2, 2]), 5)
    assert events.told == [("a", 1.0, 3), ("t", "*x*", 4), picture, LAYOUT, ("s", None)]
    assert told == [({"a": 1.0}, 3), {"rate": 0.1}]
    writer.scalars({}, 4)
    assert len(told) == 2


def test_without_loggers_nothing_is_written_and_without_event_files_nothing_drawn() -> None:
    assert not LogWriter(())
    told: list[Any] = []
    plain = LogWriter([logger(told)])
    assert plain
    assert not plain.draws
    plain.histogram("h", torch.ones(3), 1)
    plain.counted({"h": [1]}, [0.0, 1.0], 1)
    assert told == []


def histogram_of(values: list[float], bins: int = 4) -> Any:
    events = Events()
    writer = LogWriter([SimpleNamespace(experiment=events)])
    writer.histogram("h", torch.tensor(values), 7, bins)
    if not events.told:
        return None
    ((summary, step),) = events.told
    assert step == 7
    return summary.value[0].histo


def test_values_are_counted_in_bins_of_equal_width() -> None:
    histo = histogram_of([0.0, 1.0, 1.5, 4.0, float("nan"), float("inf")])
    assert list(histo.bucket_limit) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert list(histo.bucket) == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert (histo.min, histo.max, histo.num) == (0.0, 4.0, 4.0)
    assert histogram_of([float("nan")]) is None
    equal = histogram_of([2.0, 2.0])
    assert (equal.min, equal.num) == (2.0, 2.0)
    assert equal.max == pytest.approx(2.005), "a narrow bin"
    assert histogram_of([0.0, 0.0]).max == pytest.approx(0.25)


def test_bins_without_values_at_both_ends_are_left_out() -> None:
    histo = _histogram([0, 2, 0, 1, 0], [0.0, 1.0, 2.0, 4.0, 6.0, 8.0], range(1, 4))
    assert (histo.min, histo.max, histo.num) == (1.0, 6.0, 3.0)
    assert histo.sum == 2 * 1.5 + 5.0
    assert histo.sum_squares == 2 * 1.5**2 + 25.0
    assert list(histo.bucket_limit) == [1.0, 2.0, 4.0, 6.0]
    assert list(histo.bucket) == [0.0, 2.0, 0.0, 1.0]
