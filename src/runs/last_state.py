"""The last state of a training, complete: what goes on from it ends as if nothing had happened.

Lightning's checkpoints lack the random states, the place in the epoch and how far the curves got,
and what its loops make of a checkpoint depends on the hook that wrote it. Here every checkpoint of
a fit stands for one of three places, whatever wrote it: before a batch, before a validation, before
an epoch.
"""

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint

from src.board.history import history_so_far
from src.runs import stopping

LAST = "last.ckpt"
STATE = "last_state"
"""Key of a checkpoint under which all this is."""
CURVES = ("training_losses", "validation")
"""What a module remembers of its fit."""
BATCH, VALIDATION, EPOCH = "batch", "validation", "epoch"


class LastState(Checkpoint):
    """Write last.ckpt as each epoch begins, at the end of the fit, and when a signal ends it.

    It makes every other checkpoint of a run one to go on from, too.

    Args:
        dirpath: the folder of the run's checkpoints.
        every_n_steps: optimiser steps between two further writes; 0 for none.

    Raises:
        ValueError: every_n_steps is negative.

    Attributes:
        optimizer_options: of a resumed run, what its optimiser is told to do differently.
        overrules_stopping: of a resumed run, whether it trains on though something had ended it.
        has_begun: whether the fit has taken up all that it goes on from.
    """

    def __init__(self, dirpath: str, every_n_steps: int = 0) -> None:
        if every_n_steps < 0:
            raise ValueError(f"every_n_steps must be 0 (never) or positive, got {every_n_steps}")
        self.dirpath = Path(dirpath)
        self.every_n_steps = every_n_steps
        self.optimizer_options: Mapping[str, Any] = {}
        self.overrules_stopping = False
        self.has_begun = False
        self._place = BATCH
        self._before_validation: dict[str, Any] = {}
        self._has_stepped = True
        self._saved_at: tuple[int, int] | None = None
        self._to_restore: dict[str, Any] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the last values of what was logged; stay ended, if something had ended it."""
        if (state := self._to_restore) is not None:
            trainer._logger_connector._callback_metrics.update(state["metrics"])
            trainer.should_stop = state["stopped"] and not self.overrules_stopping
            if state["place"] == EPOCH and state["random"]:
                # Drawn from next is a number for the epoch's data loader.
                set_random_state(state["random"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Answer signals from now on, and let the optimiser do what it is told."""
        if trainer.world_size == 1:
            stopping.training_begins()
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.update(self.optimizer_options)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write, if it is time or a signal came; nothing of this batch has happened yet."""
        self._place = BATCH
        self._restore(trainer)
        if not self._has_stepped:  # gradients are being accumulated, and no checkpoint has them
            return
        now = trainer.current_epoch, batch_idx
        step, every = trainer.global_step, self.every_n_steps
        is_due = batch_idx == 0 or (every and step % every == 0)
        if now != self._saved_at and (is_due or stopping.received is not None):
            self._write(trainer)
            self._saved_at = now
        stopping.check()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Note whether the optimiser made its step."""
        self._has_stepped = not trainer.fit_loop._should_accumulate()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember how all stands: a signal may come before the validation ends."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._place = VALIDATION
            self._restore(trainer)
            self._before_validation = self._here(trainer)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Write how all stood before the validation, if a signal came."""
        if self._place == VALIDATION and self._has_stepped and stopping.received is not None:
            self._write(trainer)
            stopping.check()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on a checkpoint is one of after the validation."""
        self._place = EPOCH

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the end of the fit."""
        self._place = EPOCH
        self._write(trainer)
        stopping.training_ends()
        stopping.check()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let signals end the process at once again."""
        stopping.training_ends()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning leaves out, and say plainly where its loops stand."""
        if trainer.state.fn != "fit":
            return
        here = self._before_validation if self._place == VALIDATION else self._here(trainer)
        checkpoint[STATE] = {**here, **_progress(trainer, self._place)}
        for curve in CURVES:
            checkpoint[STATE][curve] = list(getattr(pl_module, curve, ()))
        _say_where(checkpoint["loops"]["fit_loop"], checkpoint[STATE])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up what `on_save_checkpoint` added, and what of other callbacks is to stay."""
        if STATE not in checkpoint:
            checkpoint[STATE] = of_an_earlier_version(checkpoint)
        _say_where(checkpoint["loops"]["fit_loop"], checkpoint[STATE])
        state = self._to_restore = checkpoint[STATE]
        trainer.datamodule.start = state["epoch"], state["batch"]  # type: ignore[attr-defined]
        for curve in CURVES:  # a checkpoint of an earlier version has the second alone
            setattr(pl_module, curve, list(state.get(curve, ())))
        self._saved_at = state["epoch"], state["batch"]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            kept = checkpoint["callbacks"].get(callback.state_key)
            if isinstance(callback, EarlyStopping) and kept:
                kept["patience"] = callback.patience
            if isinstance(callback, ModelCheckpoint) and kept:
                # Of another folder Lightning would forget all but the path.
                kept["dirpath"] = str(callback.dirpath)
                best = Path(kept["best_model_path"] or LAST).name
                kept["best_model_path"] = str(self.dirpath / best) if best != LAST else ""

    def _restore(self, trainer: pl.Trainer) -> None:
        """Put back what the loops and the batch to come would have changed meanwhile."""
        if (state := self._to_restore) is not None:
            self._to_restore = None
            if state["place"] != EPOCH and state["random"]:
                set_random_state(state["random"])
            if state["stepped"] is not None:
                trainer.fit_loop.epoch_loop._batches_that_stepped = state["stepped"]
        self.has_begun = True

    def _here(self, trainer: pl.Trainer) -> dict[str, Any]:
        """Return what later steps depend on and Lightning's own checkpoint does not hold."""
        metrics = {name: value.cpu() for name, value in trainer.callback_metrics.items()}
        return {
            "random": random_state(),
            "metrics": metrics,
            "history": history_so_far(trainer.loggers, self.dirpath.parent),
        }

    def _write(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.dirpath / LAST, weights_only=False)


def random_state() -> dict[str, Any]:
    """Return the states of all random generators, as tensors and plain values."""
    version, keys, gauss = random.getstate()
    name, words, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, torch.tensor(keys), gauss],
        "numpy": [
            name,
            torch.tensor(np.asarray(words, dtype=np.int64)),
            position,
            has_gauss,
            cached,
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put all random generators where `random_state` found them."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys.tolist()), gauss))
    name, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, words.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


def _progress(trainer: pl.Trainer, place: str) -> dict[str, Any]:
    """Return which batch of which epoch comes next, how many were seen, and what comes before it.

    Lightning counts a batch in four steps, an epoch too, and adds to what its curves are drawn over
    after the validation: so the counts say in which hook it is.
    """
    fit: Any = trainer.fit_loop
    loop, epochs = fit.epoch_loop, fit.epoch_progress.current
    batches, epoch, stepped = (
        loop.batch_progress.current,
        epochs.processed,
        loop._batches_that_stepped,
    )
    batch, total = batches.processed, loop.batch_progress.total.processed
    is_last, counts_later = loop._num_ready_batches_reached(), int(not loop._should_accumulate())
    if batches.started > batches.completed:  # a batch's end
        due = loop._should_check_val_fx(fit._data_fetcher)
        place = VALIDATION if due else EPOCH if is_last else BATCH
        epoch, stepped = epoch + (place == EPOCH), stepped + (0 if due else counts_later)
    elif batches.ready > batches.completed:  # a batch's start
        is_last = False
    elif epochs.processed > epochs.completed:  # an epoch's end
        place = EPOCH
    elif place == EPOCH and trainer.validating:  # a validation's end
        place = EPOCH if is_last else BATCH
        epoch, stepped = epoch + is_last, stepped + counts_later
    elif place == EPOCH and not is_last:  # the fit's end, by steps in the middle of an epoch
        place, epoch = BATCH, epoch - 1
    return {
        "place": place,
        "epoch": epoch,
        "batch": 0 if place == EPOCH else batch,
        "total": total,
        "is_last": place == VALIDATION and is_last,
        "stepped": stepped,
        "stopped": trainer.should_stop,
    }


def of_an_earlier_version(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint of Lightning's own says of where it stands."""
    fit = checkpoint["loops"]["fit_loop"]
    epochs, batches = fit["epoch_progress"]["current"], fit["epoch_loop.batch_progress"]
    is_over = batches["is_last_batch"] or epochs["ready"] == epochs["processed"]
    return {
        "place": EPOCH if is_over else BATCH,
        "epoch": max(epochs["ready"], epochs["processed"]) if is_over else epochs["processed"],
        "batch": 0 if is_over else batches["current"]["processed"],
        "total": batches["total"]["processed"],
        "is_last": False,
        "stepped": fit["epoch_loop.state_dict"]["_batches_that_stepped"] + 1,
        "stopped": False,
        "random": None,
        "metrics": {},
        "history": None,
        "validation": [],
    }


def check_state(state: Mapping[str, Any]) -> None:
    """Refuse what no run writes: the loops would count with it, or a curve be drawn over it.

    Raises:
        ValueError: naming the key.
    """
    if state["place"] not in (BATCH, VALIDATION, EPOCH):
        raise ValueError(f"its place is {state['place']!r}")
    for key in ("epoch", "batch", "total", "stepped"):
        if type(state[key]) is not int or not 0 <= state[key] < 1 << 60:
            raise ValueError(f"{key} is {str(state[key])[:60]!r}")
    for curve in CURVES:
        for point in state.get(curve, ()):
            # A skill is none where "tomorrow = today" makes no error; earlier ones had no skill.
            known = {"step", "loss"} <= set(point) <= {"step", "loss", "skill"}
            known &= all(type(value) in (int, float) for value in point.values())
            if not known or not all(math.isfinite(point[name]) for name in ("step", "loss")):
                raise ValueError(f"{curve} holds {str(point)[:60]}")
    for name, length in (state["history"] or {}).items():
        if type(length) is not int or not -1 <= length < 1 << 60:
            raise ValueError(f"the length of {str(name)[:60]} is {str(length)[:60]!r}")


def _say_where(fit_loop: dict[str, Any], state: Mapping[str, Any]) -> None:
    """Write into the state of Lightning's loops where a fit stands, as they restart from it."""
    epoch, batch, total = state["epoch"], state["batch"], state["total"]
    # A validation goes on, from its first batch, where Lightning finds one that was begun.
    begun = int(state["place"] == VALIDATION)
    counts = {
        "epoch_progress": ((epoch, 1), (epoch, 1)),
        "epoch_loop.batch_progress": ((total, 0), (batch, 0)),
        "epoch_loop.val_loop.batch_progress": ((0, begun), (0, begun)),
    }
    for name, pairs in counts.items():
        for part, (done, more) in zip(("total", "current"), pairs, strict=True):
            fit_loop[name][part] = {
                "ready": done + more,
                "started": done + more,
                "processed": done,
                "completed": done,
            }
    fit_loop["epoch_loop.batch_progress"]["is_last_batch"] = state["is_last"]
