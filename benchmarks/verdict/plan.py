"""What is run for the verdict: the sizes, the models, and the questions each can answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from src.reporting.predictability.store import QUESTIONS, Question

SERIES = ("sp500", "nasdaq")


@dataclass(frozen=True)
class Size:
    """How much is run.

    Args:
        refit_every: Bars that a fit forecasts.
        epochs: Of a training, at most; it ends earlier when validation gets no better.
        words: How long it takes.
        command: Makes it.
    """

    refit_every: int
    epochs: int
    words: str
    command: str


TESTED = 0.62
"""Share of the bars that is forecast; the first year of it serves the intervals alone."""
VALIDATION = 0.15
"""Share of what lies before a block that is chosen on: its end."""
SIZES = {
    "quick": Size(1560, 5, "under five minutes", "make verdict-quick"),
    "middle": Size(1040, 30, "a quarter of an hour", "make verdict SIZE=middle"),
    "full": Size(520, 30, "under half an hour", "make verdict"),
}


@dataclass(frozen=True)
class Row:
    """A model of the table.

    Args:
        name: Of the row.
        options: What it is made by.
        kinds: Of the questions that it is asked.
        beside: Further options of a kind of question.
    """

    name: str
    options: tuple[str, ...]
    kinds: tuple[str, ...]
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_trained(self) -> bool:
        """Whether it takes gradient steps."""
        return self.name in ("lstm", "transformer")


_ALL = ("return", "direction", "volatility")
_LSTM = ("experiment=price_lstm", "model.num_layers=1", "model.hidden_size=32", "optimizer.lr=3e-3")
_TRANSFORMER = ("experiment=bars_transformer", "model=transformer_tiny", "optimizer.lr=1e-3")
_BATCH = ("data.batch_size=128",)
ROWS = (
    Row("drift", ("model=drift", "data=prices"), ("return",)),
    Row("autoregression", ("model=autoregression", "data=prices"), ("return",)),
    Row("ridge", ("model=ridge", "data=bars", "model.steps=[1,5]"), _ALL),
    Row("boosting", ("model=boosting", "data=bars", "model.steps=[1,5]"), _ALL),
    Row("exponential_smoothing", ("model=exponential_smoothing", "data=prices"), ("return",)),
    Row("arima", ("model=arima", "data=prices"), ("return",)),
    Row("har", ("model=har", "data=prices"), ("volatility",)),
    Row("garch", ("model=garch", "data=prices"), ("volatility",)),
    Row("lstm", (*_LSTM, *_BATCH), _ALL),
    # The level of the variance is one of 130 features of bars, and one of two of closes.
    Row("transformer", (*_TRANSFORMER, *_BATCH), _ALL, {"volatility": ("data=prices",)}),
)


def said(row: Row) -> str:
    """Return what a model is made by, in one line."""
    further = (f"of {kind} {' '.join(options)}" for kind, options in row.beside.items())
    return "; ".join([" ".join(row.options), *further])


TARGETS = {"return": "log_return", "direction": "direction", "volatility": "volatility"}


def asked(row: Row, questions: tuple[Question, ...] = QUESTIONS) -> list[Question]:
    """Return the questions that a model is asked."""
    return [one for one in questions if one.kind in row.kinds]


def options_of(row: Row, question: Question, size: Size) -> list[str]:
    """Return the command line's items of a model asked a question."""
    options = [
        *row.options,
        *row.beside.get(question.kind, ()),
        f"data.target={TARGETS[question.kind]}",
        f"data.horizon={question.horizon}",
        "trainer=cpu",
        "callbacks=basic",
        "callbacks.progress_bar=null",
        "logger=none",
    ]
    if row.is_trained:
        options.append(f"trainer.max_epochs={size.epochs}")
    return options


def blocks(rows: int, size: Size, tested: float = TESTED) -> list[range]:
    """Return the rows that each fit forecasts; the last block takes in a rest of less than half.

    >>> blocks(100, Size(20, 1, "", ""), tested=0.5)
    [range(50, 70), range(70, 100)]
    """
    start = round(rows * (1 - tested))
    count = max(1, round((rows - start) / size.refit_every))
    edges = [start + number * size.refit_every for number in range(count)] + [rows]
    return [range(a, b) for a, b in pairwise(edges)]
