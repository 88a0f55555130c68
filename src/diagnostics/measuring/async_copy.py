"""Bring numbers from the device to the host without making the device wait."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Pending(Generic[Result]):
    """Numbers on their way to the host: one packed tensor, one asynchronous copy.

    Integers travel as int64 and floats as the bit pattern of a float32 beside them, so that counts
    stay exact beyond 2**24. On a GPU the copy goes into pinned memory and is read whenever the
    caller comes back, an interval later as a rule; elsewhere the numbers are there at once.

    Args:
        integers: int64 values of any shape, on the device.
        floats: floating-point values of any shape, on the device.
        finish: makes the result of both, flat and on the host: int64 and float32.
    """

    def __init__(
        self,
        integers: Tensor,
        floats: Tensor,
        finish: Callable[[Tensor, Tensor], Result],
    ) -> None:
        bits = floats.float().flatten().view(torch.int32)
        packed = torch.cat([integers.flatten(), bits])
        self._num_integers = integers.numel()
        self._finish = finish
        self._arrival: torch.cuda.Event | None = None
        if packed.is_cuda:
            host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            self._packed = host.copy_(packed, non_blocking=True)
            self._arrival = torch.cuda.Event()
            self._arrival.record(torch.cuda.current_stream(packed.device))
        else:
            self._packed = packed.cpu()

    @property
    def arrived(self) -> bool:
        """Whether the numbers are on the host already, so that reading them waits for nothing."""
        return self._arrival is None or self._arrival.query()

    def result(self) -> Result:
        """Return the result, waiting for the copy where it has not arrived."""
        if self._arrival is not None:
            self._arrival.synchronize()
        integers, bits = self._packed.tensor_split((self._num_integers,))
        return self._finish(integers, bits.int().view(torch.float32))


class Inbox:
    """Results on their way, with what is to be done with each; they are taken in order."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Pending[Any], Callable[[Any], None]]] = deque()

    def put(self, pending: Pending[Result], receive: Callable[[Result], None]) -> None:
        """Queue a result, and take what has arrived already: on a CPU, everything."""
        self._queue.append((pending, receive))
        while self._queue and self._queue[0][0].arrived:
            self._take()

    def drain(self) -> None:
        """Take everything, waiting where need be."""
        while self._queue:
            self._take()

    def _take(self) -> None:
        pending, receive = self._queue.popleft()
        receive(pending.result())
