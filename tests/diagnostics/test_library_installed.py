"""Installed from a wheel into an environment of its own, beside a project that has a `src` too."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

LIBRARY = Path(__file__).parents[2] / "src" / "diagnostics"

CALLBACKS = """
import lightning.pytorch as pl


class Count(pl.Callback):
    steps = 0

    def on_train_batch_end(self, *args):
        self.steps += 1
"""

TRAIN = """
import json
import sys

import lightning.pytorch as pl
import torch
from torch import nn

from src.callbacks import Count
from whygrad import diagnose
from whygrad.lightning import GradientHealth

NAMES = ("open", "close", "volume")


class Regressor(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


def batches(count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        x = torch.randn(32, 3, generator=generator)
        x[:, 2] = 0
        yield x, x[:, :1] - x[:, 1:2]


class Windows(pl.LightningDataModule):
    feature_names = NAMES

    def train_dataloader(self):
        return torch.utils.data.DataLoader(list(batches(20)), batch_size=None)


torch.manual_seed(0)
health, count = GradientHealth(every_n_steps=1, details_every_n_steps=2), Count()
options = dict(accelerator="cpu", max_epochs=1, enable_progress_bar=False)
trainer = pl.Trainer(callbacks=[health, count], default_root_dir=sys.argv[1], **options)
trainer.fit(Regressor(), Windows())

model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), 1e-2)
loss_fn = lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])
for batch in batches(5):
    optimizer.zero_grad()
    loss_fn(model, batch).backward()
    optimizer.step()
loop = diagnose(model, batches(4), loss_fn, optimizer, feature_names=NAMES)

found = {"steps": count.steps, "loaded": [m for m in ("tensorboard", "talib") if m in sys.modules]}
for name, finding in {"callback": health.diagnosis.worst, "loop": loop.worst}.items():
    found[name] = finding.to_dict()
print(json.dumps(found))
"""


def with_requirements(*names: str) -> list[Distribution]:
    """Return distributions that are installed here with all they require."""
    wanted, seen = [Requirement(name) for name in names], set[str]()
    found = {}
    while wanted:
        required = wanted.pop()
        if str(required) in seen:
            continue
        seen.add(str(required))
        found[required.name] = one = distribution(required.name)
        for needs in map(Requirement, one.requires or ()):
            extras = required.extras or {""}
            if needs.marker is None or any(needs.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(needs)
    return list(found.values())


def make_environment(folder: Path, *names: str) -> Path:
    """Make an environment that holds the given distributions, linked, and nothing else."""
    venv.create(folder, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for one in with_requirements(*names):
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(one.locate_file(top))))
    return folder / "bin" / "python"


def run(*command: object, cwd: Path) -> str:
    """Run a command and return what it printed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_callback_and_loop_name_a_dead_input_in_a_foreign_project(tmp_path: Path) -> None:
    source = tmp_path / "library"
    left_out = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(LIBRARY, source, ignore=left_out)
    offline = ("--no-index", "--quiet", "--disable-pip-version-check")
    build = ("--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / "wheels")
    run(sys.executable, "-m", "pip", "wheel", *offline, *build, source, cwd=tmp_path)
    (wheel,) = (tmp_path / "wheels").iterdir()
    python = make_environment(tmp_path / "environment", "torch", "lightning")
    run(python, "-m", "pip", "install", *offline, f"{wheel}[lightning]", cwd=tmp_path)

    project = tmp_path / "project"
    (project / "src" / "callbacks").mkdir(parents=True)
    (project / "src" / "__init__.py").touch()
    (project / "src" / "callbacks" / "__init__.py").write_text(CALLBACKS)
    (project / "train.py").write_text(TRAIN)
    found = json.loads(run(python, "train.py", tmp_path / "runs", cwd=project).splitlines()[-1])
    assert found["steps"] == 20
    assert found["loaded"] == []
    for place in ("callback", "loop"):
        assert (found[place]["cause"], found[place]["indices"]) == ("dead_input", ["volume"])
        assert found[place]["confirmed"]

    files = run(python, "-m", "pip", "show", "--files", "whygrad", cwd=project)
    assert "whygrad/causes/inputs.py" in files
    assert not re.search(r"tests/|test_|faults|README|pyproject", files.partition("Files:")[2])
