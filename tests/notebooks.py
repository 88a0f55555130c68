"""Executes a notebook's code cells in this process, and keeps what they show.

python -m tests.notebooks docs/open_run.ipynb    # writes the outputs into the notebook
"""

import ast
import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


def execute(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Run all code cells in one namespace; return each one's outputs as a notebook holds them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_outputs("".join(cell["source"]), names) for cell in cells]


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    tree, printed = ast.parse(source), io.StringIO()
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    text = printed.getvalue()
    streams = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
    shown = [] if value is None else [{"output_type": "display_data", "data": _shown(value)}]
    return [*streams, *({"metadata": {}, **item} for item in shown)]


def _shown(value: Any) -> dict[str, str]:
    if hasattr(value, "_repr_html_"):
        return {"text/html": value._repr_html_(), "text/plain": repr(value)}
    if hasattr(value, "_repr_png_"):
        png = base64.b64encode(value._repr_png_()).decode()
        return {"image/png": png, "text/plain": "forecast.png"}
    return {"text/plain": repr(value)}


def main(path: str) -> None:
    """Write the outputs of a notebook into it."""
    file = Path(path)
    notebook = json.loads(file.read_text())
    outputs = iter(execute(notebook))
    for number, cell in enumerate(c for c in notebook["cells"] if c["cell_type"] == "code"):
        cell |= {"outputs": next(outputs), "execution_count": number + 1}
    file.write_text(json.dumps(notebook, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
