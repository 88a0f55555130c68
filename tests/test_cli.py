"""The frame that all commands share: their lines, their help, their exit codes."""

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.cli import Command
from src.config import CONFIG_DIR
from src.config.keys import quoted
from src.config.trust import CheckpointError

ROOT = CONFIG_DIR.parent
COMMANDS = ("train", "evaluate", "predict", "diagnose", "report", "serve", "export", "gates")
ABOUT_A_RUN = ("evaluate", "predict", "serve", "export", "gates")
GROUPS = {folder.name for folder in CONFIG_DIR.iterdir() if folder.is_dir()}


def python(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def refused(capsys, command, *arguments):
    with pytest.raises(SystemExit) as stopped:
        command(arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return stopped.value.code, printed.err


def main_of(name):
    return importlib.import_module(f"src.{name}").main


def test_the_commands_are_the_files_at_the_top_of_src():
    files = {file.stem for file in (ROOT / "src").glob("*.py")}
    assert files - {"__init__", "cli", "files", "importing", "terminal", "src"} == set(COMMANDS)


def test_no_name_in_src_hides_the_standard_library_or_an_installed_package():
    names = {path.stem for path in (ROOT / "src").iterdir()} - {"src", "__init__", "__pycache__"}
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(packages_distributions())


@pytest.mark.parametrize(
    ("asked", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")]
)
def test_waiting_threads_sleep_unless_told_otherwise(asked, policy):
    code = "from src.train import command; command(['--help']); import torch"
    shown = python("-c", code, OMP_DISPLAY_ENV="true", **asked).stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in shown


def test_help_answers_without_torch_hydra_or_pandas():
    code = (
        "import importlib, sys\n"
        f"for name in {COMMANDS}: importlib.import_module(f'src.{{name}}').main(['--help'])\n"
        "print(*sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "hydra", "omegaconf", "pandas", "matplotlib", "rich"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_the_commands_own_keys_and_lists_only_groups_it_uses(capsys, name):
    main_of(name)(["--help"])
    text = capsys.readouterr().out
    used = {
        "train": GROUPS - {"hydra"},
        "diagnose": GROUPS - {"hydra", "trainer", "callbacks", "logger", "sweep", "debug"},
        "evaluate": {"trainer"},
    }.get(name, set())
    listed = {
        line.split("=")[0].strip() for line in text.splitlines() if line.startswith("  ")
    } & GROUPS
    assert listed == used
    keys = text.split("Keys, as key=value or --key value:\n")[1].split("\nOptions:")[0].splitlines()
    values = [key for key in keys if key.strip() and not key.endswith(":")]
    assert all("#" in value for value in values), values


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_as_a_module_and_as_a_file(tmp_path, name):
    as_module = python("-m", f"src.{name}", "--help")
    as_file = python(str(ROOT / "src" / f"{name}.py"), "--help", cwd=tmp_path)
    assert as_module.returncode == as_file.returncode == 0, as_file.stderr
    assert as_module.stdout == as_file.stdout


def test_a_file_that_is_run_finds_the_package_it_lies_in(tmp_path):
    """Python puts the file's own folder first on its path; another `src` may be installed."""
    code = "import src.cli, sys; print(src.__version__, src.cli.__file__, sys.path[0])"
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); {code}"
    version, file, first = python("-c", code, cwd=tmp_path).stdout.split()
    assert version.count(".") == 2
    assert Path(file) == ROOT / "src" / "cli.py"
    assert Path(first) == ROOT


@pytest.mark.parametrize("name", ABOUT_A_RUN)
@pytest.mark.parametrize("arguments", [[], ["ckpt_path=null"]])
def test_a_missing_run_is_one_line_that_says_what_to_type(capsys, name, arguments):
    code, error = refused(capsys, main_of(name), *arguments)
    assert code == 2
    assert f"ckpt_path is missing: python -m src.{name} <run folder>" in error


@pytest.mark.parametrize("name", [*ABOUT_A_RUN, "diagnose"])
def test_a_bare_word_is_the_run(capsys, name):
    assert refused(capsys, main_of(name), "no where") == (
        2,
        "error: ckpt_path does not exist: no where\n",
    )
    assert "one run is expected, got a b" in refused(capsys, main_of(name), "a", "b")[1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train", ["nowhere"], "'nowhere' is no key=value"),
        ("evaluate", ["x", "--josn"], "unrecognized arguments: --josn; see python -m src.evaluate"),
        ("evaluate", ["x", "-m", "split=val,test"], "unrecognized arguments: -m"),
        ("evaluate", ["x", "split=val,test"], "split has several values"),
        ("evaluate", ["x", "splt=val"], "did you mean split"),
        ("evaluate", ["x", "model=lstm"], "model: evaluate has no such group; see --help"),
        ("predict", ["x", "data=prices"], "data: predict has no such group; see --help"),
        ("evaluate", ["x", "mdel=lstm"], "choose from ckpt_path, json, split, trainer\n"),
        ("evaluate", ["ckpt_path=[1]"], "ckpt_path: expected null or one path, got [1]"),
        ("serve", ["ckpt_path="], 'ckpt_path: expected null or one path, got ""'),
        ("serve", ["x", "host="], 'host: expected a text, got ""'),
        ("serve", ["x", "host=[1]"], "host: expected a text, got [1]"),
        ("export", ["x", "dir=[1]"], "dir: expected null or one path, got [1]"),
        ("report", ["x", "out=[1]"], "out: expected null or one path, got [1]"),
        ("report", ["runs=[1]"], "runs: expected null or a list of paths, got [1]"),
        ("report", ["runs="], "runs is missing"),
        ("report", ["runs=no/where"], "no such folder: no/where"),
        ("report", ["--runs", "no/where"], "no such folder: no/where"),
        ("report", ["claims"], "python -m benchmarks.claims"),
        ("report", [], "runs is missing"),
        ("train", ["--config-dir", "nowhere"], "--config-dir: no such folder: nowhere"),
        ("train", ["--config-name", "x"], "unrecognized arguments"),
        ("train", ["--config-path=x"], "unrecognized arguments"),
        ("train", ["-sc", "install=tcsh"], "install=bash"),
    ],
)
def test_a_slip_is_one_line_and_exit_code_2(capsys, name, arguments, message):
    code, error = refused(capsys, main_of(name), *arguments)
    assert code == 2
    assert message in error


def evaluating(work, show=None):
    """Return a command with the keys of `evaluate` and other work."""
    return Command("evaluate", "Does something.", work, show)


@pytest.mark.parametrize(
    "line",
    [["a run", "--json"], ["json=true", "ckpt_path='a run'"], ["--ckpt_path=a run", "--json"]],
)
def test_json_is_all_there_is_on_standard_output(capsys, line):
    def work(job):
        print("GPU available: False")
        return {"run": job.config.ckpt_path, "rmse": float("nan")}

    evaluating(work)(line)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"run": "a run", "rmse": None}
    assert printed.err == "GPU available: False\n"


def test_texts_are_shown_whole_and_as_they_are(capsys):
    long = "[run] folder: " + "x" * 200
    evaluating(lambda job: long, lambda result, job: [result])(["x"])
    assert capsys.readouterr().out == long + "\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("bad\nvalue"), 2),
        (PermissionError(13, "Permission denied", "x.csv"), 2),
        (CheckpointError("damaged"), 3),
        (FloatingPointError("loss is nan"), 1),
    ],
)
def test_an_error_is_one_line_and_its_kind_the_exit_code(capsys, error, code):
    def work(job):
        raise error

    assert refused(capsys, evaluating(work), "x")[0] == code


def test_an_error_cannot_fill_or_steer_the_terminal(capsys):
    def work(job):
        raise ValueError("a\nb\x1b[2Jc " + "x" * 100_000)

    _, error = refused(capsys, evaluating(work), "x")
    assert error.startswith("error: a b\\x1b[2Jc xxx")
    assert len(error) < 1100


def test_ctrl_c_ends_a_command_without_a_traceback(capsys):
    def work(job):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        evaluating(work)(["x"])
    assert capsys.readouterr().err == ""


def test_a_missing_extra_is_named(capsys):
    command = Command("evaluate", "", lambda job: None, needs=("json", "no_such_module", "serve"))
    assert refused(capsys, command, "x") == (
        2,
        "error: evaluate needs no_such_module: pip install -e '.[serve]'\n",
    )


@pytest.mark.parametrize(
    "text",
    ["a", "a b", "it's", 'say "x"', "a,b", "[x]", "{x}", "x=y", "C:\\", "\\'", "a\\\\'b\\", ""],
)
def test_a_quoted_text_is_read_back_as_it_was(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert override.value() == text


@pytest.mark.parametrize(
    "line", [["--format", "md,csv"], ["format=md,csv"], ["format=[md,csv]"], ["--format=md,csv"]]
)
def test_a_list_is_written_with_commas(monkeypatch, line):
    jobs = []
    monkeypatch.setattr(main_of("report"), "work", jobs.append)
    monkeypatch.setattr(main_of("report"), "show", None)
    main_of("report")(["a run", "b*", *line])
    assert jobs[0].config.format == ["md", "csv"]
    assert jobs[0].config.runs == ["a run", "b*"]


def test_a_preset_may_lie_in_a_folder_of_ones_own(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /pooling: mean\noptimizer: {lr: 0.5}\n"
    )
    line = ["--config-dir", str(tmp_path), "experiment=mine", "--cfg", "job"]
    main_of("train")(line)
    assert "src.models.pooling.MeanPooling" in capsys.readouterr().out


def test_a_table_that_goes_into_a_pipe_is_not_cut(kept_run):
    folder = kept_run("experiment=price_lstm")
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-m", "src.report", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) > 80
    assert "…" not in done.stdout
