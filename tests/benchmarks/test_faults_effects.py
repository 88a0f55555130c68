"""The benchmark's own honesty: each fault does what it says, and clean runs are clean."""

import dataclasses
import math
import statistics

import pytest
import torch
from torch import nn

from benchmarks.faults.activations import dead_shares, record_activations
from benchmarks.faults.architectures import ARCHITECTURES
from benchmarks.faults.cases import Case, prepare
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.injectors import choose_features
from benchmarks.faults.traps import TRAPS, TopExperts
from benchmarks.faults.trial import make_trial, run_trial


def clean_twin(seen):
    """The same net, data and number of steps without the fault."""
    trial = seen.trial
    fault = FAULTS[trial.fault_name]
    twin = make_trial(trial.architecture, trial.seed, **fault.setup)
    twin.steps = trial.steps
    return run_trial(twin)


def feature_columns(seen):
    """Norm of the gradient per input feature, on the first module that multiplies by weights."""
    module = seen.trial.architecture.inputs[-1]
    name = f"{module}.weight" if f"{module}.weight" in seen.grads else f"{module}.weight_ih_l0"
    grad = seen.grads[name]
    return (grad.transpose(0, 1) if grad.dim() == 3 else grad.T).flatten(1).norm(dim=1)


def features_are(predicate):
    def check(seen, count):
        x = seen.batches[0].x[:, :, choose_features(seen.trial, count)]
        return predicate(x)

    return check


def grads_beneath(seen, *places):
    return {n: g for n, g in seen.grads.items() if n.startswith(tuple(p + "." for p in places))}


def dead_features(seen):
    chosen = choose_features(seen.trial, 86)
    dead = feature_columns(seen)[chosen]
    normed = len(seen.trial.architecture.inputs) > 1
    return not seen.batches[0].x[:, :, chosen].any() and (normed or not dead.any())


def scaled_features(factor):
    def check(seen):
        chosen = choose_features(seen.trial, 13)
        others = [i for i in range(129) if i not in chosen.tolist()]
        x = seen.batches[0].x
        ratio = (x[:, :, chosen].std() / x[:, :, others].std()).item()
        return 0.3 < ratio / factor < 3

    return check


def saturated_share(seen, kind=nn.Tanh, bound=0.99):
    recorded = record_activations(seen.model, seen.batches, kind).values()
    return statistics.mean((out.abs() > bound).float().mean().item() for _, out in recorded)


def gate_states_are_extreme(seen):
    states = []
    rnn = seen.model.get_submodule(seen.trial.architecture.recurrent)
    handle = rnn.register_forward_hook(lambda m, i, out: states.append(out[0]))
    seen.model(seen.batches[0].x, None)
    handle.remove()
    inner = clean_twin(seen)
    weight = {n: p.abs().mean().item() for n, p in rnn.named_parameters()}
    usual = inner.model.get_submodule(seen.trial.architecture.recurrent)
    return all(weight[n] > 10 * p.abs().mean().item() for n, p in usual.named_parameters())


def early_late_ratio(seen):
    """Gradient norm of the first weight matrix over that of the head."""
    matrices = [g.norm().item() for g in seen.grads.values() if g is not None and g.dim() > 1]
    return matrices[0] / max(matrices[-1], 1e-30)


def gradient_to_first_step(seen):
    x = seen.batches[0].x.clone().requires_grad_()
    seen.loss_fn(seen.model, seen.batches[0]._replace(x=x)).backward()
    share = x.grad.norm(dim=(0, 2))
    return (share[0] / share[-1]).item()


def loss_is_worse(seen, factor):
    worst = max(seen.losses[-10:], key=lambda v: math.inf if math.isnan(v) else v)
    return not worst < factor * statistics.mean(clean_twin(seen).losses[-10:])


def moved(seen, *places):
    start = make_trial(seen.trial.architecture, seen.trial.seed).model.state_dict()
    names = [n for n, _ in seen.model.named_parameters()]
    return [
        n
        for n in names
        if n.startswith(tuple(p + "." for p in places))
        and not torch.equal(start[n], seen.model.state_dict()[n])
    ]


def pair_weights(seen):
    model = seen.model
    return [
        model.get_submodule(path).get_parameter("weight") for path in seen.trial.architecture.pair
    ]


def dead_before_norm(seen):
    """The norm's own weight still has a gradient; what lies on its far side has none."""
    norm = seen.trial.architecture.norm
    return not seen.model.get_submodule(norm).weight.any() and any(
        g is not None and g.dim() > 1 and not g.any() for g in seen.grads.values()
    )


def query_and_key_stay_zero(seen):
    for path in seen.trial.architecture.attention:
        module = seen.model.get_submodule(path)
        weight = getattr(module, "in_proj_weight", getattr(module, "weight", None))
        rows = 2 * len(weight) // 3 if isinstance(module, nn.MultiheadAttention) else len(weight)
        if weight[:rows].any():
            return False
    return True


def pools_padding(seen):
    batch = seen.batches[0]
    return not batch.x[batch.mask].any() and bool(batch.x[~batch.mask].any())


EFFECTS = {
    "dead_features": dead_features,
    "constant_feature": lambda s: features_are(lambda x: x.unique().numel() == 1)(s, 1),
    "features_times_1e4": scaled_features(1e4),
    "features_times_1e-4": scaled_features(1e-4),
    "nan_cell": lambda s: (
        sum(int(b.x.isnan().sum()) for b in s.batches) == 1
        and math.isnan(s.losses[-1])
        and all(p.isfinite().all() for p in s.model.parameters())
    ),
    "dead_relu_bias": lambda s: (
        dead_shares(s.model, s.batches)[s.trial.architecture.relu.relu] > 0.95
    ),
    "dead_relu_rate": lambda s: (
        max(dead_shares(s.model, s.batches).values()) > 0.2 and loss_is_worse(s, 1.5)
    ),
    "lone_unit": lambda s: (
        0.9 < dead_shares(s.model, s.batches)[s.trial.architecture.relu.relu] < 1.0
    ),
    "gates_saturated": gate_states_are_extreme,
    "tanh_saturated": lambda s: saturated_share(s) > 0.4 > 4 * saturated_share(clean_twin(s)),
    "deep_sigmoid": lambda s: early_late_ratio(s) < 1e-6 < 1e-3 < early_late_ratio(clean_twin(s)),
    "rnn_500_steps": lambda s: gradient_to_first_step(s) < 1e-20,
    "recurrent_gain": lambda s: s.grad_norms[0] > 10 * clean_twin(s).grad_norms[0],
    "zero_init": lambda s: not any(weight.any() for weight in pair_weights(s)),
    "constant_init": lambda s: pair_weights(s)[0].std(0).max() < 1e-6,
    "gain_10": lambda s: loss_is_worse(s, 2),
    "rate_times_1e3": lambda s: loss_is_worse(s, 2),
    "rate_times_1e-6": lambda s: loss_is_worse(s, 1.1),
    "frozen_layer": lambda s: not moved(s, s.trial.architecture.upstream),
    "detached_branch": lambda s: (
        all(g is None for g in grads_beneath(s, "embed").values())
        and any(g is None for g in s.grads.values())
    ),
    "group_missing": lambda s: (
        not moved(s, s.trial.architecture.upstream)
        and all(g is not None for g in grads_beneath(s, s.trial.architecture.upstream).values())
    ),
    "never_called": lambda s: all(g is None for g in grads_beneath(s, "gate").values()),
    "fp16_underflow": lambda s: max(s.grad_norms) == 0.0,
    "scaler_collapse": lambda s: s.loss_scales[-1] <= s.loss_scales[0] * 2.0 ** -(s.steps_done - 1),
    "never_cleared": lambda s: (
        max(filter(math.isfinite, s.grad_norms)) > 2 * max(clean_twin(s).grad_norms)
    ),
    "overclipped": lambda s: loss_is_worse(s, 1.1) and min(s.grad_norms) > 1e-2,
    "mask_inverted": pools_padding,
    "sigmoid_output": lambda s: (
        bool(((s.batches[0].y < 0) | (s.batches[0].y > 1)).any())
        and bool((s.model(s.batches[0].x) > 0).all())
    ),
    "relu_output": lambda s: (
        bool((s.batches[0].y < 0).any()) and bool((s.model(s.batches[0].x) >= 0).all())
    ),
    "double_softmax": lambda s: torch.allclose(
        s.model(s.batches[0].x).sum(1), torch.ones(len(s.batches[0].x))
    ),
    "target_scale": lambda s: s.batches[0].y.std() > 1e3,
    "equal_targets": lambda s: s.batches[0].y.unique().numel() == 1,
    "norm_weight_zero": dead_before_norm,
    "residual_dropped": lambda s: early_late_ratio(s) < 0.01 * early_late_ratio(clean_twin(s)),
    "query_key_zero": query_and_key_stay_zero,
}
CHEAP = ("rescnn", "gru", "mixer", "hybrid", "rnn", "lstm", "mlp", "postnorm", "tcn", "resmlp")
LONG = {"dead_relu_rate": 60, "nan_cell": 60, "rnn_500_steps": 2, "gain_10": 20}


def observe(name, architecture, seed, steps=None):
    trial = prepare(Case("fault", name, architecture, seed))
    trial.fault_name = name
    if steps is not None:
        trial.steps = min(trial.steps, steps)
    return run_trial(trial)


def test_every_fault_has_an_effect_to_check():
    assert set(EFFECTS) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_changes_what_it_says(name):
    architecture = next(a for a in CHEAP if a in FAULTS[name].architectures)
    assert EFFECTS[name](observe(name, architecture, 0, LONG.get(name, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_changes_what_it_says_wherever_it_is_seeded(name):
    for architecture in FAULTS[name].architectures:
        for seed in range(2):
            assert EFFECTS[name](observe(name, architecture, seed)), (architecture, seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_of_a_clean_run_goes_down(architecture):
    trial = make_trial(ARCHITECTURES[architecture], seed=1)
    trial.steps = 15
    losses = run_trial(trial).losses
    assert statistics.mean(losses[-5:]) < 0.9 * statistics.mean(losses[:5])


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAPS)
def test_every_trap_learns_wherever_it_is_set(name):
    for architecture in TRAPS[name].architectures:
        seen = run_trial(prepare(Case("trap", name, architecture, 0)))
        assert seen.scores[-1] > seen.scores[0], architecture


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("number", [0, 1], ids=["regression", "classification"])
def test_a_plain_run_learns_its_task(architecture, number):
    seen = run_trial(prepare(Case("plain", f"plain_{number:02d}", architecture, 0)))
    assert max(seen.scores) > 0.6


@pytest.mark.parametrize("architecture", ["lstm", "mixer"])
def test_most_units_of_the_sparse_trap_fire(architecture):
    seen = run_trial(prepare(Case("trap", "sparse_relu", architecture, 0)))
    pool = [seen.trial.task.select(torch.arange(len(seen.trial.task.x)))]
    name, (_, output) = next(iter(record_activations(seen.model, pool, nn.ReLU).items()))
    assert name.startswith("trunk.0")
    assert (output > 0).float().mean() < 0.5
    assert dead_shares(seen.model, pool)[name] < 0.15


def test_rare_features_are_off_in_most_cells_and_on_in_some_batch():
    trial = prepare(Case("trap", "rare_one_hot", "gru", 0))
    batches = [trial.task.draw() for _ in range(4)]
    on = torch.stack([(b.x != 0).sum((0, 1)) for b in batches])
    rare = on.sum(0) < 100
    assert rare.sum() == 10
    assert on[:, rare].sum(0).min() > 0


def test_experts_of_the_top_trap_share_the_samples():
    torch.manual_seed(0)
    experts = TopExperts(16)
    experts(torch.randn(256, 16)).sum().backward()
    called = [e for e in experts.experts if e.weight.grad is not None]
    assert len(called) > 2
    assert not any(e.weight.grad.isnan().any() for e in called)


def test_a_run_stops_before_the_step_that_is_diagnosed():
    trial = make_trial(ARCHITECTURES["gru"], seed=0)
    trial.steps = 3
    seen = run_trial(trial)
    assert (seen.steps_done, len(seen.losses), len(seen.batches)) == (3, 4, 4)
    pending = {n: p.grad for n, p in seen.model.named_parameters()}
    seen.model.zero_grad()
    seen.loss_fn(seen.model, seen.batches[0]).backward()
    for name, parameter in seen.model.named_parameters():
        torch.testing.assert_close(pending[name], parameter.grad)
        torch.testing.assert_close(pending[name], seen.grads[name])


def test_the_same_case_trains_to_the_same_weights():
    case = Case("fault", "equal_targets", "gru", 0)
    runs = [run_trial(dataclasses.replace(prepare(case), steps=3)) for _ in range(2)]
    first, second = (run.model.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
