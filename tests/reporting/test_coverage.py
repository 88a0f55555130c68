"""How often intervals held, averaged over the runs of each group."""

from src.reporting.coverage import coverage_of


def interval(coverage, **by_year):
    return {"coverage": coverage, "by_year": by_year}


def test_shares_are_averaged_over_seeds_and_the_widest_is_told_by_year():
    runs = [
        {"group": "a", "intervals": {"conformal": {"0.5": interval(0.4, y=0.4)}}},
        {"group": "a", "intervals": {"conformal": {"0.5": interval(0.6, y=0.6)}}},
        {"group": "b", "intervals": {"own": {"crps": 1.0, "intervals": {
            "0.95": interval(0.9, **{"2017": 1.0, "2018": 0.8})}}}},
        {"group": "c", "intervals": None},
    ]  # fmt: skip
    assert coverage_of(runs) == {
        ("a", "conformal"): {"50%": 0.5},
        ("b", "own"): {"95%": 0.9, "95% in 2017": 1.0, "95% in 2018": 0.8},
    }
