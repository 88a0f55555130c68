"""The server of forecasts: it listens first, so that a port in use is said before a model loads."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from src.importing import importing

HEADER_SECONDS = 10.0
"""How long the head of a request may take, from its first byte or the connection on."""
DRAIN_SECONDS = 1.0
"""How long, told to stop, an idle connection is kept for a request that may be on its way."""
LINGER_SECONDS = 1.0
"""How long a client has to hang up after us."""


class Connection(H11Protocol):
    """One connection: the head of a request has to end, and nobody is reset.

    A socket that is closed with unread bytes in it resets the connection, and the client may lose
    an answer already sent. So a connection that is done says so first, and is closed when the
    client has hung up. Told to stop, it answers once more what comes within `DRAIN_SECONDS`, with
    `connection: close`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_stopping = self._is_done = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request in time."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; those that come after the last answer are read and dropped."""
        if self._is_done:
            return
        super().data_received(data)
        if self._is_idle():
            self._expect_head()
            return
        self._forget_head()
        if self._is_stopping:
            self._make_last()

    def shutdown(self) -> None:
        """Stop after what is under way, or what comes within a moment."""
        self._is_stopping = True
        if self._is_idle():
            self.loop.call_later(DRAIN_SECONDS, self.timeout_keep_alive_handler)
        else:
            self._make_last()

    def timeout_keep_alive_handler(self) -> None:
        """Let an idle connection go."""
        if self._is_idle() and not self._has_begun():
            self._hang_up()

    def _make_last(self) -> None:
        """Close after the answer under way, and say so in it."""
        self.cycle.keep_alive = False
        # As if the client had asked for it: so uvicorn puts the header into the answer.
        self.cycle.scope["headers"] = [*self.cycle.scope["headers"], CLOSE_HEADER]

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _has_begun(self) -> bool:
        """Return whether the head of a request has come in part."""
        return bool(self.conn.trailing_data[0])

    def _expect_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEADER_SECONDS, self._refuse_head)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self) -> None:
        """Answer half a head with 408; a connection that sent nothing is just let go."""
        self._head_timer = None
        if self._has_begun() and self.conn.our_state is h11.IDLE:
            message = f"the head of the request did not end within {HEADER_SECONDS:g} s"
            body = json.dumps({"message": message, "field": None, "index": None}).encode()
            headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
            head = h11.Response(status_code=408, headers=[*headers, ("connection", "close")])
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._hang_up()

    def _hang_up(self) -> None:
        if self._is_done or self.transport.is_closing():
            return
        self._is_done = True
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def build_server(
    ckpt_path: str,
    host: str = "127.0.0.1",
    port: int = 0,
    level: float = 0.9,
    ticker: str | None = None,
) -> tuple[uvicorn.Server, socket.socket]:
    """Return the server and the socket it is to listen on.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        host: the address to listen on.
        port: 0 takes one that is free.
        level: share of days that the interval should cover.
        ticker: of a run on several series, the one whose prices are sent.

    Raises:
        ValueError: the run cannot be served, or the port cannot be had.
    """
    listening = _listen(host, port)
    try:
        # Imported here: a port in use is said at once, without torch.
        with importing():
            import torch

            from src.runs.opening import open_run
            from src.serving.app import build_app

        torch.set_num_threads(1)
        run = open_run(ckpt_path)
        run.refuse_other_than_next_price("the service")
        predictor = run.predictor_of(ticker)
        app = build_app(predictor, run=Path(ckpt_path).name, level=level)
    except BaseException:
        listening.close()
        raise
    return make_server(app), listening


def make_server(app: Any) -> uvicorn.Server:
    """Return the server of an ASGI application.

    On SIGTERM it stops listening, answers what is under way, and ends by that signal.
    """
    options: dict[str, Any] = {"timeout_graceful_shutdown": 10, "lifespan": "off"}
    settings = uvicorn.Config(
        app, http=Connection, log_level="warning", access_log=False, server_header=False, **options
    )
    return uvicorn.Server(settings)


def _listen(host: str, port: Any) -> socket.socket:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ValueError(f"port must be a whole number from 0 to 65535, got {port!r}")
    # Named TCP, or asyncio leaves Nagle's algorithm on: 40 ms more for each answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listening
