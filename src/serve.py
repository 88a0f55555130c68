"""Answer forecasts over HTTP until told to stop; see /docs on the address it prints.

python -m src.serve lightning_logs/<experiment>/<run> port=8000
"""

from src.cli import Command, Job
from src.importing import importing


def serve(job: Job) -> None:
    """Load the checkpoint once, and answer."""
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.serving.server import build_server

    config = job.config
    server, listening = build_server(
        config.ckpt_path, config.host, config.port, config.level, config.ticker
    )
    host, port = listening.getsockname()[:2]
    print(f"serving {config.ckpt_path} on http://{host}:{port} (see /docs)", flush=True)
    server.run(sockets=[listening])


main = Command("serve", __doc__, serve, needs=("fastapi", "uvicorn", "prometheus_client", "serve"))

if __name__ == "__main__":
    main()
