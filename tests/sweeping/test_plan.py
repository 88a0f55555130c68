"""The jobs that a command line with blocks asks for, and what composing them may share."""

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.config import compose as commands
from src.sweeping import plan
from src.sweeping.composing import Composer, compose_jobs, plain
from src.sweeping.plan import plan_sweep

TWO = "sweep.blocks={a: {pooling: 'mean,last', norm: 'none,layer'}, b: {pooling: mean, norm: none}}"


@pytest.fixture(autouse=True)
def _hydra():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        yield


def names(*command):
    return plan_sweep("train", command).plan.asked


@pytest.fixture
def composed_with(monkeypatch):
    """Return the overrides of every composition."""
    compositions = []
    compose = Composer.compose

    def _compose(self, job):
        compositions.append(job)
        return compose(self, job)

    monkeypatch.setattr(Composer, "compose", _compose)
    return compositions


def test_a_job_that_two_blocks_ask_for_is_planned_once():
    assert names(TWO, "seed=0,1") == [
        f"pooling={pooling} norm={norm} seed={seed}"
        for pooling in ("mean", "last")
        for norm in ("none", "layer")
        for seed in (0, 1)
    ]


def test_jobs_are_the_same_where_their_configs_are_whatever_their_words():
    # conf/train.yaml has norm=feature and pooling=attention.
    blocks = "sweep.blocks={a: {pooling: 'attention,mean'}, b: {norm: 'feature,none'}}"
    assert names(blocks) == ["pooling=attention", "pooling=mean", "norm=none"]


def test_jobs_of_a_plain_sweep_stay_as_many_as_were_typed():
    assert names("seed=0,0") == ["seed=0", "seed=0"]


def test_only_and_the_command_line_narrow_the_blocks():
    assert names(TWO, "sweep.only=[b]", "seed=0,1") == [
        "pooling=mean norm=none seed=0",
        "pooling=mean norm=none seed=1",
    ]
    assert names(TWO, "pooling=last") == ["norm=none", "norm=layer"]


def test_the_jobs_are_numbered_without_gaps_and_carry_their_overrides():
    jobs = plan_sweep("train", [TWO.replace("norm: none}", "norm: batch}"), "log_dir=x"]).plan.jobs
    assert [job.index for job in jobs] == [0, 1, 2, 3, 4]
    assert jobs[4].overrides == ["pooling=mean", "norm=batch", "log_dir=x"]
    assert jobs[4].varied == ["pooling=mean", "norm=batch"]


def test_a_search_and_blocks_do_not_go_together():
    with pytest.raises(ValueError, match=r"sweep\.blocks lists jobs, a search draws its own"):
        names("sweep=search", TWO)


@pytest.mark.parametrize("data", ["data=bars", "data=prices"])
def test_jobs_that_share_a_composition_are_those_composed_alone(data, composed_with):
    jobs = [[data, f"seed={seed}", f"pooling={p}"] for p in ("mean", "last") for seed in (0, 1, 23)]
    configs, values = compose_jobs("train", ["trainer=cpu"], jobs)
    assert [job[1] for job in composed_with] == ["seed=0", "seed=0"]
    for job, config, own in zip(jobs, configs, values, strict=True):
        alone = commands.own_part(commands.compose_job("train", ["trainer=cpu", *job]))
        config.seed = alone.seed
        assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(alone)
        assert own == plain(alone)
        assert own["seed"] == own["data"]["seed"] == int(job[1].removeprefix("seed="))


@pytest.mark.parametrize("item", ["+seed=1", "seed=1.5", "seed=null", "seed=one", "data.seed=1"])
def test_what_is_no_plain_whole_seed_shares_no_composition(item, monkeypatch):
    asked = []
    stub = OmegaConf.create({"seed": 0})
    monkeypatch.setattr(Composer, "compose", lambda self, job: asked.append(job) or stub)
    compose_jobs("train", [], [["seed=0"], [item], ["norm=none"], []])
    assert asked == [["seed=0"], [item], ["norm=none"], []]


def test_a_search_is_planned_by_what_it_draws_from_and_knows_no_job_yet():
    searched = {
        words: plan_sweep("train", ["sweep=search", *words])
        for words in ((), ("hydra.sweeper.n_trials=7",), ("hydra.sweeper.sampler.seed=1",))
    }
    first, more, other = searched.values()
    assert first.is_search
    assert first.swept == ["optimizer.lr", "model.hidden_size", "pooling"]
    assert first.plan.asked[1] == "model.hidden_size=choice(16, 32, 64)"
    assert (first.plan.jobs, len(first.configs), more.plan.total) == ([], 1, 7)
    assert more.plan.fingerprint == first.plan.fingerprint != other.plan.fingerprint


def test_a_plain_sweep_is_no_search_and_what_changes_no_job_is_apart():
    asked = plan_sweep("train", ["seed=0,1", "norm=none", "sweep.compare=false"])
    assert not asked.is_search
    assert (asked.swept, asked.how) == (["seed"], ["sweep.compare=false"])
    assert asked.overrides == ["seed=0,1", "norm=none"]
    assert asked.plan.command == ["seed=0,1", "norm=none", "sweep.compare=false"]
    assert asked.plan.total == 2


def test_a_job_that_cannot_be_is_named_by_what_it_does_not_share_with_all():
    jobs = [
        ["norm=none", "optimizer.lr=0.1", "seed=3"],
        ["norm=layer", "pooling=mean", "optimizer.lr=0.1", "seed=3"],
        ["norm=none", "pooling=mean", "optimizer.lr=-1", "seed=3"],
    ]
    with pytest.raises(ValueError, match=r"^job 2 \(norm=none pooling=mean optimizer.lr=-1\): "):
        compose_jobs("train", [], jobs)


def test_a_fingerprint_is_sixteen_digits_that_no_order_of_keys_changes():
    one, other = ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    digest = plan.fingerprint(one)
    assert digest == plan.fingerprint(other) != plan.fingerprint(one | {"a": 2})
    assert (len(digest), int(digest, 16) > 0) == (16, True)


def test_where_a_job_writes_is_no_part_of_what_its_result_depends_on():
    config = OmegaConf.create(
        {"a": "${b}", "b": 1, "log_dir": "x", "logger": 1, "sweep": {"job": 2}}
    )
    assert plain(config) == {"a": 1, "b": 1}


def test_a_file_that_jobs_share_is_read_once_and_what_it_holds_counts(tmp_path, monkeypatch):
    read = []
    content_of = plan.content_of
    monkeypatch.setattr(plan, "content_of", lambda file: read.append(file) or content_of(file))
    file = tmp_path / "prices.csv"
    fingerprints = []
    for prices in ("1", "2", "2"):
        file.write_text(prices)
        planned = plan_sweep("train", ["data=prices", f"data.path={file}", "seed=0,1,2"]).plan
        fingerprints.append([job.fingerprint for job in planned.jobs])
    assert read == [file] * 3
    assert len(set(fingerprints[0])) == 3
    assert set(fingerprints[0]).isdisjoint(fingerprints[1])
    assert fingerprints[1] == fingerprints[2]


@pytest.mark.parametrize("first", ["0", "999999999", "1000000000"])
def test_a_seed_that_none_can_be_is_refused_whatever_came_before(first):
    with pytest.raises(ValueError, match=r"^job 1 \(seed=4294967296\): seed: expected a whole"):
        names(f"seed={first},4294967296")


def test_what_blocks_have_in_common_says_nothing_of_hydra(tmp_path):
    (tmp_path / "sweep").mkdir()
    params = "hydra: {sweeper: {params: {hydra.job.name: a}}}"
    preset = f"# @package _global_\ndefaults: [default, _self_]\n{params}\n"
    (tmp_path / "sweep" / "mine.yaml").write_text(preset)
    with pytest.raises(ValueError, match=r"params: hydra.job.name=a is one for all jobs"):
        names(f"hydra.searchpath=[file://{tmp_path}]", "sweep=mine")
