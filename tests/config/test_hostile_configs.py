"""Configs and checkpoints that try to run something: none does, each is refused in one line.

What they try is to make a file called MARK; a test at the end shows that each kind would.
"""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src import train
from src.config import CONFIG_DIR
from src.config.trust import CheckpointError, trusted
from src.runs.opening import open_run
from tests.config.test_trust import OLD

BOMB = {"_target_": "logging.FileHandler", "filename": "MARK"}
TOUCH = {"_target_": "setuptools._distutils.spawn.spawn", "cmd": ["touch", "MARK"]}
TEXT = "{_target_: logging.FileHandler, filename: MARK}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Work in an empty folder, with a secret in the environment; see that neither is used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "hunter2")
    (tmp_path / "evil_module").mkdir()
    (tmp_path / "evil_module" / "__init__.py").write_text("open('MARK', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert not Path("MARK").exists(), "it was run"
    assert not Path("lightning_logs").exists(), "a run was started"


def assert_one_line(text):
    assert text.count("\n") == 0
    assert "hunter2" not in text


# Stored configs: what, and where.

RECURSIVE: dict = {}
RECURSIVE["again"] = RECURSIVE
DEEP: dict = {}
for _ in range(10_000):
    DEEP = {"deeper": DEEP}

PAYLOADS = {
    "a class": BOMB,
    "a command": TOUCH,
    "in a list": [1, [TOUCH]],
    "in a mapping": {"a": {"b": {"c": BOMB}}},
    "create": f"${{oc.create:{TEXT}}}",
    "create in text": f"x${{oc.create:{TEXT}}}y",
    "decode": '${oc.decode:"${oc.env:SECRET}"}',
    "secret": "${oc.env:SECRET}",
    "a key": "${seed}",
    "now": "${now:%Y}",
    "escaped": r"\${oc.env:SECRET}",
    "unclosed": "${oc.env:SECRET",
    "partial": {"_partial_": True, **TOUCH},
    "arguments": {"_target_": "src.models.norm.Norm", "_partial_": True, "_args_": [BOMB]},
    "prepared": {"_target_": "lightning.pytorch.Trainer", "_partial_": True, "callbacks": BOMB},
    "converted": {"_target_": "src.models.norm.Norm", "_partial_": True, "_convert_": "object"},
    "not recursive": {"_recursive_": False, "_target_": "src.models.norm.Norm", "_partial_": True},
    "missing": {"_target_": "???"},
    "through a module": {"_target_": "src.runs.folder.subprocess.run", "args": ["touch", "MARK"]},
    "not its place": {"_target_": "src.data.PriceDataModule", "path": "/etc/passwd"},
    "a resolver in a key": {"${oc.env:SECRET}": 1},
    "contains itself": RECURSIVE,
    "deep": DEEP,
    "a tensor": torch.zeros(2),
}
PLACES = ("model", "model.hidden_size", "callbacks.extra", "logger.tensorboard.save_dir", "extra")
STORED = [(what, where) for what in PAYLOADS for where in PLACES]


def with_payload(where, payload):
    config = yaml.safe_load(OLD)
    *parents, last = where.split(".")
    node = config
    for key in parents:
        node = node[key]
    node[last] = payload
    return config


def write_checkpoint(path, config):
    parts = {"hyper_parameters": {"config": config, "data": {}}, "state_dict": {}, "global_step": 0}
    torch.save(parts, path)
    return path


@pytest.mark.parametrize(("what", "where"), STORED)
def test_a_stored_config_runs_nothing(what, where):
    with pytest.raises(CheckpointError) as refused:
        trusted(with_payload(where, PAYLOADS[what]), "best.ckpt")
    assert_one_line(str(refused.value))
    assert "best.ckpt: the config in it is refused: " in str(refused.value)


@pytest.mark.parametrize("what", sorted(set(PAYLOADS) - {"deep"}))  # torch itself cannot save that
def test_a_checkpoint_runs_nothing(tmp_path, what):
    path = write_checkpoint(tmp_path / "best.ckpt", with_payload("extra", PAYLOADS[what]))
    for part in ("module", "datamodule", "predictor"):
        with pytest.raises(CheckpointError) as refused:
            getattr(open_run(path), part)
        assert_one_line(str(refused.value))


# Command lines.

LINES = [
    ["model._target_=logging.FileHandler", "+model.filename=MARK"],
    [f"+callbacks.extra={TEXT}"],
    [f"+callbacks.extra=[{TEXT}]"],
    [f"+extra={{a: {{b: {TEXT}}}}}"],
    ["+model._args_=[1]"],
    ["+model._recursive_=false"],
    ["+model._convert_=all"],
    ["model._partial_=false"],
    ["+trainer._partial_=true"],
    ["norm._target_=src.models.pooling.MeanPooling"],
    [f"model='${{oc.create:{TEXT}}}'"],
    [f"model.hidden_size='${{oc.create:{TEXT}}}'"],
    [f"name='x${{oc.create:{TEXT}}}'"],
    ["name=${oc.env:SECRET}"],
    ["name=$\\{oc.env:SECRET\\}"],
    ["name='\\${oc.env:SECRET}'"],
    ["data=${oc.env:SECRET}"],
    ["+x=oc.env", "name='${${x}:SECRET}'"],
    ["+x=env", "name='${oc.${x}:SECRET}'"],
    ["name=${oc.decode:'${oc.env:SECRET}'}"],
    ["name=${oc.select:hydra.runtime.cwd}"],
    ["name=${hydra:runtime.cwd}"],
    ["name=${python_version:}"],
    ["name='${now:${oc.env:SECRET}}'"],
    ["trainer.max_steps=${scaled:${oc.env:SECRET}}"],
    ["++optimizer={_target_: '${x}', _partial_: true}", "+x=logging.FileHandler"],
]
HYDRA = [
    ["hydra.searchpath=[pkg://evil_module]"],
    ["hydra.searchpath=[evil_module]"],
    ["++hydra.searchpath=[pkg://evil_module]"],
    [f"+hydra.callbacks.extra={TEXT}"],
    ["hydra.job_logging={root: {handlers: [x]}, handlers: {x: {'()': logging.FileHandler}}}"],
    ["hydra.hydra_logging.root={handlers: [x]}", "+hydra.hydra_logging.handlers={x: {class: x.y}}"],
    ["hydra.launcher._target_=logging.FileHandler", "+hydra.launcher.filename=MARK"],
    ["hydra.sweeper._target_=logging.FileHandler", "+hydra.sweeper.filename=MARK"],
    [f"+hydra.sweeper.extra={TEXT}"],
    [f"+hydra.launcher.extra={TEXT}"],
    ["+hydra.launcher._partial_=true"],
    ["+hydra.sweeper._args_=[1]"],
    ["+hydra.job.env_set.LD_PRELOAD=MARK"],
    ["hydra.job.env_copy=[SECRET]"],
    [f"hydra.sweep.dir='${{oc.create:{TEXT}}}'"],
    ["hydra.sweep.dir=${oc.env:SECRET}"],
]
OPTIONS = [
    ["--experimental-rerun", "evil.pickle"],
    ["--config-path", "pkg://evil_module"],
    ["--config-name", "evil"],
    ["--config-dir", "pkg://evil_module"],
    ["--config-dir=evil_module", "experiment=none_such"],
]
SWEEPS = [
    ["pooling=mean,'${oc.env:SECRET}'"],
    [f"+callbacks.extra=null,{TEXT}"],
    ["name=choice(a, '${oc.env:SECRET}')"],
    [f"hydra.sweeper.params={{+callbacks.extra: '{TEXT}'}}"],
    ["hydra.sweeper.params={name: '${oc.env:SECRET},x'}"],
    ["hydra.sweeper.params={+hydra.callbacks.extra: 'null'}"],
    [f"sweep.blocks={{a: {{+callbacks.extra: '{TEXT}'}}}}"],
    ["hydra/launcher=submitit_slurm", "hydra.launcher.setup=[touch MARK]"],
    ["hydra/launcher=submitit_slurm", "+hydra.launcher.srun_args=[--task-prolog=evil]"],
    ["hydra/launcher=submitit_slurm", 'hydra.launcher.partition="x\n touch MARK"'],
    ["hydra/sweeper=optuna", "hydra.sweeper.custom_search_space=evil_module.run"],
    ["hydra/sweeper=optuna", f"hydra.sweeper.sampler={TEXT}"],
    ["hydra/sweeper=optuna", f"+hydra.sweeper.sampler.gamma={TEXT}"],
    ["hydra/sweeper=optuna", f"hydra.sweeper.storage={TEXT}"],
]
TINY = ["debug=fast", "trainer=cpu", "logger=none", "callbacks=basic", "experiment=price_lstm"]


def refused(capsys, *line):
    with pytest.raises(SystemExit) as stopped:
        train.main(line)
    printed = capsys.readouterr()
    assert stopped.value.code == 2, printed.err
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert_one_line(printed.err.removesuffix("\n"))


@pytest.mark.parametrize("line", LINES + HYDRA + OPTIONS, ids=" ".join)
def test_a_command_line_runs_nothing(capsys, line):
    refused(capsys, *TINY, *line)


@pytest.mark.parametrize("line", HYDRA + SWEEPS, ids=" ".join)
def test_a_multirun_runs_nothing(capsys, line):
    refused(capsys, "-m", *TINY, "seed=0", *line)


# A folder of presets that somebody sent.

PRESETS = {
    "a class": f"callbacks: {{extra: {TEXT}}}",
    "another model": "model: {_target_: logging.FileHandler, filename: MARK}",
    "create": f"model: {{hidden_size: '${{oc.create:{TEXT}}}'}}",
    "a secret": "name: ${oc.env:SECRET}",
    "a secret in a key": "dropout: {'${oc.env:SECRET}': 1}",
    "a secret in the defaults": "defaults: [{override /model: '${oc.env:SECRET}'}]",
    "create in the defaults": f"defaults: [{{override /model: '${{oc.create:{TEXT}}}'}}]",
    "aliases": f"a: &x {TEXT}\ncallbacks: {{extra: *x, more: [*x, *x]}}",
    "an alias of itself": "a: &x [*x]",
    "merged": f"a: &x {TEXT}\ncallbacks: {{extra: {{<<: *x, mode: w}}}}",
    "python": "a: !!python/object/apply:os.system ['touch MARK']",
    "a python name": "a: !!python/name:os.system",
    "no yaml": "a: [",
    "a list": "- a\n- b",
    "a target by name": "x: logging.FileHandler\nmodel: {_target_: '${x}', filename: MARK}",
    "hydra's callbacks": f"hydra: {{callbacks: {{extra: {TEXT}}}}}",
    "hydra's logging": "hydra: {job_logging: {root: {handlers: [x]},"
    " handlers: {x: {'()': logging.FileHandler, filename: MARK}}}}",
    "hydra's own logging": "hydra: {hydra_logging: {root: {handlers: [x]},"
    " handlers: {x: {class: logging.FileHandler, filename: MARK}}}}",
    "logging by name": "x: {root: {handlers: []}}\nhydra: {job_logging: '${x}'}",
    "a job by name": "x: {env_set: {LD_PRELOAD: MARK}}\nhydra: {job: '${x}'}",
    "hydra's launcher": f"hydra: {{launcher: {TEXT}}}",
    "hydra's sweeper": f"hydra: {{sweeper: {TEXT}}}",
    "environment": "hydra: {job: {env_set: {LD_PRELOAD: MARK}}}",
    "search path": "hydra: {searchpath: ['pkg://evil_module']}",
    "shell": "defaults: [{override /hydra/launcher: submitit_slurm}]\n"
    "hydra: {launcher: {setup: ['touch MARK']}}",
    "search space": "defaults: [{override /hydra/sweeper: optuna}]\n"
    "hydra: {sweeper: {custom_search_space: evil_module.run}}",
}


@pytest.mark.parametrize(
    ("what", "multirun"),
    [(what, []) for what in PRESETS]
    + [(what, ["-m", "seed=0"]) for what, text in PRESETS.items() if "hydra" in text],
)
def test_a_preset_of_somebody_else_runs_nothing(capsys, tmp_path, what, multirun):
    folder = tmp_path / "presets" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"# @package _global_\n{PRESETS[what]}\n")
    line = ["--config-dir", str(folder.parent), "experiment=evil"]
    refused(capsys, *multirun, *TINY[:-1], *line)


def test_a_group_of_somebody_else_runs_nothing(capsys, tmp_path):
    for group, text in {
        "model": TEXT,
        "hydra/launcher": TEXT,
        "pooling": "${oc.env:SECRET}",
    }.items():
        folder = tmp_path / "presets" / group
        folder.mkdir(parents=True)
        (folder / "evil.yaml").write_text(text)
        refused(capsys, "-m", *TINY, "--config-dir", str(tmp_path / "presets"), f"{group}=evil")


# As processes, and with the lock taken off.


def run(*arguments, cwd):
    root = CONFIG_DIR.parent
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["-m", "src.train", f"+hydra.callbacks.extra={TEXT}"], 2),
        ([str(CONFIG_DIR.parent / "src/train.py"), "-m", f"+hydra.callbacks.extra={TEXT}"], 2),
        (["-m", "src.predict", "evil.ckpt", f"+x={TEXT}"], 2),
        (["-m", "src.evaluate", "evil.ckpt"], 3),
    ],
    ids=["train", "sweep", "predict", "checkpoint"],
)
def test_a_process_runs_nothing(tmp_path, command, code):
    write_checkpoint(tmp_path / "evil.ckpt", with_payload("extra", PAYLOADS["create"]))
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert_one_line(done.stderr.removesuffix("\n"))


@pytest.mark.parametrize("what", ["a class", "a command", "in a mapping", "create", "partial"])
def test_without_the_check_it_would_have_run(tmp_path, what):
    config = OmegaConf.create({"callbacks": {"extra": copy.deepcopy(PAYLOADS[what])}})
    OmegaConf.register_new_resolver("oc.create", _create, replace=True)
    built = instantiate(config)
    if what == "partial":
        built["callbacks"]["extra"]()
    assert Path("MARK").exists()
    Path("MARK").unlink()
    OmegaConf.clear_resolver("oc.create")


def _create(values, _parent_):
    return OmegaConf.create(values, parent=_parent_)
