"""Forecast the next price: python -m src.predict ckpt_path=<run> data.path=prices.csv."""

import json
import sys
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from src.config import CONFIG_DIR, stop
from src.config.compose import check_command_line

if TYPE_CHECKING:
    import numpy as np

    from src.runs.predictor import Predictor, Windows


@hydra.main(config_path=str(CONFIG_DIR), config_name="predict", version_base="1.3")
def predict(config: DictConfig) -> None:
    """Forecast from a file or standard input, print the forecasts; nothing is written."""
    try:
        result = forecasts(config)
    except ValueError as error:
        stop(str(error))
    if config.json:
        print(json.dumps(result, allow_nan=False))
    else:
        _print(result)


def forecasts(config: DictConfig) -> dict[str, Any]:
    """Forecast the day after each window.

    Args:
        config: a composed conf/predict.yaml.

    Returns:
        Plain values: `forecasts`, a dict for each window, and how the intervals fared on the run's
        test part.

    Raises:
        ValueError: the run, the prices or an option cannot be used.
    """
    last = _number_of_windows(config.windows)
    # Imported here: a slip on the command line is answered at once, without torch.
    import torch

    from src.runs.opening import open_run

    torch.set_num_threads(1)
    predictor = open_run(str(config.ckpt_path)).predictor
    rows: list[dict[str, Any]] = []
    for days, closes, windows in _series(config, predictor, last):
        done = predictor.forecast(windows, config.level)
        for n, day in enumerate(days[-len(windows.closes) :]):
            after = len(closes) - len(windows.closes) + n + 1
            interval = None if done.interval is None else done.interval[n].tolist()
            rows.append(
                {
                    "last_day": day,
                    "last_price": float(done.last_price[n]),
                    "predicted_price": float(done.predicted_price[n]),
                    "baseline": float(done.last_price[n]),
                    "interval": interval,
                    "price": float(closes[after]) if after < len(closes) else None,
                }
            )
    return {
        "run": str(config.ckpt_path),
        **_calibration(predictor, config.level),
        "forecasts": rows,
    }


def _series(
    config: DictConfig, predictor: "Predictor", last: int | None
) -> "list[tuple[list[Any], np.ndarray, Windows]]":
    """Return the last day of every window, all closes and the windows, for each series."""
    import numpy as np

    from src.data.reading.sources import BAR_COLUMNS, PriceTable, load_prices
    from src.serving.prices import STDIN, parse_series

    if config.data.path is None:
        if sys.stdin.isatty():
            raise ValueError("no prices: give data.path=prices.csv, or prices on standard input")
        tables: list[tuple[list[Any], PriceTable]] = []
        for closes in parse_series(sys.stdin.read()):
            if predictor.facts.input_scaling is None:
                predictor.windows_of_closes(closes[None])
            no_dates = np.zeros(len(closes), dtype="datetime64[s]")
            table = PriceTable(STDIN, no_dates, {"close": closes}, 1)
            tables.append((list(range(1, len(closes) + 1)), table))
    else:
        is_bars = predictor.facts.features == "bars"
        table = load_prices(
            path=str(config.data.path),
            date_column=config.data.date_column,
            close_column=config.data.close_column,
            columns=BAR_COLUMNS if is_bars else ("close",),
        )
        tables = [([str(day)[:10] for day in table.dates], table)]
    return [(days, table.close, predictor.windows_of_table(table, last)) for days, table in tables]


def _number_of_windows(windows: Any) -> int | None:
    if windows in ("last", "all"):
        return 1 if windows == "last" else None
    if not isinstance(windows, int) or isinstance(windows, bool) or windows < 1:
        raise ValueError(f"windows must be last, all or a number of at least 1, got {windows!r}")
    return windows


def _calibration(predictor: "Predictor", level: float) -> dict[str, Any]:
    calibration = predictor.calibration
    if calibration is None:
        return {"level": None, "coverage": None}
    coverage = {"test": calibration.coverage(level), "windows": len(calibration.test)}
    return {"level": level, "coverage": coverage}


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console

    from src.reporting.run_tables import forecast_table

    Console().print(forecast_table(result))


def main() -> None:
    """Run the command line."""
    check_command_line("predict", sys.argv[1:])
    predict()


if __name__ == "__main__":
    main()
