"""What a run has written, read again: its report, its scores, its forecasts, its pictures."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.runs.folder import CHECKPOINTS, FORECAST_PICTURE, FORECASTS, REPORT

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from src.diagnostics import Diagnosis


class Record:
    """The files of a run; none of them needs its model.

    Args:
        folder: the run folder, or the folder of a checkpoint that lies elsewhere.
        checkpoint: the checkpoint; a run that keeps none has its report alone.
    """

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self._checkpoint = checkpoint

    @property
    def checkpoint_path(self) -> Path:
        """Where the checkpoint is.

        Raises:
            ValueError: it is not there.
        """
        if not self._checkpoint.is_file():
            last = self._checkpoint.with_name("last.ckpt")
            if last.is_file():  # of a run that is to be judged where it ends
                return last
            if folds := self._folds:
                raise ValueError(
                    f"ckpt_path was put together of folds, each a run of its own: {self.folder}; "
                    f"the latest is {folds[-1]}"
                )
            name = f"{CHECKPOINTS}/{self._checkpoint.name}"
            raise ValueError(f"ckpt_path holds no {name}: {self.folder}")
        return self._checkpoint

    @property
    def _folds(self) -> list[Path]:
        """The runs that it was put together of, in order of time; none of any other run."""
        try:
            folders = [self.folder / one["folder"] for one in self.report["folds"]]
            return [Path(os.path.normpath(folder)) for folder in folders]
        except (ValueError, KeyError, TypeError):
            return []

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a model to open."""
        try:
            return self.checkpoint_path.is_file()
        except ValueError:
            return False

    @cached_property
    def report(self) -> dict[str, Any]:
        """What report.json says.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        # Imported here: what forecasts reads no report.
        from src.reporting import shape
        from src.reporting.shape import read_record

        file = self.folder / REPORT
        try:
            return read_record(file, shape.REPORT)
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} is not a run's report: {error}") from None

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The test scores: a row a metric; the model, the forecast without one, and their ratio.

        Raises:
            ValueError: the run was not tested.
        """
        import pandas as pd

        from src.reporting.score_tables import scored

        if "test" not in self.report:
            raise ValueError(f"{self.folder} was not tested: its run is {self.status}")
        parts = {part: self.report["test"][part] for part in ("model", "baseline", "ratio")}
        baseline = scored(self.report["test"]["model"]).baseline
        return pd.DataFrame(parts).rename(columns={"baseline": baseline})

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The test part: `last_price`, `price`, `predicted_price` in price units, by `date`.

        Of a run on several series also their `ticker`; of other targets and outputs the columns
        that docs/targets.md lists.

        Raises:
            ValueError: the run was not tested.
        """
        import pandas as pd

        file = self.folder / FORECASTS
        if not file.is_file():
            raise ValueError(f"{self.folder} was not tested: it has no {FORECASTS}")
        return pd.read_csv(file, parse_dates=["date"], index_col="date")

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """What was found in its gradients at the end; None where nothing watched them."""
        from src.diagnostics import Diagnosis

        found = self.report.get("diagnosis")
        return None if found is None else Diagnosis.from_dict(found)

    def plot(self) -> Image:
        """Return forecast.png: forecasts against what came. Notebooks show it; `.save` keeps it.

        Raises:
            ValueError: the run was not tested.
        """
        from PIL import Image

        from src.board.pictures import DRAWN, PRICE, as_image, forecast_figure
        from src.reporting.losses import COLUMNS

        if (kept := self.folder / FORECAST_PICTURE).is_file():
            return Image.open(kept)
        shown = self.forecasts
        if "ticker" in shown:
            shown = shown[shown["ticker"] == shown["ticker"].iloc[0]]
        if "step" in shown:
            shown = shown[shown["step"] == shown["step"].max()]
        kind, keys = next(item for item in COLUMNS.items() if item[1][0] in shown)
        before, came, predicted = (shown[name].to_numpy() for name in keys)
        drawn, days = DRAWN.get(kind, PRICE), shown.index.to_numpy()
        return as_image(forecast_figure(days, before, came, predicted, drawn=drawn))

    @property
    def status(self) -> str:
        """How it ended, or that it runs: `killed` if its process is gone without a word."""
        from src.reporting.runs import status_of

        return status_of(self.folder, self.report)[0]
