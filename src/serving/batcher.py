"""Forecast together what clients ask for at the same moment."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import numpy as np

from src.runs.predictor import Predictor


class Forecast(NamedTuple):
    """The forecast of one window, in price units.

    Attributes:
        last_price: Close of the window's last day.
        predicted_price: The model's forecast of the following day's close.
        interval: Lower and upper end; None where there is no calibration.
    """

    last_price: float
    predicted_price: float
    interval: list[float] | None


class Batcher:
    """Collect the windows of one turn of the event loop and forecast them in one call.

    Nobody waits for others to come: a lone request is forecast at once. The model runs in the
    event loop itself, within milliseconds, so two forecasts can never run at the same time.

    Args:
        predictor: A predictor whose forecasts do not depend on what else is asked for.
        level: Share of days that intervals should cover, in (0, 1).
    """

    def __init__(self, predictor: Predictor, level: float) -> None:
        self._predictor, self._level = predictor, level
        self._waiting: list[tuple[np.ndarray, asyncio.Future[Forecast]]] = []

    async def forecast(self, closes: np.ndarray) -> Forecast:
        """Forecast the day after one window of closes (T,).

        Raises:
            ValueError: If the forecast is not finite.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Forecast] = loop.create_future()
        self._waiting.append((closes, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._forecast_all)
        return await future

    def _forecast_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._answer(waiting)
        except ValueError:
            # One window without a finite forecast must not take the others with it.
            for one in waiting:
                try:
                    self._answer([one])
                except ValueError as error:
                    one[1].set_exception(error)

    def _answer(self, waiting: list[tuple[np.ndarray, asyncio.Future[Forecast]]]) -> None:
        windows = self._predictor.windows_of_closes(np.stack([closes for closes, _ in waiting]))
        done = self._predictor.forecast(windows, self._level)
        for n, (_, future) in enumerate(waiting):
            if not future.done():  # cancelled: its client has gone
                interval = None if done.interval is None else done.interval[n].tolist()
                prices = float(done.last_price[n]), float(done.predicted_price[n])
                future.set_result(Forecast(*prices, interval))
