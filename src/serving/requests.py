"""From a request to its forecast: its body, read within bounds, and what came with it, batched.

A body is strict JSON: prices and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import numpy as np
from starlette.requests import ClientDisconnect, Request

from src.runs.predictor import Predictor
from src.serving.prices import FieldError, check_prices, parse_json

LARGEST_BODY = 64 * 1024
# A client that sends everything before it reads must be heard out to get its answer, within reason.
LARGEST_DISCARDED = 32 * 1024 * 1024
READ_SECONDS = 10.0
WIDEST = 1e6
"""How many times the smallest price of a window its largest may be: float32 has seven digits."""


class RequestError(Exception):
    """What is wrong with a request, for the client.

    Args:
        status: HTTP status, 4xx.
        message: What was found and what was expected.
        field: The field at fault, if any.
        index: Position in the field, counted from 0, if any.
    """

    def __init__(
        self, status: int, message: str, field: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.index = status, message, field, index


async def read_prices(request: Request, count: int) -> np.ndarray:
    """Read and check the prices of a request.

    Args:
        request: A request with the body {"prices": [...]}.
        count: How many prices there have to be.

    Returns:
        The prices (count,), float64.

    Raises:
        RequestError: If the body is anything else, too large or too slow.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        found = ascii(kind[:40]) if kind else "none"
        raise RequestError(415, f"content-type: found {found}, expected application/json")
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await _read(request)
    except TimeoutError:
        raise RequestError(408, f"the body did not end within {READ_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RequestError(400, "the body did not end") from None
    try:
        return parse_prices(body.decode("utf-8"), count)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8 at byte {error.start}") from None
    except FieldError as error:
        status = 400 if error.field is None else 422
        raise RequestError(status, error.message, error.field, error.index) from None


def parse_prices(text: str, count: int) -> np.ndarray:
    """Parse {"prices": [...]} with `count` prices.

    Raises:
        FieldError: Naming the field and index at fault.

    >>> parse_prices('{"prices": [1, 2.5]}', 2)
    array([1. , 2.5])
    """
    document = parse_json(text)
    if not isinstance(document, dict):
        raise FieldError('expected an object, {"prices": [...]}')
    for key in document:
        if key != "prices":
            raise FieldError("found an unknown field, expected prices alone", ascii(key[:40])[1:-1])
    if "prices" not in document:
        raise FieldError("found no such field", "prices")
    closes = check_prices(document["prices"], count=count)
    apart = np.maximum.accumulate(closes) > WIDEST * np.minimum.accumulate(closes)
    if apart.any():
        index = int(apart.argmax())
        low, high = closes[: index + 1].min(), closes[: index + 1].max()
        found = f"found prices from {low:g} to {high:g}"
        raise FieldError(f"{found}, expected a factor of {WIDEST:g} at most", "prices", index)
    return closes


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LARGEST_BODY:
            chunks.append(chunk)
        elif size > LARGEST_DISCARDED:
            break
    if size > LARGEST_BODY:
        raise RequestError(413, f"the body is larger than {LARGEST_BODY} bytes")
    return b"".join(chunks)


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
