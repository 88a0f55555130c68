"""What users have today, on the same evidence: published rules at their published thresholds.

Each alarm is mapped generously to our names of causes: wherever a reader of the alarm could
conclude the cause, the cause is in the tuple. Where documentation leaves room, the reading with
fewer false alarms is taken, and said. Rules that name a tensor get the module that owns it.

Sources:
- SageMaker Debugger, list of built-in rules and their parameter tables,
  https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
- AutoTrainer: Zhang et al., ICSE 2021, and `utils/monitor.py` of shiningrain/AUTOTRAINER.
- Megatron-LM, `--log-num-zeros-in-grad`: one count over all gradients. It publishes no threshold;
  here more than half alarms.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmarks.faults.activations import record_activations
from benchmarks.faults.alarms import Alarm, Diagnoser
from benchmarks.faults.trial import Observation

VANISHING_MEAN = 1e-7
INACTIVE_PERCENT = 1.0
LAYER_PERCENT = 50.0
SATURATED_BEYOND = {nn.Tanh: (-9.4999, 9.4999), nn.Sigmoid: (-23.0, 16.99999)}
LARGE_UPDATE, SMALL_UPDATE, UPDATE_EPSILON = 10.0, 1e-8, 1e-9
UNCHANGED_STEPS, UNCHANGED_RTOL, UNCHANGED_ATOL = 3, 1e-5, 1e-8
LOSS_STEPS, LOSS_LEAST_PERCENT, LOSS_MOST_PERCENT = 10, 0.1, 5.0
INIT_VARIANCE_RATIO, INIT_GRADIENT_RANGE, INIT_STEPS, INIT_PATIENCE = 10.0, 1e-3, 10, 5

VANISH_RATIO, VANISH_NORM, EXPLODE_RATIO, DYING_ZEROS = 1e-3, 1e-4, 70.0, 0.7
OSCILLATION, OSCILLATION_RATE, SLOW_GAIN, SATISFIED = 0.03, 0.2, 0.01, 0.7
EXPLODED_LOSS = 1e5

MANY_ZEROS = 0.5


def module_of(parameter: str) -> str:
    """Name the module that owns a parameter."""
    return parameter.rpartition(".")[0]


def present(grads: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Keep the gradients that exist."""
    return {name: grad for name, grad in grads.items() if grad is not None}


def exploding_tensor(seen: Observation) -> Iterator[Alarm]:
    """ExplodingTensor: NaN or infinity in losses, weights or gradients (only_nan False)."""
    tensors = present(seen.grads) | {n: p.detach() for n, p in seen.model.named_parameters()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            yield Alarm("ExplodingTensor", ("nonfinite", "exploding"), module_of(name))
    if not all(map(math.isfinite, seen.losses)):
        yield Alarm("ExplodingTensor", ("nonfinite", "exploding"))


def dead_relu(seen: Observation) -> Iterator[Alarm]:
    """DeadRelu: over 50% of a layer's units are active on under 1% of the samples."""
    for name, (_, output) in record_activations(seen.model, seen.batches, nn.ReLU).items():
        activity = 100 * (output > 0).float().mean(0)
        if 100 * (activity < INACTIVE_PERCENT).float().mean() > LAYER_PERCENT:
            yield Alarm("DeadRelu", ("dead_unit",), name)


def saturated_activation(seen: Observation) -> Iterator[Alarm]:
    """SaturatedActivation: over 50% of a layer's units are within bounds on under 1%."""
    for kind, (low, high) in SATURATED_BEYOND.items():
        for name, (given, _) in record_activations(seen.model, seen.batches, kind).items():
            activity = 100 * ((given > low) & (given < high)).float().mean(0)
            if 100 * (activity < INACTIVE_PERCENT).float().mean() > LAYER_PERCENT:
                yield Alarm("SaturatedActivation", ("saturated",), name)


def all_zero(seen: Observation) -> Iterator[Alarm]:
    """AllZero: every entry of a weight or a gradient is zero (threshold 100%)."""
    for name, weight in seen.model.named_parameters():
        if not weight.any():
            yield Alarm("AllZero", ("zero_init",), module_of(name))
    for name, grad in present(seen.grads).items():
        if not grad.any():
            causes = ("dead_unit", "dead_input", "zero_init", "underflow", "masked", "unused")
            yield Alarm("AllZero", causes, module_of(name))


def vanishing_gradient(seen: Observation) -> Iterator[Alarm]:
    """VanishingGradient: mean |g| of a gradient below 1e-7."""
    for name, grad in present(seen.grads).items():
        if grad.abs().mean() < VANISHING_MEAN:
            yield Alarm("VanishingGradient", ("vanishing", "underflow"), module_of(name))


def poor_initialization(seen: Observation) -> Iterator[Alarm]:
    """PoorWeightInitialization: uneven ReLU inputs or narrow gradients, and no progress.

    On the first ten steps: the variances of what enters the ReLUs differ by more than a factor of
    10, or the 5th and 95th percentiles of a gradient by less than 0.001. The documentation lets
    each part alarm alone, and a loss that does not fall for five steps as well; read that way it
    alarms on nearly every clean run, so here the loss must have stalled beside one of the others.
    """
    first = seen.losses[: INIT_STEPS + 1]
    best = min(range(len(first)), key=first.__getitem__, default=0)
    if len(first) <= INIT_STEPS or len(first) - 1 - best < INIT_PATIENCE:
        return
    fresh = copy.deepcopy(seen.model)
    fresh.load_state_dict(seen.first_weights, strict=False)
    entering = record_activations(fresh, seen.batches[:1], nn.ReLU).values()
    variances = [given.var().item() for given, _ in entering]
    uneven = max(variances, default=0.0) > INIT_VARIANCE_RATIO * min(variances, default=0.0)
    levels = torch.tensor([0.05, 0.95])
    ranges = [
        (grad.flatten().quantile(levels).diff().item(), name)
        for name, grad in present(seen.first_grads).items()
        if grad.dim() > 1
    ]
    narrowest, name = min(ranges, default=(math.inf, ""))
    if uneven or narrowest < INIT_GRADIENT_RANGE:
        causes = ("large_init", "zero_init", "symmetric_init")
        yield Alarm("PoorWeightInitialization", causes, module_of(name))


def weight_update_ratio(seen: Observation) -> Iterator[Alarm]:
    """WeightUpdateRatio: mean |update| over mean |weight| above 10 or below 1e-8."""
    if len(seen.weights) < 2:
        return
    before, after = seen.weights[-2:]
    slow = ("learning_rate_too_low", "frozen", "not_optimized", "overclipped", "unused")
    for name in before:
        update = (after[name] - before[name]).abs().mean().item()
        ratio = update / (before[name].abs().mean().item() + UPDATE_EPSILON)
        if ratio > LARGE_UPDATE:
            yield Alarm("WeightUpdateRatio", ("learning_rate_too_high",), module_of(name))
        elif ratio < SMALL_UPDATE:
            yield Alarm("WeightUpdateRatio", slow, module_of(name))


def unchanged_tensor(seen: Observation) -> Iterator[Alarm]:
    """UnchangedTensor: a weight is `allclose` to itself over three steps."""
    kept = seen.weights[-UNCHANGED_STEPS:]
    if len(kept) < UNCHANGED_STEPS:
        return
    causes = ("frozen", "not_optimized", "unused", "learning_rate_too_low", "overclipped")
    for name, last in kept[-1].items():
        if all(torch.allclose(last, w[name], UNCHANGED_RTOL, UNCHANGED_ATOL) for w in kept[:-1]):
            yield Alarm("UnchangedTensor", causes, module_of(name))


def loss_not_decreasing(seen: Observation) -> Iterator[Alarm]:
    """LossNotDecreasing: every ten steps the loss is compared with that of ten steps ago.

    It has to fall by 0.1%, and may rise by at most 5%. Read leniently, what rises by less is noise
    and raises no alarm; what neither falls nor rises by 0.1%, or rises by more than 5%, does.
    """
    for step in range(LOSS_STEPS, len(seen.losses), LOSS_STEPS):
        before, now = seen.losses[step - LOSS_STEPS], seen.losses[step]
        change = 100 * (now - before) / abs(before) if before else 0.0
        if abs(change) < LOSS_LEAST_PERCENT or change > LOSS_MOST_PERCENT:
            yield Alarm("LossNotDecreasing", ("learning_rate_too_high", "learning_rate_too_low"))
            return


SAGEMAKER_RULES: tuple[Callable[[Observation], Iterator[Alarm]], ...] = (
    exploding_tensor,
    dead_relu,
    saturated_activation,
    all_zero,
    vanishing_gradient,
    poor_initialization,
    weight_update_ratio,
    unchanged_tensor,
    loss_not_decreasing,
)


def sagemaker(seen: Observation) -> list[Alarm]:
    """Run the built-in rules, the most specific first."""
    return [alarm for rule in SAGEMAKER_RULES for alarm in rule(seen)]


def oscillates(scores: list[float]) -> bool:
    """Count paired peaks and dips of the score that lie 0.03 apart, in a fifth of the epochs."""
    inner = [scores[i - 1 : i + 2] for i in range(1, len(scores) - 1)]
    peaks = [b for a, b, c in inner if b >= a and b >= c]
    dips = [b for a, b, c in inner if b <= a and b <= c]
    count = sum(peak - dip >= OSCILLATION for peak, dip in zip(peaks, dips, strict=False))
    return count >= OSCILLATION_RATE * len(scores)


def unsatisfied_symptom(seen: Observation, slow: bool) -> list[Alarm]:
    """Name why a run below the satisfied score fails: dying ReLU, explosion, vanishing, slow."""
    grads = present(seen.grads)
    kernels = [grad.norm().item() for grad in grads.values() if grad.dim() > 1]
    ratio = kernels[0] / max(kernels[-1], 1e-30)
    zeros = sum(int((g == 0).sum()) for g in grads.values()) / sum(
        g.numel() for g in grads.values()
    )
    if zeros >= DYING_ZEROS:
        return [Alarm("dying ReLU", ("dead_unit",))]
    if ratio > EXPLODE_RATIO:
        return [Alarm("exploding gradient", ("exploding", "large_init"))]
    if ratio < VANISH_RATIO and kernels[0] < VANISH_NORM:
        return [Alarm("vanishing gradient", ("vanishing",))]
    return [Alarm("slow convergence", ("learning_rate_too_low",))] if slow else []


def autotrainer(seen: Observation) -> list[Alarm]:
    """Run AutoTrainer's five checks; R^2 stands in for accuracy on a regression."""
    tensors = list(present(seen.grads).values()) + list(seen.model.parameters())
    finite = all(bool(t.isfinite().all()) for t in tensors)
    if not finite or not math.isfinite(seen.losses[-1]) or seen.losses[-1] >= EXPLODED_LOSS:
        return [Alarm("exploding gradient", ("exploding", "nonfinite", "large_init"))]
    gains = [b - a for a, b in zip(seen.scores, seen.scores[1:], strict=False)]
    slow = max(gains, default=math.inf) < SLOW_GAIN
    if seen.scores and (slow or max(seen.scores) < SATISFIED):
        return unsatisfied_symptom(seen, slow)
    if oscillates(seen.scores):
        return [Alarm("oscillating loss", ("learning_rate_too_high",))]
    return []


def zero_count(seen: Observation) -> list[Alarm]:
    """Alarm when more than half of all gradient entries are exactly zero."""
    grads = present(seen.grads).values()
    zeros, total = sum(int((g == 0).sum()) for g in grads), sum(g.numel() for g in grads)
    causes = ("dead_input", "dead_unit", "zero_init", "underflow", "masked", "vanishing")
    return [Alarm("zero count", causes)] if zeros > MANY_ZEROS * total else []


RIVALS: dict[str, Diagnoser] = {
    "sagemaker": sagemaker,
    "autotrainer": autotrainer,
    "zero_count": zero_count,
}
