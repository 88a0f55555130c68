"""What the first hundred steps of a training show, which is soon enough to stop it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..measuring.counts import Measurement
from ..measuring.suspicion import Suspicion
from ..measuring.trend import falls

FIRST = 100
"""Steps in which it has to show whether a training gets anywhere."""
NO_FALL = Suspicion("loss does not fall", "")


class FirstSteps:
    """Keep the losses of the first steps, and judge them once.

    Attributes:
        losses: of the first steps, on their device.
        is_judged: whether they have been.
        skipped: steps before them, in which the rate warmed up.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.is_judged = False
        self.skipped = 0

    def add(self, loss: Tensor) -> bool:
        """Keep a loss, and return whether it is time to judge them."""
        if len(self.losses) < FIRST:
            self.losses.append(loss)
        return len(self.losses) == FIRST and not self.is_judged

    def judge(self, rates: Sequence[tuple[float, float]]) -> set[Suspicion]:
        """Say whether the loss falls; while a rate still warms up, wait for as many steps again.

        Args:
            rates: present and initial learning rate of every group.
        """
        if rates and all(now < 0.5 * initial for now, initial in rates):
            self.skipped += len(self.losses)
            self.losses.clear()
            return set()
        self.is_judged = True
        return set() if falls(loss_values(self.losses)) else {NO_FALL}

    def before(self, latest: int, count: int) -> list[Tensor] | None:
        """Return what the latest losses do not hold any more.

        Args:
            latest: how many of the latest losses there are.
            count: losses so far.

        Returns:
            Losses of the first steps; None where the first ones are not known.
        """
        gone = count - latest - self.skipped
        return self.losses[: max(0, gone)] if gone <= 0 or self.is_judged else None


def loss_values(losses: Iterable[Tensor]) -> list[float]:
    """Return losses as numbers, read from the device at once."""
    means = [loss.float().mean() for loss in losses]
    # Those of before a resumption lie on the host.
    return torch.stack([mean.to(means[-1].device) for mean in means]).tolist() if means else []


def of_gradients(measurements: Sequence[Measurement]) -> set[Suspicion]:
    """Name what is not finite in the latest measurement, and what was zero in all of several."""
    latest = measurements[-1].parameters
    found = {Suspicion("nonfinite", name) for name, stats in latest.items() if stats.nonfinite}
    same = [m.parameters for m in measurements if m.parameters.keys() == latest.keys()]
    if len(same) < 2:
        return found
    dead = (name for name in latest if all(not seen[name].nonzero for seen in same))
    return found | {Suspicion("dead from the start", name) for name in dead}
