"""Where each prior moves the weights, on logits alone, against a closed-loop NumPy simulation."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from src.interventions.logits import injected_gradient, moved_logits
from src.interventions.prior import PoolingPrior, entropy_gap, kl_to_target, recent_target
from src.models.pooling import initial_logits

T = 20
TARGET = recent_target(T)
CHECKPOINTS = (2000, 6000, 8000)
Gradient = Callable[[Tensor, int], Tensor]


def train(logits: Tensor, gradient: Gradient, steps: int, lr: float = 1e-4) -> dict[int, float]:
    """Return the last three steps' total weight after each of CHECKPOINTS, and at the end."""
    logits = logits.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=lr)
    sums = {}
    for step in range(steps):
        logits.grad = gradient(logits, step)
        optimizer.step()
        if step + 1 in (*CHECKPOINTS, steps):
            sums[step + 1] = recent_sum(logits)
    return sums


def recent_sum(logits: Tensor) -> float:
    return logits.detach().softmax(0)[-3:].sum().item()


def from_loss(prior: PoolingPrior) -> Gradient:
    def gradient(logits: Tensor, step: int) -> Tensor:
        return torch.autograd.grad(prior.loss(logits.softmax(0)), logits)[0]

    return gradient


def injecting(direction: str, every: int, base: Gradient | None = None) -> Gradient:
    """Return a gradient of 0, or `base`, to which an injection is added now and then."""

    def gradient(logits: Tensor, step: int) -> Tensor:
        grad = torch.zeros(T) if base is None else base(logits, step)
        if step > 0 and step % every == 0:
            weights = logits.detach().softmax(0)
            grad = grad + injected_gradient(weights, TARGET, 0.01, direction)
        return grad

    return gradient


def simulate(
    logits: np.ndarray,
    steps: int,
    kl_weight: float = 0.0,
    injected: float = 0.0,
    lr: float = 1e-4,
) -> dict[int, float]:
    """Adam written out (Kingma & Ba 2015, algorithm 1) on the gradient written out, in float64.

    Args:
        injected: signed multiple of (target - weights) added after every 100 completed steps.
    """
    z, target = logits.astype(float), np.r_[np.full(T - 3, 0.4 / (T - 3)), np.full(3, 0.2)]
    m = v = np.zeros(T)
    sums = {}
    for n in range(1, steps + 1):
        p = np.exp(z - z.max())
        p /= p.sum()
        g = kl_weight * (p - target)
        if n > 1 and (n - 1) % 100 == 0:
            g = g + injected * (target - p)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        z = z - lr * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
        if n in (*CHECKPOINTS, steps):
            p = np.exp(z - z.max())
            sums[n] = float(p[-3:].sum() / p.sum())
    return sums


def test_kl_at_adam_1e_4_follows_the_closed_loop_simulation() -> None:
    measured = train(torch.zeros(T), from_loss(PoolingPrior(kl_weight=0.1)), 8000)
    simulated = simulate(np.zeros(T), 8000, kl_weight=0.1)
    assert measured == pytest.approx(simulated, abs=1e-3)
    assert list(measured.values()) == pytest.approx([0.21, 0.35, 0.43], abs=0.005)


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("uniform", [0.207, 0.350, 0.430]),
        ("recency_probability", [0.209, 0.353, 0.432]),
        ("recency_log", [0.240, 0.392, 0.470]),
    ],
)
def test_only_the_logarithmic_initialisation_is_ahead(init: str, expected: list[float]) -> None:
    torch.manual_seed(0)
    simulated = simulate(initial_logits(T, init).numpy(), 8000, kl_weight=0.1)
    # The noise of the probability form moves the sum of three weights by 0.005 or so.
    assert list(simulated.values()) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("lr", "expected"), [(3e-5, 0.166), (3e-4, 0.342), (1e-3, 0.588)])
def test_the_learning_rate_sets_the_pace(lr: float, expected: float) -> None:
    sums = train(torch.zeros(T), from_loss(PoolingPrior(kl_weight=0.1)), 2000, lr)
    assert sums[2000] == pytest.approx(expected, abs=0.002)


def test_alone_under_adam_a_larger_kl_weight_changes_nothing() -> None:
    weak = train(torch.zeros(T), from_loss(PoolingPrior(kl_weight=0.1)), 500)
    strong = train(torch.zeros(T), from_loss(PoolingPrior(kl_weight=0.5)), 500)
    assert weak[500] == pytest.approx(strong[500], abs=1e-4)


@pytest.mark.parametrize(("direction", "sign"), [("published", 1), ("descent", -1)])
def test_injection_alone_follows_the_closed_loop_simulation(direction: str, sign: int) -> None:
    measured = train(torch.zeros(T), injecting(direction, every=100), 8000)
    simulated = simulate(np.zeros(T), 8000, injected=sign * 0.01)
    assert measured == pytest.approx(simulated, abs=1e-3)
    expected = {"published": 0.131, "descent": 0.171}[direction]
    assert measured[8000] == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize(("direction", "towards"), [("descent", True), ("published", False)])
def test_injection_moves_the_weights_where_it_says(
    optimizer: type, direction: str, towards: bool
) -> None:
    logits = torch.zeros(T, requires_grad=True)
    step_of = optimizer([logits], lr=0.01)
    before = kl_to_target(logits.softmax(0), TARGET).item()
    for _ in range(50):
        logits.grad = injected_gradient(logits.detach().softmax(0), TARGET, 0.01, direction)
        step_of.step()
    after = kl_to_target(logits.softmax(0), TARGET).item()
    assert (after < before) is towards
    assert (recent_sum(logits) > 0.15) is towards


def test_descent_injection_is_the_gradient_of_a_kl_of_its_size() -> None:
    logits = torch.randn(T, requires_grad=True)
    grad = from_loss(PoolingPrior(kl_weight=0.01))(logits, 0)
    added = injected_gradient(logits.detach().softmax(0), TARGET, 0.01, "descent")
    torch.testing.assert_close(added, grad, atol=1e-8, rtol=1e-4)


def test_beside_a_kl_the_injection_of_either_sign_is_drowned() -> None:
    kl = from_loss(PoolingPrior(kl_weight=0.1))
    ends = [
        train(torch.zeros(T), gradient, 2000)[2000]
        for gradient in (kl, injecting("published", 100, kl), injecting("descent", 100, kl))
    ]
    assert max(ends) - min(ends) < 1e-3


def test_kl_takes_the_weights_to_the_target_and_keeps_them_there() -> None:
    sums = train(torch.zeros(T), from_loss(PoolingPrior(kl_weight=0.1)), 1500, lr=1e-2)
    assert sums[1500] == pytest.approx(0.6, abs=1e-3)


def test_entropy_takes_collapsed_weights_back_towards_uniform() -> None:
    collapsed = torch.zeros(T)
    collapsed[4] = 6.0
    logits = collapsed.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=1e-2)
    prior = PoolingPrior(entropy_weight=0.1)
    for _ in range(1500):
        optimizer.zero_grad()
        prior.loss(logits.softmax(0)).backward()
        optimizer.step()
    assert collapsed.softmax(0).max() > 0.9
    assert logits.softmax(0).max().item() < 0.06
    assert entropy_gap(logits.softmax(0)).item() < 1e-3


def test_direct_update_at_rate_one_puts_the_weights_onto_the_target() -> None:
    logits = torch.randn(T)
    moved = moved_logits(logits, TARGET, 1.0)
    torch.testing.assert_close(moved.softmax(0), TARGET)
    torch.testing.assert_close(moved.mean(), logits.mean())


def test_repeated_direct_updates_halve_the_distance_to_the_target_each_time() -> None:
    logits = torch.randn(T, dtype=torch.float64)
    target = TARGET.double() / TARGET.double().sum()
    goal = moved_logits(logits, target, 1.0)
    start = (logits - goal).norm()
    for n in range(1, 6):
        logits = moved_logits(logits, target, 0.5)
        torch.testing.assert_close((logits - goal).norm(), start * 0.5**n)
