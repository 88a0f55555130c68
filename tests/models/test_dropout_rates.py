import pytest

from src.models.contract import DropoutRates


def test_missing_places_mean_no_dropout():
    assert DropoutRates.from_mapping({"input": 0.1}) == DropoutRates(0.1, 0.0, 0.0)


@pytest.mark.parametrize("place", ["input", "projection", "encoder"])
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_rates_outside_the_unit_interval_are_refused_with_place_and_value(place, rate):
    with pytest.raises(ValueError, match=rf"dropout\.{place} must be in \[0, 1\), got {rate}"):
        DropoutRates.from_mapping({place: rate})


def test_unknown_places_are_refused_by_name():
    with pytest.raises(ValueError, match=r"got \['attention'\]"):
        DropoutRates.from_mapping({"attention": 0.1, "input": 0.1})
