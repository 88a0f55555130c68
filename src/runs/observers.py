"""Callbacks that only watch a training never end it: what goes wrong in one is said, once."""

import logging
import traceback
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar

log = logging.getLogger(__name__)

WATCHING = ("src.callbacks.", "src.diagnostics.")
"""Where the callbacks are that change nothing; those of src.interventions change the training."""


class Guard:
    """One method of a callback, which does nothing any more once the callback has failed.

    Args:
        callback: whose method it is.
        name: the method's.
    """

    def __init__(self, callback: pl.Callback, name: str) -> None:
        self.callback = callback
        self.name = name

    @property
    def __wrapped__(self) -> Any:
        """The method itself: Lightning asks whether a callback has one of its own."""
        return getattr(type(self.callback), self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method; where it fails, say so and leave the callback out from now on."""
        nothing: Any = {} if self.name in ("report", "state_dict") else None
        if getattr(self.callback, "failure", None) is not None:
            return nothing
        try:
            return self.__wrapped__(self.callback, *args, **kwargs)
        except Exception as error:
            self.callback.failure = failure = self._describe(error, args)  # type: ignore[attr-defined]
            log.warning(
                "%s failed in %s at step %s and is left out from now on, the training goes on: %s",
                *(failure[key] for key in ("callback", "method", "step", "error")),
            )
            self._clear_up(error, args)
            return nothing

    def _describe(self, error: Exception, args: tuple[Any, ...]) -> dict[str, Any]:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return {
            "callback": type(self.callback).__name__,
            "method": self.name,
            "step": getattr(args[0], "global_step", None) if args else None,
            "error": f"{type(error).__name__}: {error} ({where})",
        }

    def _clear_up(self, error: Exception, args: tuple[Any, ...]) -> None:
        """Let the callback take away what it has hung on the model, as it would at an error."""
        if self.name == "on_exception" or len(args) < 2:
            return
        try:
            type(self.callback).on_exception(self.callback, args[0], args[1], error)
        except Exception as second:
            log.debug("%s: %s", type(self.callback).__name__, second)


def guarded(callback: pl.Callback) -> pl.Callback:
    """Return the callback, unable to end a training if all it does is watch."""
    watches = type(callback).__module__.startswith(WATCHING)
    if watches or isinstance(callback, ProgressBar | LearningRateMonitor):
        names = [name for name in dir(type(callback)) if name.startswith("on_")]
        for name in (*names, "state_dict", "load_state_dict", "report"):
            own, plain = (getattr(kind, name, None) for kind in (type(callback), pl.Callback))
            if own is not None and own is not plain:
                setattr(callback, name, Guard(callback, name))
    return callback


def failures(trainer: pl.Trainer) -> list[dict[str, Any]]:
    """Return what went wrong in callbacks that watched, as plain values."""
    found = (getattr(callback, "failure", None) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    return [failure for failure in found if failure is not None]
