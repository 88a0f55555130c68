"""Campaigns: many trials of one kind, each yielded with what was wrong about it, or nothing."""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.torture.traces import differences, trace
from benchmarks.torture.trials import Whole, ended, only_run, temporaries, whole_run
from src.config.trust import CheckpointError
from src.reporting.runs import status_of
from src.runs.checkpoint import load_checkpoint

Trials = Iterator[tuple[float, list[str]]]
"""When or where each trial was hit, and what was wrong about it: nothing, if all was kept."""


def kill_at_steps(overrides: Sequence[str], steps: Sequence[int], folder: Path) -> Trials:
    """Kill a run at each of some steps, go on with it, and compare it with a whole one."""
    whole = whole_run(overrides, folder)
    for step in steps:
        name = f"killed{step}"
        code = ended(whole.start(name, kill_at=step))
        wrong = [] if code == -signal.SIGKILL else [f"not killed, but ended with {code}"]
        yield step, wrong or _gone_on(whole, only_run(folder / name))
        shutil.rmtree(folder / name)


def kill_at_random(overrides: Sequence[str], trials: int, seed: int, folder: Path) -> Trials:
    """Kill a run at random moments, also while it writes or goes on, up to three times."""
    generator = random.Random(seed)
    whole = whole_run(overrides, folder)
    for trial in range(trials):
        name, moment, code = f"killed{trial}", 0.0, 1
        for _ in range(generator.choice((1, 1, 2, 3))):
            begun = [file.parent for file in (folder / name).glob("*/config.yaml")]
            pid = whole.go_on(begun[0]) if begun else whole.start(name)
            moment = generator.uniform(0, whole.seconds)
            time.sleep(moment)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = ended(pid)
            if code == 0:  # it was faster
                break
        if not list((folder / name).glob("*/config.yaml")):
            code = ended(whole.start(name))
        yield moment, _gone_on(whole, only_run(folder / name), is_over=code == 0)
        shutil.rmtree(folder / name)


def stop_at_random(overrides: Sequence[str], trials: int, seed: int, folder: Path) -> Trials:
    """Send SIGTERM or Ctrl-C at random moments; yield how long it took, and what was wrong."""
    generator = random.Random(seed)
    whole, trial = whole_run(overrides, folder), 0
    while trial < trials:
        name, number = f"stopped{trial}", generator.choice((signal.SIGTERM, signal.SIGINT))
        errors = folder / f"{name}.txt"
        moment = time.monotonic() + generator.uniform(0, whole.seconds)
        pid = whole.start(name, errors=errors)
        # Half of the moments fall into the training, the others anywhere from the start on.
        while trial % 2 and not list((folder / name).glob("*/checkpoints/last.ckpt")):
            time.sleep(0.01)
        time.sleep(max(0.0, moment - time.monotonic()))
        began = time.monotonic()
        if not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            os.kill(pid, number)
            trial += 1
            yield _stopped(whole, pid, number, folder / name, errors, began)
        else:  # it was faster than the signal: no trial
            ended(pid)
        shutil.rmtree(folder / name, ignore_errors=True)


def _stopped(
    whole: Whole, pid: int, number: signal.Signals, parent: Path, errors: Path, began: float
) -> tuple[float, list[str]]:
    """Return how long a run took to end by a signal, and what was wrong then or afterwards."""
    code, took = ended(pid), time.monotonic() - began
    folders = list(parent.glob("*"))
    reports = [json.loads(file.read_text()) for file in parent.glob("*/report.json")]
    is_over = code == 0 and [report["status"] for report in reports] == ["finished"]
    wrong = [] if is_over or code == 128 + number else [f"{number.name}: exit code {code}"]
    wrong += [f"it took {took:.1f} s"] if took > 10 else []
    wrong += [said[-1500:]] if "Traceback" in (said := errors.read_text()) else []
    wrong += ["a folder without a report"] if len(reports) < len(folders) else []
    for folder, report in zip(folders, reports, strict=False):
        status, reason = status_of(folder, report)
        if status == "interrupted":
            wrong += _gone_on(whole, folder)
        elif status != "finished":  # by its last lines
            wrong.append(f"status {status}: {reason}")
    return took, wrong


def _gone_on(whole: Whole, folder: Path, is_over: bool = False) -> list[str]:
    """Go on with a run that was ended, unless it is over; return how it differs from a whole one.

    Where it went on, and the last thing it said, come with what is wrong.
    """
    errors = folder.parent / "errors.txt"
    if not is_over and (code := ended(whole.go_on(folder, errors))):
        return [f"going on ended with {code}: {errors.read_text()[-1500:].strip()}"]
    found = differences(whole.trace, trace(folder)) + temporaries(folder.parent)
    if found:
        resumed = json.loads((folder / "report.json").read_text()).get("resumed", ())
        places = [f"epoch {again['epoch']} batch {again['batch']}" for again in resumed]
        found.insert(0, f"went on at {', '.join(places)}")
    return found


def damage_checkpoints(checkpoint: Path, trials: int, seed: int) -> Trials:
    """Damage a checkpoint in many ways; yield each with what it was answered wrongly."""
    content = checkpoint.read_bytes()
    path = checkpoint.with_name("damaged.ckpt")
    for trial, damaged in enumerate(damages(content, trials, seed)):
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
            wrong = ["it loads"]
        except CheckpointError as error:
            wrong = [] if str(path) in str(error) and "\n" not in str(error) else [str(error)]
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        yield trial, wrong
    path.unlink()


def damages(content: bytes, trials: int, seed: int) -> Iterator[bytes]:
    """Yield a file with a bit flipped, cut short, overwritten in part, or with bytes added."""
    generator = random.Random(seed)
    made = 0
    while made < trials:
        place = generator.randrange(len(content))
        damaged = bytearray(content)
        if made % 4 == 0:
            damaged = damaged[:place]
        elif made % 4 == 1:
            damaged[place : place + 16] = generator.randbytes(16)
        elif made % 20 == 2:
            damaged += generator.randbytes(1 + place % 100)
        else:
            damaged[place] ^= 1 << generator.randrange(8)
        if bytes(damaged) != content:
            made += 1
            yield bytes(damaged)
