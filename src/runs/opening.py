"""A run opened again: what it recorded, its model, its data, its forecasts.

from src import open_run
run = open_run("lightning_logs/price_lstm/lstm-last-seed0-0")
run.scores, run.forecasts, run.diagnosis, run.config, run.model
run.predict(closes)
run.plot()
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from src.config.trust import CheckpointError, trusted
from src.runs.folder import CHECKPOINTS, folder_of
from src.runs.record import Record

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig
    from torch import nn

    from src.data import PriceDataModule
    from src.data.facts import DataFacts
    from src.runs.calibration import Calibration
    from src.runs.predictor import Predictor
    from src.training.module import RegressionModule

log = logging.getLogger(__name__)

BUILT = ("data", "model", "pooling", "norm", "dropout", "output", "optimizer")
"""The groups of a stored config from which a run is built again."""


def open_run(path: str | Path, which: Literal["best", "last"] = "best") -> Run:
    """Open a run that was trained before.

    Args:
        path: a run folder, or a checkpoint file, in a run folder or anywhere else.
        which: which checkpoint of a run folder; the last stands for the best where none was chosen.

    Raises:
        ValueError: there is nothing there.
    """
    found = Path(path)
    if not found.exists():
        raise ValueError(f"ckpt_path does not exist: {found}")
    if found.is_file():
        return Run(folder_of(found), found)
    return Run(found, found / CHECKPOINTS / f"{which}.ckpt")


@contextmanager
def unquoted(config: DictConfig) -> Iterator[None]:
    """Quote nothing of a file that a stored config names: it may be any file of this machine.

    Raises:
        ValueError: the file is there, and cannot be read as prices.
    """
    try:
        yield
    except ValueError:
        named = config.data.get("path")
        paths = [named] if isinstance(named, str) else list(named or ())
        if not any(Path(path).expanduser().exists() for path in paths):
            raise
        shown = " ".join(paths)
        raise ValueError(
            f"{shown}, which the run was trained on, cannot be read as prices any more: "
            f"python -m src.data {shown} says why"
        ) from None


class Run(Record):
    """A run on disk. Each part is read or built when first asked for, and then kept.

    Torch is imported with the checkpoint; `report` alone needs none.

    Args:
        folder: the run folder, or the folder of a checkpoint that lies elsewhere.
        checkpoint: the checkpoint; a run that keeps none has its report alone.
    """

    @cached_property
    def checkpoint(self) -> dict[str, Any]:
        """The checkpoint's tensors and plain values.

        Raises:
            ValueError: there is none.
            CheckpointError: it cannot be read, or this project did not write it.
        """
        from src.runs.checkpoint import load_checkpoint

        path = self.checkpoint_path
        checkpoint = load_checkpoint(path)
        try:
            for key in ("config", "data"):
                checkpoint["hyper_parameters"][key]
            step = checkpoint["global_step"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{path} was not written by this version: no {error}") from None
        if type(step) is not int or step < 0:
            raise CheckpointError(f"{path} was not written by this version: its step is {step!r}")
        return checkpoint

    @cached_property
    def config(self) -> DictConfig:
        """The config it was trained with, checked: it can build this project's classes only."""
        from omegaconf import OmegaConf

        from src.config.values import check_values

        stored = self.checkpoint["hyper_parameters"]["config"]
        present = trusted(stored, self.checkpoint_path)
        for key in ("data", "schedule"):  # a checkpoint of earlier times knows of no schedule
            if not isinstance(present.get(key, {}), dict):
                raise CheckpointError(f"{self.checkpoint_path}: {key} in its config is no mapping")
        try:
            check_values({group: present[group] for group in BUILT if group in present})
        except ValueError as error:
            raise CheckpointError(f"{self.checkpoint_path}: in its config {error}") from None
        return OmegaConf.create(present)

    @cached_property
    def facts(self) -> DataFacts:
        """Sizes, statistics and scalings of the data it was trained on."""
        from src.data.facts import DataFacts

        try:
            facts = DataFacts.from_dict(self.checkpoint["hyper_parameters"]["data"])
            if facts.context_length != (said := self.config.data.context_length):
                raise ValueError(f"context_length is {facts.context_length}, in its config {said}")
            return facts
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"{self.checkpoint_path} was not written by this version: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from None

    @cached_property
    def module(self) -> RegressionModule:
        """The module in evaluation mode, with the checkpoint's weights; the data is not read.

        Raises:
            CheckpointError: its config builds no model, or one that the weights do not fit.
        """
        from src.runs.build import build_module, load_weights

        # What a schedule does to the units hangs on the data module: both follow one step.
        datamodule = self.datamodule if self._is_made_up else None
        facts = datamodule or self.facts
        try:
            module = build_module(self.config, facts)
            load_weights(module, datamodule, self.checkpoint)
        # Sizes that no memory holds, keys that are missing: whatever it is, the file is at fault.
        except Exception as error:
            raise CheckpointError(
                f"{self.checkpoint_path} does not fit its config: {_first_line(error)}"
            ) from None
        return module.eval()

    @property
    def model(self) -> nn.Module:
        """The regressor by itself, in evaluation mode: windows (B, T, F) in, `preds` (B, 1) out."""
        return self.module.model

    @cached_property
    def datamodule(self) -> PriceDataModule:
        """The data it was trained on, read again, set up; a warning says where it differs.

        Raises:
            ValueError: the file is not there any more, or cannot be used.
            CheckpointError: its config builds no data.
        """
        from src.runs.build import build_datamodule, schedule_of

        config = self.config
        if self.facts.series:  # a folder may hold other files by now
            config = copy.deepcopy(config)
            config.data.tickers = list(self.facts.series)
        try:
            with unquoted(config):
                datamodule = build_datamodule(config)
        except (ValueError, OSError):
            raise
        except Exception as error:  # such as a number as data.path
            raise CheckpointError(
                f"{self.checkpoint_path}: its config builds no data: {_first_line(error)}"
            ) from None
        if schedule := schedule_of(datamodule):
            schedule.step = self.checkpoint["global_step"]
        if difference := self.other_prices(datamodule):
            log.warning("%s", difference)
        return datamodule

    def other_prices(self, datamodule: PriceDataModule) -> str | None:
        """Say how data differs from what it was trained on; None if it does not, or none knows."""
        from src.data.identity import how_they_differ

        before = self.checkpoint["hyper_parameters"].get("prices")
        how = how_they_differ(before, datamodule.tables) if before else None
        name = datamodule.data_name
        return f"{name} is not what this run was trained on: {how}" if how else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """Its errors on held-out windows.

        They are kept in the folder for the best checkpoint; for another one they are measured anew,
        and without the data it was trained on there are none.
        """
        from src.runs.calibration import calibrate, read_calibration

        kept = read_calibration(self.checkpoint_path)
        if kept is not None:
            return kept
        try:
            return calibrate(self.module, self.datamodule)
        except ValueError as error:
            log.warning("no prediction intervals: the run's own data cannot be read: %s", error)
            return None

    @cached_property
    def predictor(self) -> Predictor:
        """The run, ready to forecast; `predictor_of` for one on several series."""
        return self.predictor_of(None)

    def predictor_of(self, ticker: str | None, key: str = "ticker") -> Predictor:
        """Return the run, ready to forecast one of the series that it was trained on.

        Args:
            ticker: which one; of a run on one series it is not looked at.
            key: what asks for it, for the message.

        Raises:
            ValueError: as `refuse_made_up_bars`; there are several series and it is none of them.
        """
        from src.runs.predictor import Predictor

        self.refuse_made_up_bars()
        facts = self.facts.of_series(ticker, key)
        return Predictor(self.module, facts, self.calibration, self._block_size, self.module.output)

    @cached_property
    def _block_size(self) -> int:
        from src.runs.predictor import bitwise_block_size

        return bitwise_block_size(self.module, self.facts.context_length, self.facts.num_features)

    def predict(
        self, closes: Sequence[float], level: float = 0.9, ticker: str | None = None
    ) -> pd.Series:
        """Forecast the price after a series of closes.

        Args:
            closes: any 1-D series of numbers, oldest first, in price units; the last T are used.
            level: share of days that the interval should cover.
            ticker: of a run on several series, the one whose closes these are.

        Returns:
            `last_price`, `predicted_price`, and the interval's ends `low` and `high` (NaN where the
            run has no calibration), in price units.

        Raises:
            ValueError: the closes are too few or no prices, or the run needs more than closes.
        """
        import numpy as np
        import pandas as pd

        self.refuse_other_than_next_price("run.predict")
        given, steps = np.array(closes, dtype=np.float64), self.facts.context_length
        if given.ndim != 1 or len(given) < steps:
            raise ValueError(f"closes must be at least {steps} numbers, got shape {given.shape}")
        predictor = self.predictor_of(ticker) if self.facts.series else self.predictor
        windows = predictor.windows_of_closes(given[None, -steps:])
        done = predictor.forecast(windows, level)
        low, high = (np.nan, np.nan) if done.interval is None else done.interval[0]
        return pd.Series(
            {
                "last_price": done.last_price[0],
                "predicted_price": done.predicted_price[0],
                "low": low,
                "high": high,
            }
        )

    def refuse_made_up_bars(self) -> None:
        """Refuse to forecast prices from what no market has.

        Raises:
            ValueError: it was trained on bars that were made up or changed by a schedule.
        """
        if self._is_made_up:
            raise ValueError(
                f"{self.checkpoint_path} was trained on bars that were made up or changed by a "
                "schedule: it forecasts no prices"
            )

    def refuse_other_than_next_price(self, what: str) -> None:
        """Refuse what is made for one price, that of the following bar.

        Args:
            what: that, for the message.

        Raises:
            ValueError: it forecasts several bars, a variance or a direction.
        """
        target = self.facts.target
        output = (self.config.get("output") or {}).get("levels")
        if not target.is_price or target.horizon > 1 or output:
            shown = " a distribution as output," if output else ""
            raise ValueError(
                f"{what} takes a run that forecasts the next price as a point; this one has{shown} "
                f"data.target={target.kind} and data.horizon={target.horizon}"
            )

    @property
    def _is_made_up(self) -> bool:
        return is_made_up(self.facts.features, self.config)


def _first_line(error: Exception) -> str:
    """Return what an error says in one line; OmegaConf's say more, and some begin with none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def is_made_up(features: str, config: Mapping[str, Any]) -> bool:
    """Return whether a run is trained on bars that no market has."""
    return features == "scenario" or bool((config.get("schedule") or {}).get("events"))
