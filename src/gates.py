"""Look inside a trained LSTM or GRU: its gates over one price window, drawn and counted.

python -m src.gates lightning_logs/<experiment>/<run>
python -m src.gates <run> split=val window=0 --json
"""

from collections.abc import Iterator
from typing import Any

from src.cli import Command, Job
from src.importing import importing


def gates(job: Job) -> dict[str, Any]:
    """Draw the gates into the run folder; return the picture's path and the numbers."""
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.runs.gate_drawing import draw_gates

    config = job.config
    picture, answers = draw_gates(config.ckpt_path, config.split, config.window)
    return {"picture": str(picture), **answers}


def show(result: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield the table of the numbers, and where the picture is."""
    from src.reporting.run_tables import gate_table

    yield gate_table(result)
    yield f"picture: {result['picture']} (TensorBoard: images)"


main = Command("gates", __doc__, gates, show)

if __name__ == "__main__":
    main()
