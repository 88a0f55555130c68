"""From where on something is a finding: symptoms made by hand, on both sides of each bound."""

import pytest
import torch
from torch import Tensor

from src.diagnostics.causes.flow import find_exploding, find_vanishing
from src.diagnostics.causes.inputs import MIN_ROWS, find_dead_input
from src.diagnostics.causes.masks import PADDING_SHARE, find_masked
from src.diagnostics.causes.scales import find_misscaled_input, relative_sizes
from src.diagnostics.causes.units import find_dead_unit
from src.diagnostics.symptoms.stats import FeatureStats
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import ActivationSymptoms, MaskSymptoms, Symptoms
from tests.diagnostics.causes.by_hand import layer, parameter, reading, recurrent, symptoms_of


@pytest.mark.parametrize(("first", "found"), [(1.1e-4, 0), (0.9e-4, 1), (0.0, 0)])
def test_a_gradient_vanishes_below_a_ten_thousandth_of_the_last_layers(
    first: float, found: int
) -> None:
    candidates = find_vanishing(symptoms_of(layer("a", first), layer("b", 0.5), layer("c", 1.0)))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence == {
            "ratio": pytest.approx(first),
            "layers": 3,
            "first_layer": "a",
        }
        assert candidate.module == "a", "the last with no more than half the powers of ten"


def test_two_layers_are_no_depth_in_which_a_gradient_could_fade_or_grow() -> None:
    assert find_vanishing(symptoms_of(layer("a", 1e-9), layer("b", 1.0))) == []
    assert find_exploding(symptoms_of(layer("a", 1e9), layer("b", 1.0))) == []


def test_the_layer_halfway_on_the_way_is_named() -> None:
    flows = {"a": 1e-8, "b": 1e-4, "c": 1e-3, "d": 1.0}
    (found,) = find_vanishing(symptoms_of(*(layer(n, f) for n, f in flows.items())))
    assert found.module == "b"


@pytest.mark.parametrize(("first", "found"), [(1001.0, 1), (1000.0, 0)])
def test_a_gradient_explodes_above_a_thousand_times_the_last_layers(
    first: float, found: int
) -> None:
    candidates = find_exploding(symptoms_of(layer("a", first), layer("b", 2.0), layer("c", 1.0)))
    assert [(c.module, c.evidence["ratio"]) for c in candidates] == [("a", first)] * found


def test_how_small_all_gradients_are_does_not_matter_but_none_at_all_is_no_explosion() -> None:
    flows = (1e-3, 1e-5, 1e-7)
    (found,) = find_exploding(
        symptoms_of(*(layer(n, f) for n, f in zip("abc", flows, strict=True)))
    )
    assert found.evidence["ratio"] == pytest.approx(1e4)
    assert find_exploding(symptoms_of(layer("a", 1.0), layer("b", 1.0), layer("c", 0.0))) == []


def test_layers_that_read_nothing_of_the_batch_are_on_no_way() -> None:
    seen = symptoms_of(layer("a", 1e-9), layer("b", 0.5), layer("c", 1.0))
    seen.structure = Structure(unfed={"a"})
    assert find_vanishing(seen) == []


@pytest.mark.parametrize(("steps", "reached", "found"), [(100, 19, 1), (100, 20, 0), (99, 1, 0)])
def test_a_recurrent_layer_forgets_below_a_fifth_of_a_hundred_steps(
    steps: int, reached: int, found: int
) -> None:
    over_time = torch.where(torch.arange(steps) >= steps - reached, 1.0, 1e-9)
    candidates = find_vanishing(symptoms_of(recurrent(over_time)))
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence["steps_reached"] == reached
        assert candidate.evidence["steps"] == steps
        assert candidate.fraction == pytest.approx(1 - reached / steps)
        assert (candidate.evidence["first_step"], candidate.evidence["last_step"]) == (
            pytest.approx(1e-9),
            1.0,
        )


@pytest.mark.parametrize(
    ("growth", "gain", "found"), [(31, 0.5, 1), (29, 0.5, 0), (29, 1.5, 1), (2.9, 1.5, 0)]
)
def test_a_gradient_grows_over_time_by_thirty_or_by_three_with_large_weights(
    growth: float, gain: float, found: int
) -> None:
    seen = symptoms_of(recurrent(torch.tensor([float(growth), 1.0, 1.0, 1.0])))
    # rms(weight) sqrt(fan_in): four inputs of weight gain / 2
    held = parameter("rnn.weight_hh_l0", torch.full((4, 4), gain / 2))
    seen.parameters[held.name] = held
    candidates = find_exploding(seen)
    assert len(candidates) == found
    for candidate in candidates:
        assert candidate.evidence["growth_over_time"] == growth
        assert candidate.evidence["recurrent_gain"] == pytest.approx(gain)
    short = symptoms_of(recurrent(torch.tensor([100.0, 1.0, 1.0])))
    assert find_exploding(short) == [], "three steps are no series"


@pytest.mark.parametrize("learned", [False, True])
def test_what_fades_or_grows_over_time_is_benign_in_a_model_that_has_learned(
    learned: bool,
) -> None:
    fading = torch.where(torch.arange(100) >= 99, 1.0, 1e-9)
    growing = torch.tensor([100.0, 1.0, 1.0, 1.0])
    (faded,) = find_vanishing(symptoms_of(recurrent(fading), learned=learned))
    (grown,) = find_exploding(symptoms_of(recurrent(growing), learned=learned))
    assert (faded.benign, grown.benign) == (learned, learned)


@pytest.mark.parametrize(
    ("real", "padding", "found"), [(0.51, 0.49, 1), (0.5, 0.0, 0), (1.0, 0.5, 0), (0.0, 1.0, 0)]
)
def test_a_mask_is_upside_down_from_half_on_both_sides(
    real: float, padding: float, found: int
) -> None:
    mask = MaskSymptoms("masked_fill", "attention", [real, real], [padding, padding])
    candidates = find_masked(Symptoms(masks=[mask]))
    assert [(c.module, c.fraction) for c in candidates] == [("attention", real)] * found
    for candidate in candidates:
        assert candidate.evidence["real_steps_hidden"] == real
        assert candidate.evidence["padding_hidden"] == padding
        assert candidate.evidence["masks"] == 1


@pytest.mark.parametrize(("share", "found"), [(1.0, 1), (PADDING_SHARE, 1), (0.999998, 0)])
def test_a_gradient_that_goes_to_padding_alone_is_masked(share: float, found: int) -> None:
    seen = symptoms_of(reading(torch.ones(9, 4)), padding_flow=[share, share])
    assert [(c.module, c.fraction) for c in find_masked(seen)] == [("first", share)] * found
    for candidate in find_masked(seen):
        assert candidate.evidence == {"gradient_to_padding": share}
        assert candidate.remedy.startswith("Invert the mask: key_padding_mask is True where a")
    assert find_masked(symptoms_of(reading(torch.ones(9, 4)))) == []


def features(dead: int, rare: int) -> Tensor:
    """Return 100 rows of so many dead and rare features, and of two that vary."""
    varying = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    once = (torch.arange(100) == 7).float()[:, None].repeat(1, rare)
    return torch.cat([torch.zeros(100, dead), once, varying], dim=1)


@pytest.mark.parametrize(
    ("dead", "rare", "benign"), [(1, 0, False), (2, 1, False), (2, 2, True), (1, 3, True)]
)
def test_as_many_dead_features_as_rare_ones_are_benign(dead: int, rare: int, benign: bool) -> None:
    seen = symptoms_of(reading(features(dead, rare)))
    seen.structure.flat_data = True
    (found,) = find_dead_input(seen)
    assert found.benign is benign
    assert found.evidence["columns"] == list(range(dead))
    assert found.evidence["rare_features"] == rare
    assert found.fraction == pytest.approx(dead / (dead + rare + 2))


def test_zeros_that_the_model_makes_itself_are_benign() -> None:
    seen = symptoms_of(reading(features(2, 0)))
    seen.structure = Structure(flat_data=True)
    assert not find_dead_input(seen)[0].benign
    seen.structure = Structure(flat_data=False)
    assert find_dead_input(seen)[0].benign, "the data vary everywhere"
    seen.structure = Structure(flat_data=True, unfed={"first"})
    assert find_dead_input(seen)[0].benign, "it reads no data"


def test_of_fewer_than_eight_rows_nothing_is_said() -> None:
    assert MIN_ROWS == 8
    assert find_dead_input(symptoms_of(reading(torch.zeros(7, 4)))) == []
    assert len(find_dead_input(symptoms_of(reading(torch.zeros(8, 4))))) == 1


def test_a_feature_is_misscaled_from_a_hundred_times_the_median_on() -> None:
    sizes = torch.tensor([1.0, 1.0, 1.0, 100.0, 99.0, 0.01, 0.011, 0.0])
    assert relative_sizes(sizes) == {3: 100.0, 5: pytest.approx(0.01)}
    assert relative_sizes(torch.tensor([1e9, 0.0])) == {}, "alone it is far from nothing"


@pytest.mark.parametrize(
    ("size", "kind", "columns"),
    [
        (1001.0, "Linear", [0, 1, 2, 3]),
        (999.0, "Linear", None),
        (0.9e-4, "Linear", [0, 1, 2, 3]),
        (1.1e-4, "Linear", None),
        (1e6, "LayerNorm", None),
        (1e6, "BatchNorm1d", None),
    ],
)
def test_all_features_are_misscaled_beyond_a_thousand_and_below_a_ten_thousandth(
    size: float, kind: str, columns: list[int] | None
) -> None:
    found = find_misscaled_input(symptoms_of(reading(torch.full((9, 4), size), kind)))
    assert [c.evidence["columns"] for c in found] == ([columns] if columns else [])
    for candidate in found:
        assert candidate.evidence["median_size"] == pytest.approx(size)
        ends = (candidate.evidence["largest_ratio"], candidate.evidence["smallest_ratio"])
        assert ends == (1.0, 1.0), "among themselves they are alike"


@pytest.mark.parametrize(
    ("dead", "learned", "benign"),
    [(5, False, False), (5, True, True), (8, True, True), (9, True, False), (4, False, None)],
)
def test_half_of_a_layers_units_are_a_fault_and_nine_in_ten_always(
    dead: int, learned: bool, benign: bool | None
) -> None:
    x = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    x[:, :dead] = -1
    stats = FeatureStats(10)
    stats.add(x)
    seen = symptoms_of(layer("first", 1.0), learned=learned)
    seen.activations = [ActivationSymptoms("relu", "relu", "first", 0, stats)]
    found = find_dead_unit(seen)
    assert [(c.module, c.benign) for c in found] == [("first", benign)] * (benign is not None)
    for candidate in found:
        assert candidate.fraction == dead / 10
        assert candidate.indices == tuple(range(dead))
        assert candidate.evidence["largest_preactivation"] == -1


def test_units_that_get_no_gradient_are_dead_whatever_they_send() -> None:
    silent, alive = layer("a", 0.0), layer("b", 1.0)
    silent.units = 4
    (found,) = find_dead_unit(symptoms_of(silent, alive))
    assert (found.module, found.fraction) == ("a", 1.0)
    assert found.evidence["silent_modules"] == ["a"]
    assert find_dead_unit(symptoms_of(layer("a", 1.0), layer("b", 0.0))) == []
    assert find_dead_unit(symptoms_of(silent, alive, routed=True)) == []
