"""Write a trained model into files that run without this code, and say how far they are off.

python -m src.export lightning_logs/<experiment>/<run>
python -m src.export <run> dir=model --json
"""

from collections.abc import Iterator
from typing import Any

from src.cli import Command, Job
from src.importing import importing

NEEDS = {
    "model.safetensors": "weights; any safetensors reader",
    "config.json": "options, scalings, inputs; any JSON reader",
    "model.pt2": "prices in, price out; torch alone",
    "model.onnx": "prices in, price out; onnxruntime",
}


def export(job: Job) -> dict[str, Any]:
    """Write the files; return their folder, sizes and differences from PyTorch."""
    # Imported here: a slip on the command line is answered at once, without torch.
    with importing():
        from src.serving.formats import export_run

    folder, differences = export_run(job.config.ckpt_path, job.config.dir, job.config.ticker)
    sizes = {name: (folder / name).stat().st_size for name in NEEDS}
    return {"folder": str(folder), "bytes": sizes, "differences": differences}


def show(result: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield the table of the files, and where they are."""
    from rich.table import Table

    table = Table("file", "what it is and needs", "kB", "off from PyTorch")
    for name, what in NEEDS.items():
        off = result["differences"].get(name)
        size = f"{result['bytes'][name] / 1000:.0f}"
        table.add_row(name, what, size, "" if off is None else f"{off:.1e}")
    yield table
    yield "off from PyTorch: largest difference, in standard deviations of the target"
    yield f"export folder: {result['folder']}"


main = Command(
    "export",
    __doc__,
    export,
    show,
    needs=("safetensors", "onnx", "onnxruntime", "onnxscript", "export"),
)

if __name__ == "__main__":
    main()
