"""What each fault does to a trial: small functions that edit its data, its net or its loop.

Those that leave a `Trial -> None` function take the fault's strength as their argument.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import CONTEXT_LENGTH, NUM_FEATURES
from benchmarks.faults.layers import Residual
from benchmarks.faults.trial import Trial

Inject = Callable[[Trial], None]


class Detached(nn.Module):
    """A branch whose output is cut from the graph."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """Run the branch and drop its history."""
        return self.inner(*inputs).detach()


class Scale(nn.Module):
    """Multiply by a constant, as a forgotten 1/sqrt(d) does."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, hidden: Tensor) -> Tensor:
        """Scale the activations."""
        return self.factor * hidden


def choose_features(trial: Trial, count: int) -> Tensor:
    """Choose features by the trial's seed."""
    generator = torch.Generator().manual_seed(trial.seed)
    return torch.randperm(NUM_FEATURES, generator=generator)[:count]


def zero_features(trial: Trial) -> None:
    """86 of the 129 features are zero throughout."""
    trial.task.x[:, :, choose_features(trial, 86)] = 0.0


def constant_feature(trial: Trial) -> None:
    """One feature holds the same number throughout."""
    trial.task.x[:, :, choose_features(trial, 1)] = 1.5


def scale_features(factor: float) -> Inject:
    """13 features are left in a foreign unit."""

    def inject(trial: Trial) -> None:
        trial.task.x[:, :, choose_features(trial, 13)] *= factor

    return inject


def one_nan_cell(trial: Trial) -> None:
    """One cell of the whole data set is NaN."""
    sample = trial.seed % len(trial.task.x)
    trial.task.x[sample, CONTEXT_LENGTH // 2, choose_features(trial, 1)] = float("nan")


def scale_targets(trial: Trial) -> None:
    """Targets come in their own unit, ten thousand times the scale of a fresh prediction."""
    trial.task.y *= 1e4


def equal_targets(trial: Trial) -> None:
    """Every target is the same number."""
    trial.task.y.fill_(0.5)


def invert_mask(trial: Trial) -> None:
    """The mask is True on padding and False on real steps."""
    assert trial.task.mask is not None
    trial.task.mask = ~trial.task.mask


def shift_units(keep: int) -> Inject:
    """Give a rectified layer a bias of -10, except for its first `keep` units."""

    def inject(trial: Trial) -> None:
        assert trial.architecture.relu is not None
        layer = trial.model.get_submodule(trial.architecture.relu.shifted)
        with torch.no_grad():
            layer.get_parameter("bias")[keep:] = -10.0

    return inject


def saturate_recurrence(trial: Trial) -> None:
    """Gate pre-activations are twenty times too large, through weights and biases."""
    assert trial.architecture.recurrent is not None
    with torch.no_grad():
        for parameter in trial.model.get_submodule(trial.architecture.recurrent).parameters():
            parameter.mul_(20.0)


def saturate_tanh(trial: Trial) -> None:
    """The input of a tanh is multiplied by twenty."""
    linear, activation = trial.model.trunk.children()
    trial.model.trunk = nn.Sequential(linear, Scale(20.0), activation)


def deep_sigmoid(trial: Trial) -> None:
    """Twelve sigmoid layers between pooling and head."""
    width = trial.model.head.get_parameter("weight").shape[1]
    layers = [m for _ in range(12) for m in (nn.Linear(width, width), nn.Sigmoid())]
    trial.model.trunk = nn.Sequential(trial.model.trunk, *layers)


def recurrent_gain(trial: Trial) -> None:
    """Recurrent weights are orthogonal with gain 2, per gate."""
    assert trial.architecture.recurrent is not None
    for name, weight in trial.model.get_submodule(trial.architecture.recurrent).named_parameters():
        if name.startswith("weight_hh"):
            for gate in weight.data.split(weight.shape[1]):
                nn.init.orthogonal_(gate, gain=2.0)


def fill_pair(value: float) -> Inject:
    """Two consecutive layers start from one constant, their biases from zero."""

    def inject(trial: Trial) -> None:
        for path in trial.architecture.pair:
            for name, parameter in trial.model.get_submodule(path).named_parameters():
                nn.init.constant_(parameter, 0.0 if name == "bias" else value)

    return inject


def gain_of_ten(trial: Trial) -> None:
    """Every weight matrix starts ten times too large."""
    with torch.no_grad():
        for parameter in trial.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(10.0)


def zero_norm(trial: Trial) -> None:
    """A layer norm starts with weight 0; judged on the fresh net, before it can recover."""
    assert trial.architecture.norm is not None
    nn.init.zeros_(trial.model.get_submodule(trial.architecture.norm).get_parameter("weight"))
    trial.steps = 0


def zero_query_and_key(trial: Trial) -> None:
    """Query and key projections are zero: a saddle that neither can leave."""
    for path in trial.architecture.attention:
        module = trial.model.get_submodule(path)
        attention = isinstance(module, nn.MultiheadAttention)
        for name in ("in_proj_weight", "in_proj_bias") if attention else ("weight", "bias"):
            parameter = module.get_parameter(name)
            parameter.data[: 2 * len(parameter) // 3 if attention else None] = 0.0


def drop_residuals(trial: Trial) -> None:
    """x + f(x) became f(x) in every block."""
    for module in trial.model.modules():
        if isinstance(module, Residual):
            module.skip = False


def scale_rate(factor: float) -> Inject:
    """Multiply the learning rate."""

    def inject(trial: Trial) -> None:
        trial.lr *= factor

    return inject


def adam_at(rate: float) -> Inject:
    """Train with Adam at this rate."""

    def inject(trial: Trial) -> None:
        trial.optimizer, trial.lr = "adam", rate

    return inject


def stop_after(steps: int) -> Inject:
    """Train for fewer steps; the fault is in the task."""

    def inject(trial: Trial) -> None:
        trial.steps = steps

    return inject


def freeze(trial: Trial) -> None:
    """A layer in the middle does not require gradients, though the optimiser holds it."""
    trial.model.get_submodule(trial.architecture.upstream).requires_grad_(False)


def detach(trial: Trial) -> None:
    """The lowest part of the net with weights is detached from what follows."""
    name = detached_part(trial)
    setattr(trial.model, name, Detached(trial.model.get_submodule(name)))


def detached_part(trial: Trial) -> str:
    """Where `detach` cuts: the embedding if it has weights, else the body."""
    return "embed" if any(True for _ in trial.model.embed.parameters()) else "body"


def forget_group(trial: Trial) -> None:
    """The optimiser was not given one module."""
    prefix = trial.architecture.upstream + "."
    trial.trained = lambda name: not name.startswith(prefix)


def never_call(trial: Trial) -> None:
    """A module is built, held by the optimiser and never called."""
    width = trial.model.head.get_parameter("weight").shape[1]
    trial.model.gate = nn.Linear(width, width)


def underflow(trial: Trial) -> None:
    """A tiny loss in half precision without a scaler."""
    trial.precision = "16-mixed"
    trial.steps = 30
    trial.criterion = lambda preds, y: 1e-7 * F.mse_loss(preds.float(), y)


def collapse_scaler(trial: Trial) -> None:
    """A hand-written log-cosh loss overflows half precision, whatever the loss scale."""
    trial.precision = "16-mixed"
    trial.scaler = torch.amp.GradScaler("cpu")
    trial.steps = 30
    trial.criterion = lambda preds, y: (30 * (preds.half() - y.half())).cosh().log().mean() / 30


def never_clear(trial: Trial) -> None:
    """Gradients of every step pile up."""
    trial.clears = False


def overclip(trial: Trial) -> None:
    """The gradient norm is clipped at 1e-6, under plain gradient descent."""
    trial.clip_norm = 1e-6
    trial.optimizer, trial.lr = "sgd", 0.02


def add_output(module: Callable[[], nn.Module]) -> Inject:
    """Put an activation behind the head."""

    def inject(trial: Trial) -> None:
        trial.model.output = module()

    return inject
