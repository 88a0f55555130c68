"""The forecasts that the verdict rests on: a table of numbers, and a record of how they were made.

Shapes: n bars, in order of time.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.files import replacing, write_json

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "benchmarks" / "results"
TABLE, RECORD = "verdict.csv.gz", "verdict.json"
NAMES = {"sp500": "S&P 500", "nasdaq": "NASDAQ"}
"""What a series is called."""
NAIVE = "naive"


@dataclass(frozen=True)
class Question:
    """What is asked of the models.

    Args:
        key: In files.
        kind: `return`, `direction` or `volatility`.
        horizon: h, bars that are forecast.
        words: What is forecast, for a reader.
    """

    key: str
    kind: str
    horizon: int
    words: str


QUESTIONS = (
    Question("return_1", "return", 1, "the return of the next day"),
    Question("return_5", "return", 5, "the return of the next five days"),
    Question("direction_1", "direction", 1, "whether the next day ends higher"),
    Question("volatility_1", "volatility", 1, "the variance of the next day"),
    Question("volatility_5", "volatility", 5, "the mean variance of the next five days"),
)


@dataclass(frozen=True)
class Kept:
    """The forecasts of one question about one series.

    Args:
        series: Its key.
        question: What was asked.
        date: Of the first bar that is forecast (n,).
        last_price: Close before it (n,).
        actual: What came (n,): a log return, 1 or 0, a variance of a bar.
        forecasts: By model (n,), in the same unit; of a direction probabilities.
    """

    series: str
    question: Question
    date: NDArray
    last_price: NDArray
    actual: NDArray
    forecasts: Mapping[str, NDArray]

    @property
    def title(self) -> str:
        """What is asked, about what."""
        return f"{NAMES.get(self.series, self.series)}: {self.question.words}"


def write(kept: Iterable[Kept], record: Mapping[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Write the forecasts and how they were made; the same forecasts are the same bytes.

    Returns:
        The files.
    """
    import pandas as pd

    frames = []
    for one in kept:
        known = {"series": one.series, "question": one.question.key, "date": one.date}
        numbers = {"last_price": one.last_price, "actual": one.actual} | dict(one.forecasts)
        frames.append(pd.DataFrame(known | numbers))
    text = pd.concat(frames).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    folder.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(text.encode(), mtime=0)
    with replacing(folder / TABLE) as file:
        file.write(packed)
    return [folder / TABLE, write_json(folder / RECORD, record)]


def read(folder: Path = FOLDER) -> tuple[list[Kept], dict[str, Any]]:
    """Return the forecasts, and how they were made.

    Raises:
        ValueError: If there are none, or the table is damaged.
    """
    import pandas as pd

    file = folder / TABLE
    try:
        table = pd.read_csv(io.BytesIO(gzip.decompress(file.read_bytes())))
        record = json.loads((folder / RECORD).read_text())
        groups = table.groupby(["series", "question"], sort=False)
        models = list(table.columns[5:])
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is not there; make verdict makes it") from None
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__}: {error}") from None
    found = []
    for question in QUESTIONS:
        for series in dict.fromkeys(table["series"].astype(str)):
            if (series, question.key) not in groups.groups:
                continue
            part = groups.get_group((series, question.key))
            forecasts = {name: part[name].to_numpy(float) for name in models}
            forecasts = {k: v for k, v in forecasts.items() if np.isfinite(v).all()}
            last_price, actual = (part[name].to_numpy(float) for name in ("last_price", "actual"))
            date = part["date"].to_numpy(str)
            found.append(Kept(series, question, date, last_price, actual, forecasts))
    return found, record
