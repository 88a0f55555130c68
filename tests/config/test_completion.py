"""Completion as bash asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.config import CONFIG_DIR
from src.config.completion import complete
from src.config.keys import command_keys

ROOT = CONFIG_DIR.parent


def candidates(monkeypatch, command, line):
    monkeypatch.setenv("COMP_LINE", line)
    return complete(command, "query=bash", command_keys(command)).splitlines()


@pytest.mark.parametrize(
    ("command", "line", "expected"),
    [
        ("train", " pooling=att", ["pooling=attention", "pooling=attentive_stats"]),
        ("train", " experiment=price_lstm optimizer.l", ["optimizer.lr="]),
        ("train", " --se", ["--seed"]),
        ("train", " hydra/launcher=b", ["hydra/launcher=basic"]),
        ("diagnose", " norm=r", ["norm=reversible", "norm=rms"]),
        ("predict", " a_run data.p", ["data.path="]),
        # Groups that the command does not use are not offered, and a run is a file's name.
        ("predict", " poo", []),
        ("evaluate", " lightning_l", []),
    ],
)
def test_the_last_word_becomes_what_the_command_knows(monkeypatch, command, line, expected):
    assert candidates(monkeypatch, command, line) == expected


def test_a_value_that_is_a_path_becomes_a_file(monkeypatch, tmp_path):
    (tmp_path / "a run").mkdir()
    (tmp_path / "prices.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert candidates(monkeypatch, "predict", " ckpt_path=a") == ["ckpt_path=a run/"]
    assert candidates(monkeypatch, "predict", " data.path=pri") == ["data.path=prices.csv"]


@pytest.mark.parametrize("command", ["python -m src.train", f"python {ROOT}/src/train.py"])
def test_a_bash_that_evaluates_the_script_completes(command):
    script = f"""
        eval "$({command} -sc install=bash)"
        [[ $(complete -p python) == *_price_models* ]] || exit 1
        COMP_LINE="{command} pooling=mea"; COMP_POINT=${{#COMP_LINE}}
        _price_models
        echo "${{COMPREPLY[@]}}"
    """
    folders = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": folders},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "pooling=mean\n"), done.stderr
