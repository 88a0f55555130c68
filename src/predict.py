"""Forecast the next price from a CSV file, or from prices on standard input; nothing is written.

python -m src.predict <run> data.path=prices.csv
echo "32.5 33.1 ... 42.8" | python -m src.predict <run> --json
"""

from collections.abc import Iterator
from typing import Any

from src.cli import Command, Job
from src.importing import importing


def predict(job: Job) -> dict[str, Any]:
    """Return a forecast for each window, and how its intervals fared on the run's test part."""
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.data.reading.sources import ReadOptions
        from src.serving.forecasts import forecasts

    config = job.config
    path, said = config.data["path"], {k: v for k, v in config.data.items() if k != "path"}
    return forecasts(
        config.ckpt_path,
        path=path,
        reading=ReadOptions(**said),
        windows=config.windows,
        level=config.level,
    )


def show(result: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield what is odd in the prices, and the table of the forecasts."""
    from rich.text import Text

    from src.reporting.run_tables import forecast_table

    yield from map(Text, result["warnings"])
    yield forecast_table(result)


main = Command("predict", __doc__, predict, show)

if __name__ == "__main__":
    main()
