"""A job composed from what many share is the job that Hydra composes alone, whatever it says."""

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.config.compose import compose_job, own_part
from src.config.keys import command_keys
from src.sweeping import composing
from src.sweeping.composing import Composer
from src.sweeping.plan import plan_sweep


@pytest.fixture(autouse=True)
def _hydra():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        yield


@pytest.fixture
def alone(monkeypatch):
    """Return the jobs that were composed alone."""
    jobs = []

    def _compose(name, job):
        jobs.append(job)
        return compose_job(name, job)

    monkeypatch.setattr(composing, "compose_job", _compose)
    return jobs


def differs(composer, common, job):
    """Say how a job composed in company differs from Hydra's own: keys, their order, values."""
    ours, hydras = composer.compose(job), own_part(compose_job("train", [*common, *job]))
    return OmegaConf.to_yaml(ours) != OmegaConf.to_yaml(hydras) or any(
        OmegaConf.to_container(ours, resolve=resolve)
        != OmegaConf.to_container(hydras, resolve=resolve)
        for resolve in (False, True)
    )


GROUPS = {
    group.name: [f"{group.name}={option}" for option in group.options]
    for group in command_keys("train").groups
    if group.name != "sweep"
}
OPTIONS = [option for options in GROUPS.values() for option in options]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([options[-1] for options in GROUPS.values()], id="one of each group"),
        pytest.param(OPTIONS, id="all", marks=pytest.mark.slow),
    ],
)
def test_each_option_of_each_group_is_composed_as_by_hydra(alone, options):
    composer = Composer("train", ["trainer=cpu", "sweep.compare=false"])
    common = ["trainer=cpu", "sweep.compare=false"]
    jobs = [[option] for option in options]
    assert [job for job in jobs if differs(composer, common, job)] == []
    assert len(alone) < 0.2 * len(jobs)  # a preset that speaks of the multirun is composed alone


JOBS = [
    [],
    ["seed=3", "optimizer.lr=3e-3"],
    ["model=transformer_small", "pooling=multihead", "model.num_layers=1", "data=bars"],
    ["experiment=price_lstm", "norm=layer", "trainer.max_epochs=2", "data.batch_size=8"],
    ["experiment=gradient_death", "schedule.scale=0.5"],
    ["optimizer.lr=1e-2", "optimizer=sgd"],
    ["seed=1", "seed=2", "norm=none", "norm=layer"],
    ["name='a b, c'", "data.path=null"],
    ["+trainer.gradient_clip_val=0.5"],
    ["++trainer.gradient_clip_val=0.5", "trainer.max_epochs=3"],
    ["+optimizer.amsgrad=true", "optimizer=adamw"],
    ["+callbacks.a={_target_: src.callbacks.memory_monitor.MemoryMonitor, every_n_steps: 2}"],
    ["+callbacks.a={_target_: os.system}"],
    ["~callbacks.progress"],
    ["~callbacks.progress_bar"],
    ["~callbacks.progress_bar", "callbacks=basic"],
    ["~callbacks.progress_bar=3"],
    ["~experiment"],
    ["~norm"],
    ["+debug=fast"],
    ["+experiment=price_lstm"],
    ["+norm@callbacks.a=layer"],
    ["norm@callbacks.a=layer"],
    ["+norm@hydra.launcher.a=layer"],
    ["+experiment@sweep=price_lstm"],
    ["data.columns={close: x}"],
    ["data={batch_size: 8}", "data=prices"],
    ["data={batch_size: 8, columns: {close: x}}", "data.columns.close=y"],
    ["model=[lstm,gru]"],
]


def said(compose):
    """Return a config's text, or the words in which it is refused."""
    try:
        return OmegaConf.to_yaml(compose())
    except ValueError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("job", JOBS, ids=" ".join)
def test_options_and_values_together_are_composed_as_by_hydra(job):
    expected = said(lambda: own_part(compose_job("train", ["trainer=cpu", *job])))
    composer = Composer("train", ["trainer=cpu"])
    for _ in range(2):
        assert said(lambda: composer.compose(job)) == expected


def test_a_job_leaves_nothing_behind_for_the_next():
    composer = Composer("train", [])
    before = OmegaConf.to_yaml(composer.compose(["pooling=mean"]))
    composer.compose(["pooling=mean", "optimizer.lr=0.5", "trainer.max_epochs=1"])
    composer.compose(["pooling=last"])
    assert OmegaConf.to_yaml(composer.compose(["pooling=mean"])) == before


def test_values_in_common_count_and_a_jobs_own_win():
    composer = Composer("train", ["optimizer.lr=0.5", "seed=4"])
    config = composer.compose(["seed=5"])
    assert (config.optimizer.lr, config.seed) == (0.5, 5)


@pytest.mark.parametrize(
    "job",
    [
        ["optimizer.lr=-1"],
        ["optimizer.lrr=1"],
        ["pooling=nope"],
        ["name=${oc.env:HOME}"],
        ["model._target_=os.system"],
        ["hydra.launcher.n_jobs=x"],
        ["trainer.max_epochs=zwei"],
        ["+foo=1"],
        ["++foo=1"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_in_the_words_of_a_job_composed_alone(job):
    expected = said(lambda: own_part(compose_job("train", job)))
    composer = Composer("train", [])
    composer.compose([])
    assert said(lambda: composer.compose(job)) == expected
    assert expected.startswith("refused: ")


def test_a_preset_that_speaks_of_the_multirun_is_checked_like_one_alone(tmp_path):
    (tmp_path / "experiment").mkdir()
    preset = "# @package _global_\nhydra: {launcher: {_target_: os.system}}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(preset)
    composer = Composer("train", [f"hydra.searchpath=[file://{tmp_path}]"])
    composer.compose(["experiment=price_lstm"])
    with pytest.raises(ValueError, match=r"hydra\.launcher\._target_"):
        composer.compose(["experiment=mine"])


def test_what_is_said_of_hydra_itself_is_no_reason_to_compose_a_job_alone(alone):
    composer = Composer("train", ["hydra/launcher=basic", "hydra.verbose=false"])
    for seed in range(3):
        assert composer.compose([f"seed={seed}"]).seed == seed
    assert len(alone) == 1, "the first, to be checked"


def test_a_preset_of_the_sweep_is_read_once_for_all_its_jobs(alone):
    jobs = plan_sweep("train", ["sweep=poolings", "+trainer.gradient_clip_val=1"]).plan.jobs
    assert (len(jobs), len(alone)) == (24, 1)
    assert jobs[0].overrides[3:] == ["sweep=poolings", "+trainer.gradient_clip_val=1"]
