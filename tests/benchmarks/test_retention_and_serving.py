"""The benchmarks measure what they say, on small numbers."""

import json

import pytest

from benchmarks import retention, serving
from benchmarks.keeping import keep


def test_retention_is_measured_for_each_state_and_length(monkeypatch):
    monkeypatch.setattr(retention, "LENGTHS", (60, 70))
    data = {length: retention.load_data(length) for length in retention.LENGTHS}
    found = retention.measure("lstm", data, seeds=2, steps=1)
    assert found["layer_parameters"] == 4 * retention.count("rnn")["layer_parameters"]
    assert [(row["state"], row["days"]) for row in found["rows"]] == [
        (state, days) for state in ("initial", "trained") for days in (60, 70)
    ]
    for row in found["rows"]:
        assert row["curve"][0] == pytest.approx([1.0, 1.0, 1.0])
        assert all(low <= mean <= high for mean, low, high in row["curve"])
        json.dumps(row)


def test_a_result_is_kept_as_numbers_and_as_a_page(tmp_path):
    keep("speed", {"ratio": 1.5, "half_life": float("inf")}, "# Speed\n", tmp_path)
    assert json.loads((tmp_path / "speed.json").read_text()) == {"ratio": 1.5, "half_life": None}
    assert (tmp_path / "speed.md").read_text() == "# Speed\n"


def test_bodies_of_the_load_are_valid_and_those_of_the_bad_tenth_are_not():
    from src.serving.prices import FieldError
    from src.serving.requests import parse_prices

    for body in serving.windows(20):
        assert len(parse_prices(body.decode(), 60)) == 60
    for body in serving.BAD:
        with pytest.raises((FieldError, UnicodeDecodeError)):
            parse_prices(body.decode(), 60)


@pytest.mark.slow
def test_the_service_holds_under_load(capsys):
    serving.main(["--requests", "1000", "--examples", "100"])
    assert "not byte for byte the serial one: 0." in capsys.readouterr().out
