"""The options in conf/pooling_prior and the presets that use them, composed and built."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.interventions.logits import DirectUpdate, GradientInjection
from src.interventions.prior import PoolingPrior
from src.models.pooling import AttentionPooling, LearnablePooling

OPTIONS = sorted(file.stem for file in (CONFIG_DIR / "pooling_prior").glob("*.yaml"))


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        yield


def build(*overrides: str) -> PoolingPrior:
    return instantiate(compose("train", list(overrides)).pooling_prior)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_builds_a_prior_that_learnable_pooling_can_use(option: str) -> None:
    prior = build(f"pooling_prior={option}")
    prior.check(LearnablePooling(8, 20))
    does_something = prior.kl_weight or prior.entropy_weight or prior.callbacks()
    assert bool(does_something) is (option != "none")


@pytest.mark.parametrize("option", ["none", "recency_kl", "entropy"])
def test_penalties_of_the_config_go_with_attention(option: str) -> None:
    build(f"pooling_prior={option}").check(AttentionPooling(8, 20))


def test_forced_is_the_kl_and_the_injection_together() -> None:
    forced, kl, injection = (
        OmegaConf.to_container(compose("train", [f"pooling_prior={name}"]).pooling_prior)
        for name in ("forced", "recency_kl", "gradient_injection")
    )
    assert forced == {**kl, **injection}  # type: ignore[dict-item]


def test_defaults_are_the_published_numbers_with_the_sign_that_descends() -> None:
    (injection,) = build("pooling_prior=forced").callbacks()
    assert isinstance(injection, GradientInjection)
    assert (injection.every_n_steps, injection.multiple) == (100, 0.01)
    assert injection.direction == "descent"
    (update,) = build("pooling_prior=direct_update").callbacks()
    assert isinstance(update, DirectUpdate)
    assert update.every_n_steps == 500


def test_options_can_be_changed_on_the_command_line() -> None:
    prior = build(
        "pooling_prior=forced",
        "pooling_prior.kl_weight=0.5",
        "pooling_prior.recent_steps=4",
        "pooling_prior.injection.multiple=0.05",
    )
    (injection,) = prior.callbacks()
    assert isinstance(injection, GradientInjection)
    assert (prior.kl_weight, prior.recent_steps, injection.multiple) == (0.5, 4, 0.05)


def test_the_forced_pooling_preset_is_the_published_recipe() -> None:
    config = compose("train", ["experiment=forced_pooling"])
    prior = instantiate(config.pooling_prior)
    (injection,) = prior.callbacks()
    assert config.pooling.init == "recency_probability"
    assert (prior.kl_weight, injection.direction) == (0.1, "published")
    assert (config.optimizer.lr, config.trainer.max_steps) == (1e-4, 12000)
    assert config.callbacks.pooling_monitor.log_every_n_steps == 2000
    assert config.callbacks.early_stopping is None
