import pytest
from omegaconf import OmegaConf

from src.config.overrides import parse
from src.sweeping.blocks import Wanted, chosen_blocks, factorial, union


def blocks_of(**settings):
    return chosen_blocks(OmegaConf.create({"blocks": None, "only": None} | settings))


def jobs_of(blocks, params=(), typed=(), zipped=False):
    wanted = union(blocks_of(blocks=blocks), parse(params), parse(typed), zipped)
    return [" ".join(job.overrides) for job in wanted]


def test_a_union_has_each_blocks_product_with_the_common_params_in_order():
    blocks = {
        "poolings": {"pooling": "mean,last"},
        "b": {"data": "bars", "model.num_layers": "1,4,8"},
    }
    assert jobs_of(blocks, params=["seed=0,1"]) == [
        "pooling=mean seed=0",
        "pooling=mean seed=1",
        "pooling=last seed=0",
        "pooling=last seed=1",
        "data=bars model.num_layers=1 seed=0",
        "data=bars model.num_layers=1 seed=1",
        "data=bars model.num_layers=4 seed=0",
        "data=bars model.num_layers=4 seed=1",
        "data=bars model.num_layers=8 seed=0",
        "data=bars model.num_layers=8 seed=1",
    ]


def test_what_is_typed_wins_over_the_block_and_the_block_over_the_common_params():
    blocks = {"a": {"data": "bars,prices", "epochs": 9}, "b": {"norm": "none"}}
    params = ["seed=0,1,2", "epochs=3"]
    assert jobs_of(blocks, params, ["data=bars", "seed=7"]) == [
        "data=bars epochs=9 seed=7",
        "norm=none seed=7 epochs=3 data=bars",
    ]


def test_an_empty_block_is_the_common_params_alone():
    assert jobs_of({"base": {}, "a": {"norm": "none"}}, ["seed=0,1"]) == [
        "seed=0",
        "seed=1",
        "norm=none seed=0",
        "norm=none seed=1",
    ]


def test_a_value_is_what_hydra_takes_on_a_command_line():
    blocks = {"a": {"+x": "range(0,2)", "y": [1, 2], "z": None, "on": True, "w": "choice(1e-3,2)"}}
    assert jobs_of(blocks) == [
        "+x=0 y=[1,2] z=null on=True w=0.001",
        "+x=0 y=[1,2] z=null on=True w=2",
        "+x=1 y=[1,2] z=null on=True w=0.001",
        "+x=1 y=[1,2] z=null on=True w=2",
    ]


def test_a_job_varies_what_its_block_sets_and_what_has_several_values():
    block = parse(["norm=none", "layers=1,4", "data=bars"])
    wanted = factorial(block, parse(["seed=0,1", "epochs=3"]), parse(["data=prices", "lr=1"]))
    assert wanted[0] == Wanted(
        ["norm=none", "layers=1", "data=prices", "seed=0", "epochs=3", "lr=1"],
        {"norm", "layers", "seed"},
    )


def test_values_are_paired_within_each_block():
    blocks = {"a": {"norm": "none"}, "b": {"norm": "none,layer", "lr": "1,2"}}
    assert jobs_of(blocks, ["seed=0,1"], zipped=True) == [
        "norm=none seed=0",
        "norm=none seed=1",
        "norm=none lr=1 seed=0",
        "norm=layer lr=2 seed=1",
    ]
    with pytest.raises(ValueError, match=r"sweep.blocks.a: sweep.zip: lr has one value"):
        jobs_of(blocks, ["seed=0,1"], zipped=["seed", "lr"])


def test_only_the_named_blocks_are_taken_in_the_presets_order():
    blocks = {"a": {}, "b": {}, "c": {}}
    assert list(blocks_of(blocks=blocks)) == ["a", "b", "c"]
    assert list(blocks_of(blocks=blocks, only=["c", "a"])) == ["a", "c"]
    assert list(blocks_of(blocks=blocks, only="b")) == ["b"]


def test_without_blocks_there_are_none():
    assert blocks_of() == {}


def test_a_block_set_to_null_is_left_out():
    assert list(blocks_of(blocks={"a": None, "b": {}})) == ["b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only": ["dpth"]}, r"sweep.only: no block dpth; did you mean depth\?"),
        ({"only": ["depth", "x"]}, "no block x; choose from depth, poolings"),
        ({"only": []}, "sweep.only is empty; choose from depth, poolings"),
        ({"only": {"depth": 1}}, "sweep.only is a list of block names, got {'depth': 1}"),
        ({"only": ["a"], "blocks": None}, "sweep.only: this sweep has no blocks"),
        ({"blocks": ["a"]}, r"sweep.blocks maps names to blocks, got \['a'\]"),
        ({"blocks": {"a": "norm=none"}}, "sweep.blocks.a maps keys to values, got 'norm=none'"),
        ({"blocks": {"a": None, "b": {}}, "only": "a"}, "sweep.only: no block a"),
        (
            {"blocks": {"a": {"model": {"layers": "1,2"}}}},
            r"sweep.blocks.a: model: .* dotted key, such as model.layers",
        ),
        ({"blocks": {"a": {"norm": "[none"}}}, r"sweep.blocks.a: .*\[none"),
        ({"blocks": {"a": {"sweep.zip": True}}}, "sweep.blocks.a: sweep.zip is one for all jobs"),
        (
            {"blocks": {"a": {"hydra/launcher": "joblib"}}},
            "sweep.blocks.a: hydra/launcher is one for all jobs",
        ),
        ({"blocks": {"a": {"+hydra.x": 1}}}, "sweep.blocks.a: .hydra.x is one for all jobs"),
        ({"blocks": {"a": {"~sweep": 1}}}, "sweep.blocks.a: ~sweep is one for all jobs"),
    ],
)
def test_what_is_no_block_is_refused_with_what_was_expected(settings, message):
    with pytest.raises(ValueError, match=message):
        blocks_of(**({"blocks": {"poolings": {}, "depth": {}}} | settings))


def test_an_interval_in_a_block_is_refused_with_the_blocks_name():
    with pytest.raises(ValueError, match=r"sweep.blocks.a: .*INTERVAL"):
        jobs_of({"a": {"lr": "interval(0,1)"}})


def test_without_a_word_on_it_values_are_combined_and_not_paired():
    two = parse(["a=1,2", "b=3,4"])
    assert len(factorial(two, [], [])) == len(union({"one": two}, [], [])) == 4
