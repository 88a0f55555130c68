"""A run that goes on: which one, from where, and what of it is different from now on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.config.resuming import asked_for, going_on, is_same_run, leaves, plain
from src.config.trust import CheckpointError, trusted
from src.config.values import check_values
from src.data import PriceDataModule
from src.data.identity import identity_of
from src.files import LOCK, is_held, locked, remove_temporaries
from src.runs.folder import CHECKPOINTS, CONFIG, REPORT, experiment_name
from src.runs.last_state import LAST, STATE, check_state, of_an_earlier_version
from src.runs.opening import Run, open_run

log = logging.getLogger(__name__)

_LENGTHS = ("max_epochs", "max_steps", "max_time")


@dataclass(frozen=True)
class Resumption:
    """What a run goes on from.

    Args:
        folder: the run's, which it stays in.
        checkpoint: its last state; None if it was ended before there was one.
        state: what `LastState` wrote there.
        config: the run's own, with what was changed.
        changes: what was changed, a line each.
        report: what report.json said of it last.
    """

    folder: Path
    checkpoint: Path | None
    state: Mapping[str, Any]
    config: DictConfig
    changes: Sequence[str]
    report: Mapping[str, Any]

    def refuse_other_prices(self, datamodule: PriceDataModule) -> None:
        """Refuse data that changed since.

        Raises:
            ValueError: saying how it differs.
        """
        difference = None
        if self.checkpoint is not None:
            difference = open_run(self.checkpoint).other_prices(datamodule)
        elif before := self.report.get("data", {}).get("sha256"):
            is_same = before == identity_of(datamodule.tables)["sha256"]
            difference = None if is_same else f"{datamodule.data_name} has changed since"
        if difference:
            raise ValueError(f"resume: {difference}")

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The options that the optimiser's stored state knows otherwise."""
        changed = {change.partition(":")[0] for change in self.changes}
        options = leaves(self.config.optimizer)
        return {key: value for key, value in options if f"optimizer.{key}" in changed}

    @property
    def asks_for_more(self) -> bool:
        """Whether it is to train longer than it was."""
        parts = tuple(f"trainer.{name}:" for name in _LENGTHS)
        return any(
            change.startswith((*parts, "callbacks.early_stopping")) for change in self.changes
        )


def find_resumption(
    config: DictConfig, choices: Mapping[str, Any], overrides: Sequence[str]
) -> Resumption | None:
    """Return what the run goes on from that `resume=` asks for; None where a new one begins.

    Args:
        config: a composed conf/train.yaml.
        choices: config groups and the option chosen in each.
        overrides: the command line's items.

    Raises:
        ValueError: there is no such run, it is running or done, or another one is asked for.
        CheckpointError: its last state is damaged.
    """
    path = _where(config, choices)
    if path is None:
        return None
    run = open_run(path, "last")
    if is_held(run.folder / LOCK):
        raise ValueError(f"resume: {run.folder} is running")
    report = run.report if (run.folder / REPORT).is_file() else {}
    has_state = path.is_file() or (run.folder / CHECKPOINTS / LAST).is_file()
    if not has_state and report.get("status") == "finished":
        raise ValueError(f"resume: {run.folder} is finished and kept no state to go on from")
    stored = _own_config(run, has_state)
    asked = asked_for(config, overrides) if overrides else {}
    state: Mapping[str, Any] = {}
    done: dict[str, int] = {}
    if has_state:
        state = _state_of(run)
        done = {"max_epochs": state["epoch"], "max_steps": run.checkpoint["global_step"]}
        asked |= _lifted(stored["trainer"], asked, done)
    now, changes = going_on(stored, asked)
    if (now.get("callbacks") or {}).get("last_state", True) is None:
        raise ValueError("resume: callbacks.last_state is what a run goes on by, and has to stay")
    checkpoint = run.checkpoint_path if has_state else None
    new = {**now, "resume": None}
    check_values(new)
    found = Resumption(run.folder, checkpoint, state, OmegaConf.create(new), changes, report)
    _refuse_what_is_done(found, done)
    return found


def _state_of(run: Run) -> Mapping[str, Any]:
    """Return where a checkpoint stands.

    Raises:
        CheckpointError: what it says of that is not what a run writes.
    """
    try:
        state = run.checkpoint.get(STATE) or of_an_earlier_version(run.checkpoint)
        check_state(state)
    except CheckpointError:
        raise
    except Exception as error:  # a key that is missing, a list where a mapping is
        what = f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{run.checkpoint_path} does not say where to go on: {what}"
        ) from None
    return state


def _where(config: DictConfig, choices: Mapping[str, Any]) -> Path | None:
    """Return the run or checkpoint that is to go on."""
    if config.get("resume") is None:
        return None
    if config.resume == "auto":
        parent = Path(config.log_dir) / experiment_name(config, choices)
        found = newest_unfinished(parent, config)
        if found is None:
            log.info("resume=auto: a new run begins, %s has none of this config to go on", parent)
        return found
    path = Path(config.resume)
    if not path.exists():
        raise ValueError(f"resume: no such run folder or checkpoint: {path}")
    return path


def _own_config(run: Run, has_state: bool) -> dict[str, Any]:
    """Return the config of a run; what config.yaml says besides was announced when it was new."""
    own = written = read_config(run.folder)
    if has_state:
        own, _ = going_on(plain(run.config), dict(leaves(written)) if written else {})
    if own is None:
        raise ValueError(f"resume: {run.folder} holds neither {CONFIG} nor {CHECKPOINTS}/{LAST}")
    return {key: value for key, value in own.items() if key != "ckpt_path"}


def newest_unfinished(parent: Path, config: DictConfig) -> Path | None:
    """Return the newest run of a config below a folder that ended before it was finished."""
    for file in sorted(parent.glob(f"*/{CONFIG}"), key=lambda file: file.stat().st_mtime)[::-1]:
        run = open_run(file.parent)
        if run.status in ("killed", "interrupted", "failed"):
            try:
                stored = read_config(run.folder)
            except CheckpointError:
                continue
            if stored is not None and is_same_run(stored, config):
                return run.folder
    return None


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return what config.yaml says of a run, checked; None where there is none.

    Raises:
        CheckpointError: it cannot be read, or names what no config may name.
    """
    file = folder / CONFIG
    if not file.is_file():
        return None
    try:
        return trusted(yaml.safe_load(file.read_text()), file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise CheckpointError(f"{file} cannot be read: {line}") from None


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold a run's folder while its process lives; remove what killed ones left half written.

    Raises:
        ValueError: another process holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / LOCK, wait=False))
        except BlockingIOError:
            raise ValueError(f"resume: {folder} is running") from None
        for run in folder.parent.iterdir():
            if run == folder or not is_held(run / LOCK):
                remove_temporaries(run)
                remove_temporaries(run / CHECKPOINTS)
        yield


def _lifted(
    trainer: Mapping[str, Any], asked: Mapping[str, Any], done: Mapping[str, int]
) -> dict[str, int]:
    """Return the limit that has been reached, as none, where the other one is asked for."""
    one, other = "max_epochs", "max_steps"
    pairs = ((one, other), (other, one))
    return {
        f"trainer.{b}": -1
        for a, b in pairs
        if asked.get(f"trainer.{a}", trainer.get(a)) != trainer.get(a)
        and f"trainer.{b}" not in asked
        and trainer.get(b) not in (None, -1)
        and done[b] >= trainer[b]
    }


def _refuse_what_is_done(found: Resumption, done: Mapping[str, int]) -> None:
    """Refuse a run that has nothing left to do, and a length that lies behind it."""
    limits: dict[str, Any] = {n: found.config.trainer.get(n) for n in done}
    limits = {n: limit for n, limit in limits.items() if limit not in (None, -1)}
    for name, limit in limits.items():
        if limit < done[name]:
            raise ValueError(
                f"resume: {found.folder} has trained {done[name]} already: trainer.{name} must be "
                f"at least that, got {limit}; trainer.{name}={2 * done[name]} goes on"
            )
    over = [name for name, limit in limits.items() if limit == done[name]]
    if found.state.get("stopped") and not found.asks_for_more:
        ended, name = "early stopping", "max_epochs"
    elif over:
        ended, name = f"trainer.{over[0]}", over[0]
    else:
        return
    if found.report.get("status") == "finished":
        raise ValueError(
            f"resume: {found.folder} is finished, {ended} ended it after {done['max_epochs']} "
            f"epochs and {done['max_steps']} steps; trainer.{name}={2 * done[name]} goes on"
        )
