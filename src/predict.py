"""Forecast what comes next, from a price file, standard input, or the run's own series.

python -m src.predict <run>
python -m src.predict <run> data.path=prices.csv out=forecast.csv plot=true
echo "32.5 33.1 ... 42.8" | python -m src.predict <run> --json
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.cli import Command, Job

HISTORY = 60
"""Bars before the forecast that a picture shows."""


def predict(job: Job) -> dict[str, Any]:
    """Return a forecast for each window, and how its intervals fared on the run's test part."""
    # Imported here: a slip on the command line is answered at once, without torch.
    from src.data.reading.sources import ReadOptions
    from src.files import write_text
    from src.reporting.forecast_tables import forecast_csv
    from src.serving.forecasts import forecasts

    config = job.config
    path, said = config.data["path"], {k: v for k, v in config.data.items() if k != "path"}
    result = forecasts(
        config.ckpt_path,
        path=path,
        reading=ReadOptions(**said),
        windows=config.windows,
        level=config.level,
        history=HISTORY if config.plot else 0,
    )
    picture = _picture(result) if config.plot else None
    written = []
    if config.out:
        written.append(str(write_text(Path(config.out), forecast_csv(result))))
    if picture is not None:
        from src.board.pictures import write_picture

        target = Path(config.out or "forecast.csv").with_suffix(".png")
        write_picture(target, picture)
        written.append(str(target))
    return result | {"written": written}


def _picture(result: Mapping[str, Any]) -> Any:
    """Return the picture of the last window of the first series.

    Raises:
        ValueError: a direction is forecast, whose probability has no fan.
    """
    from src.board.fan import fan_figure
    from src.board.pictures import DRAWN, PRICE
    from src.reporting.losses import COLUMNS
    from src.reporting.score_tables import scored_as

    target = result["target"]
    if target == "direction":
        raise ValueError("plot: a probability has no fan, data.target=direction is shown as text")
    ticker, history = next(iter(result["history"].items()))
    own = [row for row in result["forecasts"] if str(row.get("ticker") or "") in ("", ticker)]
    last = [row for row in own if row["last_day"] == own[-1]["last_day"]]
    predicted = COLUMNS["volatility" if scored_as(target).error == "qlike" else "price"][2]
    title = f"{ticker or 'forecast'} after {last[0]['last_day']}"
    drawn = DRAWN.get(target, PRICE)
    return fan_figure(history, last, predicted, drawn, result["horizon"], title)


def show(result: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield what is odd in the prices, the table of the forecasts, and what was written."""
    from rich.text import Text

    from src.reporting.forecast_tables import forecast_table

    yield from map(Text, result["warnings"])
    yield forecast_table(result)
    yield from (f"written: {file}" for file in result["written"])


main = Command("predict", __doc__, predict, show)

if __name__ == "__main__":
    main()
