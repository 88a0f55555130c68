"""Kill, stop and damage runs, and see whether anything is lost: `python -m benchmarks.torture`.

Each trial is a run of 60 steps in a process of its own that something ends; it is resumed, and
compared with one that nothing ended: weights, optimiser, scores, forecasts and every logged scalar
have to be the same, bit for bit.

    python -m benchmarks.torture steps random signals damage    # all of them; 12 minutes, two cores
    python -m benchmarks.torture steps --variants dropout forced_prior --write
"""

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_dir

from src.config import CONFIG_DIR
from src.config.compose import own_part
from src.config.trust import CheckpointError, settled
from src.runs import stopping
from src.runs.checkpoint import load_checkpoint
from src.runs.run import run
from src.training.module import RegressionModule

STEPS = 60
BASE = (
    *("data=prices", "data.context_length=20", "data.batch_size=16", "model=transformer_tiny"),
    *(
        "pooling=learnable",
        "trainer=cpu",
        "trainer.max_epochs=4",
        "+trainer.limit_train_batches=15",
    ),
    *(
        "trainer.limit_val_batches=1",
        "+trainer.limit_test_batches=1",
        "trainer.log_every_n_steps=1",
    ),
    *("callbacks=basic", "callbacks.progress_bar=null", "logger=tensorboard_csv"),
)
OFTEN = "callbacks.last_state.every_n_steps=1"
VARIANTS = {
    "each_epoch": (),
    "each_step": (OFTEN,),
    "dropout": ("dropout=projection", "callbacks.last_state.every_n_steps=7"),
    "dropout_each_step": ("dropout=projection", OFTEN),
    "lstm": (
        "model=lstm",
        "model.hidden_size=8",
        "model.num_layers=2",
        "dropout.encoder=0.3",
        OFTEN,
    ),
    "accumulation": ("trainer.accumulate_grad_batches=2", "trainer.max_epochs=8", OFTEN),
    "validated_by_steps": (
        *("trainer.max_steps=60", "trainer.max_epochs=-1", "trainer.val_check_interval=7"),
        *("trainer.check_val_every_n_epoch=null", "callbacks.last_state.every_n_steps=7"),
    ),
    "kl_prior": ("pooling_prior=recency_kl", "dropout=projection", OFTEN),
    "entropy_prior": ("pooling_prior=entropy", OFTEN),
    "injection_prior": (
        *("pooling_prior=gradient_injection", "pooling_prior.injection.every_n_steps=4", OFTEN),
    ),
    "update_prior": ("pooling_prior=direct_update", "pooling_prior.update.every_n_steps=4", OFTEN),
    "forced_prior": (
        *("pooling_prior=forced", "pooling_prior.injection.every_n_steps=4", "dropout=projection"),
    ),
    "monitored": (
        *(
            "callbacks=milestones",
            "callbacks.progress_bar=null",
            "callbacks.milestones.scale=0.005",
        ),
        *("callbacks.gradient_health.every_n_steps=5", "dropout=projection"),
        *(
            "callbacks.gradient_health.details_every_n_steps=10",
            "callbacks.milestones.every_n_steps=5",
        ),
        *("callbacks.pooling_monitor.every_n_steps=5", "callbacks.last_state.every_n_steps=7"),
    ),
    "schedule": (
        *("data=scenario", "schedule=dead_inputs", "schedule.scale=0.005", "data.batch_size=16"),
        *("callbacks.last_state.every_n_steps=7",),
    ),
}


def compose_run(overrides: Sequence[str], folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the config of a run below a folder, and the choices made for it."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("train", [*overrides, f"log_dir={folder}"], return_hydra_config=True)
    return settled(own_part(config)), dict(config.hydra.runtime.choices)


def in_a_process(work: Callable[[], Any], errors: Path | None = None) -> int:
    """Do some work in a forked process, silently; return the pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 0
    try:
        for stream, name in ((1, os.devnull), (2, errors or os.devnull)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
        with stopping.listening():
            work()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException as error:
        os.write(2, "".join(traceback.format_exception(error)).encode())
        code = 1
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start(config: Any, choices: Mapping[str, Any], name: str, kill_at: int | None = None) -> int:
    """Start a run in a process; it kills itself at a training step, if it is told to."""
    original = RegressionModule.training_step

    def training_step(module: Any, batch: Any, batch_idx: int) -> Any:
        if kill_at is not None and module.trainer.global_step == kill_at % STEPS:
            if kill_at % 2:  # before, or after, the step's forward pass
                original(module, batch, batch_idx)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(module, batch, batch_idx)

    def work() -> None:
        named = config.copy()
        named.name = name
        with patch.object(RegressionModule, "training_step", training_step):
            run(named, choices, [])

    return in_a_process(work)


def resume(folder: Path, config: Any, choices: Mapping[str, Any]) -> str:
    """Go on with a run in a process; return what was wrong with it, or nothing."""
    again = config.copy()
    again.resume = str(folder)
    errors = folder.parent / "errors.txt"
    code = ended(in_a_process(lambda: run(again, choices, []), errors))
    return f"exit code {code}: {errors.read_text()[-300:].strip()}" if code else ""


def only_run(parent: Path) -> Path:
    """Return the one run folder below a folder."""
    (folder,) = (file.parent for file in parent.glob("*/config.yaml"))
    return folder


def trace(folder: Path) -> dict[str, Any]:
    """Return all that must be the same of two runs, by what it is."""
    report = json.loads((folder / "report.json").read_text())
    found: dict[str, Any] = {
        key: report.get(key)
        for key in ("status", "test", "validation", "pooling", "milestones", "gradient_history")
    }
    found["best"] = {k: v for k, v in report["best"].items() if k != "checkpoint"}
    found["diagnosis"] = [f["cause"] for f in (report.get("diagnosis") or {}).get("findings", [])]
    found["forecasts"] = (folder / "forecasts.csv").read_bytes()
    found["scalars"] = scalars(folder)
    metrics = folder / "metrics.csv"
    found["metrics"] = list(csv.reader(metrics.open())) if metrics.is_file() else None
    for name in ("last", "best"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        if path.is_file():
            checkpoint = load_checkpoint(path)
            found[f"{name} weights"] = checkpoint["state_dict"]
            found[f"{name} optimizer"] = checkpoint["optimizer_states"]
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every scalar of a run's event files, as written: step and value in order."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = value.tensor.float_val[0] if value.tensor.float_val else value.tensor
                    found.setdefault(value.tag, []).append((event.step, number))
    return found


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Say where two traces differ; NaN equals NaN, and tensors are compared bit for bit."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = dict.fromkeys([*a, *b])
        return [d for k in keys for d in differences(a.get(k), b.get(k), f"{path}/{k}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [
            d
            for n, (x, y) in enumerate(zip(a, b, strict=True))
            for d in differences(x, y, f"{path}/{n}")
        ]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    return [] if a == b or (a != a and b != b) else [f"{path}: {str(a)[:60]} != {str(b)[:60]}"]


def temporaries(folder: Path) -> list[str]:
    """Return what is left half written below a folder."""
    return [file.name for file in folder.rglob(".*.tmp")]


def kill_at_steps(
    overrides: Sequence[str], steps: Sequence[int], folder: Path
) -> Iterator[tuple[int, list[str]]]:
    """Kill a run at each of some steps, resume it, and yield how it differs from a whole one."""
    config, choices = compose_run([*BASE, *overrides], folder)
    assert ended(start(config, choices, "whole")) == 0
    whole = trace(only_run(folder / "whole"))
    for step in steps:
        name = f"killed{step}"
        assert ended(start(config, choices, name, kill_at=step)) == -signal.SIGKILL
        killed = only_run(folder / name)
        wrong = resume(killed, config, choices)
        found = [wrong] if wrong else differences(whole, trace(killed))
        yield step, found + temporaries(folder / name)
        shutil.rmtree(folder / name)


def kill_at_random(
    overrides: Sequence[str], trials: int, seed: int, folder: Path
) -> Iterator[tuple[float, list[str]]]:
    """Kill a run at random moments, also while it writes, up to three times; then as above."""
    generator = random.Random(seed)
    config, choices = compose_run([*BASE, *overrides], folder)
    began = time.monotonic()
    assert ended(start(config, choices, "whole")) == 0
    length, whole = time.monotonic() - began, trace(only_run(folder / "whole"))
    for trial in range(trials):
        name, moment = f"killed{trial}", 0.0
        pid = start(config, choices, name)
        for _ in range(generator.choice((1, 1, 2, 3))):
            moment = generator.uniform(0, length)
            time.sleep(moment)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            ended(pid)
            if not list((folder / name).glob("*/config.yaml")):
                pid = start(config, choices, name)
                continue
            again = config.copy()
            again.resume = str(only_run(folder / name))
            pid = in_a_process(lambda again=again: run(again, choices, []))  # type: ignore[misc]
        code = ended(pid)
        killed = only_run(folder / name)
        wrong = resume(killed, config, choices) if code else ""
        found = [wrong] if wrong else differences(whole, trace(killed))
        found[:0] = [_went_on(killed)] if found else []
        yield moment, found + temporaries(folder / name)
        shutil.rmtree(folder / name)


def stop_at_random(
    overrides: Sequence[str], trials: int, seed: int, folder: Path
) -> Iterator[tuple[float, list[str]]]:
    """Send SIGTERM or Ctrl-C at random moments; yield how long it took, and what was wrong."""
    generator = random.Random(seed)
    config, choices = compose_run([*BASE, *overrides], folder)
    began = time.monotonic()
    assert ended(start(config, choices, "whole")) == 0
    length, whole = time.monotonic() - began, trace(only_run(folder / "whole"))
    for trial in range(trials):
        name, number = f"stopped{trial}", generator.choice((signal.SIGTERM, signal.SIGINT))
        errors = folder / f"{name}.txt"
        named = config.copy()
        named.name = name
        moment = time.monotonic() + generator.uniform(0, length)
        pid = in_a_process(lambda named=named: run(named, choices, []), errors)  # type: ignore[misc]
        # Half of the moments fall into the training, the others anywhere from the start on.
        while trial % 2 and not list((folder / name).glob("*/checkpoints/last.ckpt")):
            time.sleep(0.01)
        time.sleep(max(0.0, moment - time.monotonic()))
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            ended(pid)  # it was faster than the signal
            shutil.rmtree(folder / name)
            continue
        began = time.monotonic()
        os.kill(pid, number)
        code, took = ended(pid), time.monotonic() - began
        reports = [json.loads(f.read_text()) for f in (folder / name).glob("*/report.json")]
        is_over = code == 0 and [report["status"] for report in reports] == ["finished"]
        found = [] if is_over or code == 128 + number else [f"exit code {code}"]
        if "Traceback" in errors.read_text():
            found.append(errors.read_text()[-1500:])
        for stopped in (folder / name).glob("*"):
            report = json.loads((stopped / "report.json").read_text())
            if (status := report["status"]) == "interrupted":
                wrong = resume(stopped, config, choices)
                found += [wrong] if wrong else differences(whole, trace(stopped))
                found[:0] = [_went_on(stopped)] if found else []
            elif status != "finished":  # by its last lines
                found.append(f"status {status}: {report.get('reason')}")
        yield took, found + temporaries(folder)
        shutil.rmtree(folder / name, ignore_errors=True)


def _went_on(folder: Path) -> str:
    """Say where a run went on."""
    report = json.loads((folder / "report.json").read_text())
    places = [f"epoch {again['epoch']} batch {again['batch']}" for again in report["resumed"]]
    return f"went on at {', '.join(places)}"


def damages(content: bytes, trials: int, seed: int) -> Iterator[bytes]:
    """Yield a file with a bit flipped, cut short, overwritten in part, or with bytes added."""
    generator = random.Random(seed)
    for trial in range(trials):
        place = generator.randrange(len(content))
        damaged = bytearray(content)
        if trial % 4 == 0:
            damaged = damaged[:place]
        elif trial % 4 == 1:
            damaged[place : place + 16] = generator.randbytes(16)
        elif trial % 20 == 2:
            damaged += generator.randbytes(1 + place % 100)
        else:
            damaged[place] ^= 1 << generator.randrange(8)
        if bytes(damaged) != content:
            yield bytes(damaged)


def damage_checkpoints(checkpoint: Path, trials: int, seed: int) -> Iterator[tuple[int, list[str]]]:
    """Damage a checkpoint in many ways; yield each with what it was answered wrongly."""
    content = checkpoint.read_bytes()
    path = checkpoint.with_name("damaged.ckpt")
    for trial, damaged in enumerate(damages(content, trials, seed)):
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
            found = ["it loads"]
        except CheckpointError as error:
            found = [] if str(path) in str(error) and "\n" not in str(error) else [str(error)]
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        yield trial, found
    path.unlink()


def main() -> None:
    """Run the campaigns asked for, print a line for each, end with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    campaigns = ("steps", "random", "signals", "damage")
    parser.add_argument("campaigns", nargs="*", default=campaigns, help=", ".join(campaigns))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th step")
    parser.add_argument("--trials", type=int, default=50, help="random kills, and signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the figures in results/")
    line = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for campaign in line.campaigns:
            for label, trials in _trials(campaign, line, Path(name)):
                results[f"{campaign}: {label}"] = _tried(f"{campaign}: {label}", trials)
    if line.write:
        _keep(results)
    sys.exit(any(result["lost"] for result in results.values()))


def _trials(campaign: str, line: Any, folder: Path) -> Iterator[tuple[str, Iterator[Any]]]:
    if campaign == "steps":
        for variant in line.variants:
            own = folder / variant
            yield variant, kill_at_steps(VARIANTS[variant], range(0, STEPS, line.every), own)
    elif campaign == "random":
        variant = VARIANTS["dropout_each_step"]
        yield "dropout", kill_at_random(variant, line.trials, line.seed, folder / "random")
    elif campaign == "signals":
        variant = VARIANTS["dropout"]
        yield "dropout", stop_at_random(variant, line.trials, line.seed, folder / "signals")
    else:
        config, choices = compose_run(BASE, folder / "damage")
        assert ended(start(config, choices, "whole")) == 0
        best = only_run(folder / "damage" / "whole") / "checkpoints" / "best.ckpt"
        yield "best.ckpt", damage_checkpoints(best, 200, line.seed)


def _tried(label: str, trials: Iterator[tuple[float, list[str]]]) -> dict[str, Any]:
    began, number, lost, longest = time.monotonic(), 0, [], 0.0
    for moment, found in trials:
        number += 1
        longest = max(longest, moment)
        if found:
            lost.append(f"{moment:g}: {', '.join(found[:4])}")
            print(f"  {label} at {lost[-1]}", flush=True)
    took = time.monotonic() - began
    print(f"{label}: {number - len(lost)} of {number} kept, {took:.0f} s", flush=True)
    return {"tried": number, "lost": lost, "longest": longest, "seconds": round(took)}


def _keep(results: Mapping[str, Mapping[str, Any]]) -> None:
    from benchmarks.keeping import keep
    from src.reporting.text import markdown_rows

    rows = [("campaign", "tried", "lost"), ("---", "---:", "---:")]
    rows += [(name, str(r["tried"]), str(len(r["lost"]))) for name, r in results.items()]
    keep("torture", results, "# Kills, signals and damage\n\n" + markdown_rows(rows) + "\n")


if __name__ == "__main__":
    main()
