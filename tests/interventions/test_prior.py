"""Targets and penalties against values by hand and slow twins; which poolings are refused."""

import math

import numpy as np
import pytest
import torch

from src.interventions.logits import DirectUpdate, GradientInjection
from src.interventions.prior import PoolingPrior, entropy_gap, kl_to_target, recent_target
from src.models import pooling as poolings

LEARNED = ("Learnable", "Gated", "Attention", "Multihead", "AttentiveStats", "Exponential")
FIXED = ("Mean", "Last", "Max")


def make_pooling(name: str, context_length: int = 20) -> poolings.Pooling:
    return getattr(poolings, f"{name}Pooling")(8, context_length)


def slow_kl(target: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    for row in np.atleast_2d(weights):
        for t, w in zip(target, row, strict=True):
            total += t * math.log(t / w)
    return total / len(np.atleast_2d(weights))


def slow_entropy_gap(weights: np.ndarray) -> float:
    rows = np.atleast_2d(weights)
    return sum(math.log(len(r)) + sum(w * math.log(w) for w in r) for r in rows) / len(rows)


def test_default_target_gives_each_of_the_last_three_steps_a_fifth() -> None:
    target = recent_target(20)
    torch.testing.assert_close(target[-3:], torch.full((3,), 0.2))
    torch.testing.assert_close(target[:-3], torch.full((17,), 0.4 / 17))


@pytest.mark.parametrize("context_length", [4, 5, 20, 60, 500])
def test_target_is_a_distribution_for_any_context_length(context_length: int) -> None:
    target = recent_target(context_length)
    assert target.shape == (context_length,)
    torch.testing.assert_close(target.sum(), torch.tensor(1.0))
    torch.testing.assert_close(target[-3:].sum(), torch.tensor(0.6))


@pytest.mark.parametrize("recent_steps", [0, -1, 20, 21])
def test_target_refuses_recent_steps_that_leave_no_others(recent_steps: int) -> None:
    with pytest.raises(ValueError, match=rf"in \[1, 19\] for a .* of 20, got {recent_steps}"):
        recent_target(20, recent_steps)


@pytest.mark.parametrize("mass", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_target_refuses_a_mass_that_is_no_proper_share(mass: float) -> None:
    with pytest.raises(ValueError, match=rf"recent_mass must be in \(0, 1\), got {mass}"):
        recent_target(20, 3, mass)


def test_kl_of_two_steps_by_hand() -> None:
    # 1/4 log(1/4 : 1/2) + 3/4 log(3/4 : 1/2) = 0.75 log 3 - log 2
    kl = kl_to_target(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
    assert kl.item() == pytest.approx(0.75 * math.log(3) - math.log(2), abs=1e-7)


@pytest.mark.parametrize("shape", [(20,), (7, 20)], ids=["shared weights", "weights per sample"])
@pytest.mark.parametrize("seed", range(3))
def test_penalties_equal_their_slow_twins(shape: tuple[int, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = (3 * torch.randn(shape, generator=generator)).softmax(-1)
    target = recent_target(20)
    assert kl_to_target(weights, target).item() == pytest.approx(
        slow_kl(target.double().numpy(), weights.double().numpy()), rel=1e-5
    )
    assert entropy_gap(weights).item() == pytest.approx(
        slow_entropy_gap(weights.double().numpy()), rel=1e-5
    )


def test_kl_is_zero_on_the_target_and_positive_elsewhere() -> None:
    target = recent_target(20)
    assert kl_to_target(target, target).item() == pytest.approx(0, abs=1e-6)
    assert kl_to_target(torch.full((20,), 0.05), target).item() > 0.1


def test_entropy_gap_runs_from_zero_for_uniform_to_log_t_for_one_step() -> None:
    assert entropy_gap(torch.full((20,), 0.05)).item() == pytest.approx(0, abs=1e-6)
    assert entropy_gap(torch.eye(20)[3]).item() == pytest.approx(math.log(20))


def test_gradient_of_kl_by_the_logits_is_weights_minus_target() -> None:
    logits = torch.randn(20, dtype=torch.float64, requires_grad=True)
    target = recent_target(20).double()
    weights = logits.softmax(0)
    kl_to_target(weights, target).backward()
    torch.testing.assert_close(logits.grad, (weights - target).detach(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("spread", [50.0, 80.0, 200.0])
def test_penalties_and_gradients_stay_finite_where_the_softmax_underflows(spread: float) -> None:
    logits = torch.linspace(-spread, 0, 20).requires_grad_()
    weights = logits.softmax(0)
    (kl_to_target(weights, recent_target(20)) + entropy_gap(weights)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_masked_step_gets_no_gradient_and_does_not_spoil_the_others() -> None:
    mask = torch.arange(20) >= 5
    logits = torch.zeros(20, requires_grad=True)
    weights = logits.masked_fill(~mask, -torch.inf).softmax(0)
    loss = kl_to_target(weights, recent_target(20))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert (logits.grad[:5] == 0).all()
    assert (logits.grad[-3:] < 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_penalties_of_half_precision_weights_are_computed_in_float32(dtype: torch.dtype) -> None:
    weights = torch.full((4, 20), 0.05, dtype=dtype)
    loss = PoolingPrior(kl_weight=0.1, entropy_weight=0.1).loss(weights)
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_a_batch_of_equal_rows_costs_what_one_row_costs() -> None:
    prior = PoolingPrior(kl_weight=0.3, entropy_weight=0.2)
    row = torch.randn(20).softmax(0)
    torch.testing.assert_close(prior.loss(row.expand(32, 20)), prior.loss(row))


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    weights = torch.randn(4, 20).softmax(-1)
    kl, gap = kl_to_target(weights, recent_target(20, 2, 0.5)), entropy_gap(weights)
    prior = PoolingPrior(2, 0.5, kl_weight=0.1, entropy_weight=0.01)
    torch.testing.assert_close(prior.loss(weights), 0.1 * kl + 0.01 * gap)


@pytest.mark.parametrize("weights", [None, torch.full((20,), 0.05), torch.full((2, 20), 0.05)])
def test_no_prior_adds_exactly_nothing(weights: torch.Tensor | None) -> None:
    prior = PoolingPrior()
    assert prior.loss(weights).item() == 0
    assert prior.loss(weights).shape == ()
    assert prior.callbacks() == ()


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["kl_weight", "entropy_weight"])
def test_a_weight_that_is_no_weight_is_refused(name: str, weight: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0 and finite, got {weight}"):
        PoolingPrior(**{name: weight})


def test_steps_are_made_once_with_the_priors_own_target() -> None:
    prior = PoolingPrior(2, 0.5, injection=GradientInjection, update=DirectUpdate)
    injection, update = prior.callbacks()
    assert isinstance(injection, GradientInjection)
    assert isinstance(update, DirectUpdate)
    assert prior.callbacks() == (injection, update)
    torch.testing.assert_close(injection.target(5), recent_target(5, 2, 0.5))


@pytest.mark.parametrize("name", [*LEARNED, *FIXED])
def test_no_prior_goes_with_every_pooling(name: str) -> None:
    PoolingPrior().check(make_pooling(name))
    PoolingPrior().check(None)


@pytest.mark.parametrize("term", ["kl_weight", "entropy_weight"])
@pytest.mark.parametrize("name", LEARNED)
def test_penalties_go_with_every_pooling_whose_weights_are_learned(name: str, term: str) -> None:
    prior, pooling = PoolingPrior(**{term: 0.1}), make_pooling(name)
    prior.check(pooling)
    for parameter in pooling.parameters():  # away from uniform weights, where the entropy is flat
        torch.nn.init.normal_(parameter)
    prior.loss(pooling(torch.randn(3, 20, 8)).weights).backward()
    assert any(p.grad is not None and p.grad.any() for p in pooling.parameters())


@pytest.mark.parametrize("term", ["kl_weight", "entropy_weight"])
@pytest.mark.parametrize("name", FIXED)
def test_penalties_are_refused_where_no_weight_is_learned(name: str, term: str) -> None:
    with pytest.raises(ValueError, match=f"got {name}Pooling: choose one that has, as"):
        PoolingPrior(**{term: 0.1}).check(make_pooling(name))


@pytest.mark.parametrize("step", [{"injection": GradientInjection}, {"update": DirectUpdate}])
@pytest.mark.parametrize("name", [*FIXED, "Attention", "Multihead", "Exponential"])
def test_steps_on_logits_are_refused_where_there_are_none(name: str, step: dict) -> None:
    with pytest.raises(ValueError, match=f"got {name}Pooling: choose pooling=learnable or gated"):
        PoolingPrior(**step).check(make_pooling(name))


def test_a_model_without_pooling_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="got no pooling"):
        PoolingPrior(kl_weight=0.1).check(None)


def test_frozen_logits_are_refused() -> None:
    pooling = make_pooling("Learnable").requires_grad_(False)
    with pytest.raises(ValueError, match="got LearnablePooling"):
        PoolingPrior(injection=GradientInjection).check(pooling)


def test_a_target_longer_than_the_window_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"recent_steps must be in \[1, 3\] .* got 4"):
        PoolingPrior(recent_steps=4, kl_weight=0.1).check(make_pooling("Attention", 4))
