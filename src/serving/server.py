"""The server of forecasts: it listens first, so that a port in use is said before a model loads."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn


def build_server(
    ckpt_path: str, host: str = "127.0.0.1", port: int = 0, level: float = 0.9
) -> "tuple[uvicorn.Server, socket.socket]":
    """Return the server and the socket it is to listen on.

    Args:
        ckpt_path: a run folder, for its best checkpoint, or a checkpoint file.
        host: the address to listen on.
        port: 0 takes one that is free.
        level: share of days that the interval should cover.

    Raises:
        ValueError: the run cannot be served, or the port cannot be had.
    """
    listening = _listen(host, port)
    try:
        # Imported here: a slip on the command line is answered at once, without torch.
        import torch
        import uvicorn

        from src.runs.opening import open_run
        from src.serving.app import build_app

        torch.set_num_threads(1)
        predictor = open_run(ckpt_path).predictor
        app = build_app(predictor, run=Path(ckpt_path).name, level=level)
    except BaseException:
        listening.close()
        raise
    # On SIGTERM uvicorn stops listening, answers what is under way, and ends by that signal.
    options: dict[str, Any] = {"timeout_graceful_shutdown": 10, "lifespan": "off"}
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, **options
    )
    return uvicorn.Server(settings), listening


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
