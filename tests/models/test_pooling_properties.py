"""Every pooling, on sequences and masks of any shape: what is padded counts for nothing."""

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.options import load, options

D = 4
quick = settings(max_examples=15, deadline=None, derandomize=True)


@st.composite
def sequences(draw):
    """Draw hidden states (B, T, D) and a mask (B, T) that leaves each sample a step."""
    batch, steps, seed = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(0, 99)))
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, steps, D, generator=generator)
    mask = torch.rand(batch, steps, generator=generator) < 0.6
    kept = torch.randint(steps, (batch,), generator=generator)
    mask[torch.arange(batch), kept] = True
    return hidden, mask


def pooling_of(name, steps):
    torch.manual_seed(0)
    module = instantiate(load("pooling", name))(D, steps)
    if hasattr(module, "logits"):
        torch.nn.init.normal_(module.logits)
    return module.eval()


@pytest.mark.parametrize("name", options("pooling"))
@quick
@given(given_sequences=sequences())
def test_weights_are_shares_and_a_sample_is_pooled_as_if_alone(name, given_sequences):
    hidden, mask = given_sequences
    pooling = pooling_of(name, hidden.shape[1])
    pooled, weights = pooling(hidden, mask)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(hidden)))
    assert (weights[~mask] == 0).all()
    for number in range(len(hidden)):
        alone = pooling(hidden[number : number + 1], mask[number : number + 1])
        torch.testing.assert_close(alone.pooled[0], pooled[number], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", options("pooling"))
@quick
@given(given_sequences=sequences(), fill=st.sampled_from([1e6, float("nan"), float("-inf")]))
def test_what_lies_in_the_padding_changes_nothing(name, given_sequences, fill):
    hidden, mask = given_sequences
    pooling = pooling_of(name, hidden.shape[1])
    filled = hidden.masked_fill(~mask.unsqueeze(-1), fill)
    torch.testing.assert_close(pooling(filled, mask), pooling(hidden, mask))


def slow(name, hidden, mask):
    """Return what a pooling without weights to learn gives, step by step."""
    real = [step for step, kept in zip(hidden.tolist(), mask.tolist(), strict=True) if kept]
    columns = list(zip(*real, strict=True))
    ways = {
        "mean": lambda column: sum(column) / len(column),
        "last": lambda column: column[-1],
        "max": max,
    }
    return [ways[name](column) for column in columns]


@pytest.mark.parametrize("name", ["mean", "last", "max"])
@quick
@given(given_sequences=sequences())
def test_plain_poolings_equal_their_slow_twins(name, given_sequences):
    hidden, mask = given_sequences
    pooled = pooling_of(name, hidden.shape[1])(hidden, mask).pooled
    expected = [slow(name, *one) for one in zip(hidden, mask, strict=True)]
    torch.testing.assert_close(pooled, torch.tensor(expected))


@quick
@given(given_sequences=sequences())
def test_learned_weights_are_a_softmax_over_the_real_steps(given_sequences):
    hidden, mask = given_sequences
    pooling = pooling_of("learnable", hidden.shape[1])
    powers = pooling.logits.detach().exp() * mask
    expected = powers / powers.sum(1, keepdim=True)
    pooled, weights = pooling(hidden, mask)
    torch.testing.assert_close(weights.detach(), expected)
    torch.testing.assert_close(pooled.detach(), torch.einsum("bt,btd->bd", expected, hidden))


@pytest.mark.parametrize("name", ["attention", "max", "mean", "attentive_stats", "multihead"])
@quick
@given(given_sequences=sequences(), seed=st.integers(0, 99))
def test_poolings_by_content_do_not_mind_the_order(name, given_sequences, seed):
    hidden, mask = given_sequences
    pooling = pooling_of(name, hidden.shape[1])
    order = torch.randperm(hidden.shape[1], generator=torch.Generator().manual_seed(seed))
    turned = pooling(hidden[:, order], mask[:, order])
    torch.testing.assert_close(turned.pooled, pooling(hidden, mask).pooled, rtol=1e-4, atol=1e-5)
