"""Answer forecasts over HTTP: python -m src.serve ckpt_path=<run> port=8000."""

import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from src.config import CONFIG_DIR, stop
from src.config.compose import check_command_line

if TYPE_CHECKING:
    import uvicorn

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


@hydra.main(config_path=str(CONFIG_DIR), config_name="serve", version_base="1.3")
def serve(config: DictConfig) -> None:
    """Load the checkpoint once and answer until told to stop."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        stop(f"serving needs {', '.join(missing)}: pip install -e '.[serve]'")
    try:
        server, listening = build_server(config)
    except ValueError as error:
        stop(str(error))
    host, port = listening.getsockname()[:2]
    print(f"serving {config.ckpt_path} on http://{host}:{port} (see /docs)", flush=True)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def build_server(config: DictConfig) -> "tuple[uvicorn.Server, socket.socket]":
    """Return the server and the socket it is to listen on.

    Args:
        config: a composed conf/serve.yaml.

    Raises:
        ValueError: the run cannot be served, or the port cannot be had.
    """
    listening = _listen(config.host, config.port)
    try:
        # Imported here: a slip on the command line is answered at once, without torch.
        import torch
        import uvicorn

        from src.runs.opening import open_run
        from src.serving.app import build_app

        torch.set_num_threads(1)
        predictor = open_run(str(config.ckpt_path)).predictor
        app = build_app(predictor, run=Path(config.ckpt_path).name, level=config.level)
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


def main() -> None:
    """Run the command line."""
    check_command_line("serve", sys.argv[1:])
    serve()


if __name__ == "__main__":
    main()
