import pytest
import torch

from src.models.pooling import GatedPooling, LearnablePooling, initial_logits


def shape(weights_t: torch.Tensor) -> tuple[float, float]:
    return weights_t.std().item(), weights_t[-3:].sum().item()


def test_uniform_logits_give_equal_weights():
    assert initial_logits(20, "uniform").tolist() == [0.0] * 20


def test_recency_log_gives_the_profile_back_through_the_softmax():
    weights_t = initial_logits(20, "recency_log").softmax(0)
    torch.testing.assert_close(weights_t, torch.linspace(0.8, 1.2, 20) / 20)
    std, last_three = shape(weights_t)
    assert round(std, 4) == 0.0062
    assert round(last_three, 3) == 0.177


def test_recency_probability_gives_the_published_figures_with_seed_0():
    torch.manual_seed(0)
    std, last_three = shape(initial_logits(20, "recency_probability").softmax(0))
    assert round(std, 4) == 0.0008
    assert round(last_three, 4) == 0.1525


def test_recency_probability_is_all_but_uniform_on_average_over_the_noise():
    torch.manual_seed(1)
    draws = [shape(initial_logits(20, "recency_probability").softmax(0)) for _ in range(1000)]
    std, last_three = torch.tensor(draws).mean(0).tolist()
    assert std == pytest.approx(0.0006, abs=0.00005)
    assert last_three == pytest.approx(0.1514, abs=0.0002)


@pytest.mark.parametrize("pooling", [LearnablePooling, GatedPooling])
@pytest.mark.parametrize("init", ["uniform", "recency_probability", "recency_log"])
def test_every_pooling_with_logits_starts_from_them(pooling, init):
    torch.manual_seed(3)
    expected = initial_logits(20, init)
    torch.manual_seed(3)
    assert torch.equal(pooling(4, 20, init=init).logits, expected)


def test_unknown_initialisations_are_refused():
    with pytest.raises(ValueError, match=r"init must be one of \['uniform', .*got 'random'"):
        LearnablePooling(4, 20, init="random")
