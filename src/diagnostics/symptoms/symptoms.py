"""The symptoms of one replay: plain numbers per module, parameter, activation, mask and loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .skill import LEARNED, skill
from .stats import FeatureStats, FlowStats
from .structure import Structure


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Facts about the loop around the model; every one of them may be unknown (None).

    Args:
        clip_norm: Largest gradient norm the clipping lets through (same unit as the gradient).
        clip_value: Largest gradient entry the clipping lets through.
        precision: As the Trainer spells it: `32-true`, `16-mixed`, `bf16-mixed`, ...
        loss_scale: Current scale of the gradient scaler.
        loss_scales: Scales of the last steps, oldest first.
        losses: Training losses of the last steps, oldest first.
        first_losses: Losses of the first steps that `losses` does not hold any more, oldest first;
            None where it is not known how the training began.
        grad_norms: Gradient norms of the last steps before clipping, oldest first.
        accumulate_grad_batches: Batches whose gradients one step adds up on purpose.
        step: Optimiser steps taken so far.
        base_lr: The rate a schedule works towards, when the current one is part of a warm-up.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    precision: str | None = None
    loss_scale: float | None = None
    loss_scales: Sequence[float] | None = None
    losses: Sequence[float] | None = None
    first_losses: Sequence[float] | None = None
    grad_norms: Sequence[float] | None = None
    accumulate_grad_batches: int | None = None
    step: int | None = None
    base_lr: float | None = None


@dataclass
class ModuleSymptoms:
    """What went in and out of a module with parameters of its own, over all batches.

    `order` is the position of the first call, `from_data` says that its input depends on no
    parameter (only then are its statistics kept), `flow` is the norm of the loss gradient at its
    output, `is_known` that torch brings it,
    `bad_input` and `bad_output` count non-finite values per column.
    """

    name: str
    kind: str
    order: int = -1
    calls: int = 0
    from_data: bool = False
    connected: bool = False
    input: FeatureStats | None = None
    bad_input: Tensor | None = None
    bad_output: Tensor | None = None
    grad_output: FlowStats | None = None
    input_axis: int = -1
    leaf: bool = True
    is_known: bool = True
    units: int = 0
    saturation: dict[str, float] = field(default_factory=dict)
    input_over_time: Tensor | None = None

    @property
    def flow(self) -> float:
        """Norm of the gradient of the loss at the output."""
        return self.grad_output.norm if self.grad_output else 0.0


@dataclass
class ParameterSymptoms:
    """A parameter, the gradient it came with, and its gradients over the batches."""

    name: str
    module: str
    weight: Tensor
    requires_grad: bool
    optimized: bool | None
    entry: Tensor | None = None
    missing: int = 0
    grads: list[Tensor] = field(default_factory=list)
    is_zero: Tensor | None = None

    @property
    def local_name(self) -> str:
        """Name within its module."""
        return self.name.rpartition(".")[2]

    @property
    def norm(self) -> float:
        """Largest gradient norm over the batches."""
        return max((float(grad.double().norm()) for grad in self.grads), default=0.0)

    @property
    def zero_fraction(self) -> float:
        """Share of entries whose gradient is zero in every batch."""
        return float(self.is_zero.double().mean()) if self.is_zero is not None else 0.0


@dataclass
class ActivationSymptoms:
    """An elementwise function at work: who called it, whose output it bends, and its inputs."""

    function: str
    caller: str
    producer: str
    order: int
    preactivation: FeatureStats
    flat: list[float] = field(default_factory=list)

    @property
    def flat_share(self) -> float:
        """Mean share of pre-activations on the flat part."""
        return sum(self.flat) / len(self.flat) if self.flat else 0.0


@dataclass
class MaskSymptoms:
    """A mask over time steps met during the forward pass, against where the data is padding."""

    function: str
    caller: str
    real_hidden: list[float] = field(default_factory=list)
    padding_hidden: list[float] = field(default_factory=list)


@dataclass
class LossSymptoms:
    """A loss function met during the replay, with what it compared."""

    function: str
    activation: str | None
    producer: str
    preds: Tensor
    target: Tensor

    @property
    def skill(self) -> float | None:
        """How much of the targets the predictions explain, over what was kept of all batches."""
        return skill(self.function, self.preds, self.target)


@dataclass
class Symptoms:
    """All symptoms together; `decays` says that an optimiser has a weight decay.

    `rounding` is the coarsest relative step between two numbers that a module gave out: 1.2e-7 in
    float32, 0.0078 in bfloat16.
    """

    modules: dict[str, ModuleSymptoms] = field(default_factory=dict)
    parameters: dict[str, ParameterSymptoms] = field(default_factory=dict)
    activations: list[ActivationSymptoms] = field(default_factory=list)
    masks: list[MaskSymptoms] = field(default_factory=list)
    losses: list[LossSymptoms] = field(default_factory=list)
    uncalled: dict[str, str] = field(default_factory=dict)
    loss_values: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    padding_flow: list[float] = field(default_factory=list)
    half: bool = False
    rounding: float = 0.0
    routed: bool = False
    decays: bool = False
    structure: Structure = field(default_factory=Structure)
    feature_names: tuple[str, ...] | None = None
    context: TrainingContext = field(default_factory=TrainingContext)

    @property
    def skill(self) -> float:
        """Skill by the worst of the losses that can be judged; none at all where none can be."""
        return min((s for loss in self.losses if (s := loss.skill) is not None), default=-math.inf)

    @property
    def has_learned(self) -> bool:
        """Whether every loss that can be judged compares good predictions with their targets."""
        return self.skill >= LEARNED

    @property
    def called(self) -> list[ModuleSymptoms]:
        """Modules with parameters that were called, in order of their first call."""
        return sorted((m for m in self.modules.values() if m.calls), key=lambda m: m.order)

    def own(self, module: str) -> list[ParameterSymptoms]:
        """Parameters that belong directly to a module."""
        return [p for p in self.parameters.values() if p.module == module]

    def weight(self, module: str) -> ParameterSymptoms | None:
        """The main weight of a module: the largest one with two dimensions or more."""
        matrices = [p for p in self.own(module) if p.weight.dim() > 1]
        return max(matrices, key=lambda p: p.weight.numel(), default=None)

    def name_features(self, indices: list[int], size: int) -> tuple[int | str, ...]:
        """Name indices by feature where the size says that they are features of the data."""
        names = self.feature_names
        return tuple(names[i] for i in indices) if names and len(names) == size else tuple(indices)
