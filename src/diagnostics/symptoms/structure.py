"""All symptoms of structure together: what a few plays show of any model, trained or not."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from ..isolation import copyable, redraw, same_attributes
from .backward import Block, Node, find_blocks, find_first_nonfinite
from .calls import (
    Broadcast,
    Labels,
    Masked,
    Negative,
    Single,
    find_broadcast,
    find_labels,
    find_masked_rows,
    find_matrices,
    find_negative,
    find_singles,
)
from .dropout import ActiveDropout, find_active_dropout
from .influence import (
    Constant,
    Ignored,
    PaddingRead,
    find_constant_output,
    find_ignored,
    find_padding_read,
    has_flat_entries,
    unfed_modules,
)
from .leaks import Collapsed, Leak, find_collapsed, find_leaks
from .leaves import Cut, Stale, Unregistered, find_cut, find_stale, find_unregistered
from .playback import Playback, play
from .samples import Carried, LossFunction, Mixing, find_carried, find_mixing
from .stats import all_finite

T = TypeVar("T")
PLAYED = 2
"""Batches played for what must hold in every batch."""


@dataclass
class Structure:
    """What was seen of a model's structure; None or empty where nothing stands out.

    Args:
        matrices: Parameters that are multiplied with activations, and the axis of their outputs.
        flat_data: Whether some feature or step of the data is the same in all samples.
        unfed: Modules that never get anything computed from the batch.
        odd_batch: The batch that `masked` and `nonfinite` were seen in.
        fresh: A copy with fresh weights, where those of the model are not finite any more.
        looked: Names of the checks that could be made.
        skipped: Check -> why it could not be made.
    """

    carried: Carried | None = None
    mixing: Mixing | None = None
    broadcast: Broadcast | None = None
    singles: list[Single] = field(default_factory=list)
    labels: Labels | None = None
    negative: Negative | None = None
    masked: Masked | None = None
    unregistered: Unregistered | None = None
    stale: Stale | None = None
    cut: Cut | None = None
    blocks: list[Block] = field(default_factory=list)
    nonfinite: Node | None = None
    ignored: list[Ignored] = field(default_factory=list)
    constant: Constant | None = None
    padding: PaddingRead | None = None
    leaks: list[Leak] = field(default_factory=list)
    collapsed: Collapsed | None = None
    dropout: ActiveDropout | None = None
    matrices: dict[str, int] = field(default_factory=dict)
    flat_data: bool = True
    unfed: frozenset[str] = frozenset()
    odd_batch: int = 0
    fresh: nn.Module | None = None
    looked: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def look(self, check: str, find: Callable[[], T], default: T) -> T:
        """Make one check; an exotic model must not cost the user all the others."""
        try:
            found = find()
        except Exception as error:
            self.skipped[check] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            return default
        self.looked.append(check)
        return found


def find_state(
    found: Structure, model: nn.Module, batches: Sequence[Any], loss_fn: LossFunction
) -> None:
    """Look for state that is carried from batch to batch, which would spoil every later replay.

    Args:
        found: Filled in place.
        model: Any module; call this in `same_attributes`.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
    """
    found.carried = found.look("state", lambda: find_carried(model, batches, loss_fn), None)


@contextmanager
def same_state(model: nn.Module, structure: Structure) -> Iterator[None]:
    """Start the body from the state that the model was found in, if it carries any."""
    carried = structure.carried
    if carried is None:
        yield
        return
    with same_attributes(model):
        if carried.stuck:
            setattr(model.get_submodule(carried.module), carried.attribute, None)
        yield


def find_structure(
    found: Structure,
    model: nn.Module,
    batches: Sequence[Any],
    loss_fn: LossFunction,
    optimizers: Sequence[torch.optim.Optimizer],
    finite: Sequence[bool],
) -> None:
    """Play a few batches in evaluation mode and fill in what they show.

    Structure does not depend on the weights: where these are not finite any more, it is a copy with
    fresh ones that is played.

    Args:
        found: Filled in place.
        model: Any module.
        batches: A few batches.
        loss_fn: (model, batch) -> scalar loss.
        optimizers: The optimisers at work.
        finite: Per batch, whether its loss and gradients are; one that is not is traced.
    """
    if not all(all_finite(p.detach()) for p in model.parameters()):
        found.fresh = found.look("fresh weights", lambda: _with_fresh_weights(model), None)
    shown = found.fresh or model
    batch, played = batches[0], batches[:PLAYED]
    with same_state(shown, found):
        found.mixing = found.look("mixing", lambda: find_mixing(shown, batch, loss_fn), None)
        found.ignored = found.look("inputs", lambda: find_ignored(shown, played, loss_fn), [])
        found.padding = found.look(
            "padding", lambda: find_padding_read(shown, batch, loss_fn), None
        )
        plays: list[Playback] = found.look(
            "calls", lambda: [play(shown, b, loss_fn) for b in played], []
        )
    if not plays:
        return
    first = plays[0]
    found.broadcast = found.look("shapes", lambda: find_broadcast(first, batch), None)
    found.singles = found.look("singles", lambda: find_singles(plays), [])
    found.labels = found.look("labels", lambda: find_labels(first, batch), None)
    found.negative = found.look("sign", lambda: find_negative(first), None)
    if found.fresh is None:
        found.unregistered = found.look(
            "registration", lambda: find_unregistered(model, plays, played, optimizers), None
        )
        found.stale = found.look("optimiser", lambda: find_stale(model, first, optimizers), None)
    found.dropout = found.look("dropout", lambda: find_active_dropout(shown, first), None)
    found.matrices = found.look("weights", lambda: find_matrices(shown, first), {})
    found.flat_data = found.look("data", lambda: has_flat_entries(batches), True)
    found.unfed = found.look("feeding", lambda: unfed_modules(first, batch), frozenset())
    found.cut = found.look("connection", lambda: find_cut(shown, first), None)
    found.constant = found.look("output", lambda: find_constant_output(first, batch), None)
    found.collapsed = found.look("collapse", lambda: find_collapsed(shown, first, batch), None)
    found.blocks = found.look("flow", lambda: find_blocks(shown, first), [])
    with same_state(shown, found):
        found.leaks = found.look("masks", lambda: find_leaks(shown, batch, loss_fn, first), [])
        odd = [i for i, fine in enumerate(finite) if not fine]
        found.look("finiteness", lambda: _trace(found, shown, batches, odd, loss_fn), None)


def _with_fresh_weights(model: nn.Module) -> nn.Module:
    fresh = copy.deepcopy(model, copyable(model))
    redraw(fresh)
    return fresh


def _trace(
    found: Structure,
    model: nn.Module,
    batches: Sequence[Any],
    odd: list[int],
    loss_fn: LossFunction,
) -> None:
    """Play the batches that came out odd until one shows where that starts."""
    for number in odd:
        shown = play(model, batches[number], loss_fn)
        found.masked, found.nonfinite = find_masked_rows(shown), find_first_nonfinite(shown)
        if found.masked or found.nonfinite:
            found.odd_batch = number
            return
