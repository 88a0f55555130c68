"""The notebook in docs/ runs from its first cell to its last on a run of this version."""

import json
import shutil
from pathlib import Path

from src.config import CONFIG_DIR
from tests.notebooks import execute

NOTEBOOK = CONFIG_DIR.parent / "docs" / "open_run.ipynb"


def test_the_notebook_runs_and_every_cell_shows_something(kept_run, tmp_path, monkeypatch):
    run = kept_run("experiment=price_lstm", "callbacks=default")
    shutil.copytree(run, tmp_path / "lightning_logs" / "price_lstm" / run.name)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text())
    outputs = execute(notebook)
    assert len(outputs) >= 6
    kinds = {kind for cell in outputs for item in cell for kind in item.get("data", {})}
    assert {"text/html", "image/png"} <= kinds


def test_the_notebook_shows_what_its_cells_gave_and_no_path_of_a_machine():
    notebook = json.loads(Path(NOTEBOOK).read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in code[1:])
    assert "/tmp/" not in json.dumps(notebook)
