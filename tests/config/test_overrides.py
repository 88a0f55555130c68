import pytest

from src.config.overrides import expand, first_values, is_hydra, parse


def test_all_combinations_come_in_hydras_order():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    overrides = parse(["a=1,2", "b=x", "c=range(0,3)", "d=choice(0.1,0.2)"])
    assert expand(overrides) == BasicSweeper.split_arguments(overrides, None)[0]


def test_paired_values_go_together():
    overrides = parse(["a=1,2,3", "b=x", "c=0.1,0.2,0.3"])
    assert expand(overrides, zipped=True) == [
        ["a=1", "b=x", "c=0.1"],
        ["a=2", "b=x", "c=0.2"],
        ["a=3", "b=x", "c=0.3"],
    ]


def test_paired_keys_are_combined_with_all_values_of_the_others():
    overrides = parse(["a=1,2", "s=7,8", "b=x,y"])
    assert expand(overrides, zipped=["a", "b"]) == [
        ["a=1", "s=7", "b=x"],
        ["a=1", "s=8", "b=x"],
        ["a=2", "s=7", "b=y"],
        ["a=2", "s=8", "b=y"],
    ]


def test_paired_keys_with_different_numbers_of_values_are_refused():
    with pytest.raises(ValueError, match="a has 3, b has 2"):
        expand(parse(["a=1,2,3", "b=x,y"]), zipped=True)


@pytest.mark.parametrize("key", ["a", "c"])
def test_a_key_without_several_values_cannot_be_paired(key):
    with pytest.raises(ValueError, match=f"{key} has one value"):
        expand(parse(["a=1", "b=x,y"]), zipped=[key, "b"])


def test_the_later_of_two_values_for_one_key_counts():
    assert expand(parse(["a=1,2", "a=3"])) == [["a=3"]]


def test_a_value_that_is_a_list_stays_whole():
    assert expand(parse(["a=[1,2],[3]"])) == [["a=[1,2]"], ["a=[3]"]]


def test_the_first_of_an_interval_is_its_lower_end():
    overrides = parse(["a=tag(log,interval(1e-4,1))", "b=x,y", "c=3"])
    assert first_values(overrides) == ["a=0.0001", "b=x", "c=3"]


def test_hydras_own_overrides_are_told_from_the_jobs():
    told = [is_hydra(o) for o in parse(["hydra/launcher=joblib", "hydra.verbose=true", "seed=1"])]
    assert told == [True, True, False]
