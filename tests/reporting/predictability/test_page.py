"""The page is made of kept forecasts, and of nothing else."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.report import main
from src.reporting.predictability import page, store
from src.reporting.predictability.earning import all_earnings
from src.reporting.predictability.page import DOCS, _years_told, made_words, write_verdict
from src.reporting.predictability.scores import judge
from src.reporting.predictability.tables import money_table
from tests.reporting.predictability.fabricate import RECORD, kept, results


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = results(tmp_path_factory.mktemp("verdict"))
    return write_verdict(folder / "docs", folder), folder


def test_the_page_has_every_part_and_its_figures(written):
    verdict, folder = written
    text = (folder / "docs" / "verdict.md").read_text()
    for part in ("In plain words", "The table", "Intervals by year", "Money, carefully"):
        assert f"## {part}" in text
    linked = re.findall(r"\]\((verdict/\w+\.png)\)", text)
    assert sorted(linked) == ["verdict/coverage.png", "verdict/gains.png", "verdict/saved.png"]
    for name in linked:
        with Image.open(folder / "docs" / name) as picture:
            assert min(picture.size) > 300
    assert f"by `{RECORD['command']}`" in text
    assert len(verdict.files) == 4


def test_the_same_forecasts_make_the_same_page(written):
    _, folder = written
    again = write_verdict(folder / "again", folder)
    first, second = (folder / name / "verdict.md" for name in ("docs", "again"))
    assert first.read_bytes() == second.read_bytes()
    assert again.answer in second.read_text()


def test_what_is_kept_reads_as_it_was_written(tmp_path):
    own = kept("volatility_5", skill=0.3, days=300)
    files = store.write([own], RECORD, tmp_path)
    before = files[0].read_bytes()
    (got,), record = store.read(tmp_path)
    assert (got.series, got.question, record) == ("sp500", own.question, RECORD)
    assert list(got.forecasts) == list(own.forecasts)
    assert got.date.tolist() == own.date.tolist()
    assert got.forecasts["har"] == pytest.approx(own.forecasts["har"], rel=1e-5)
    assert store.write([got], RECORD, tmp_path)[0].read_bytes() == before


def test_a_model_that_was_not_asked_is_not_there(tmp_path):
    store.write([kept("return_1"), kept("direction_1", series="nasdaq")], RECORD, tmp_path)
    lacking = kept("return_5")
    del lacking.forecasts["ridge"]
    store.write([kept("return_1"), lacking], RECORD, tmp_path)
    first, second = store.read(tmp_path)[0]
    assert "ridge" in first.forecasts
    assert "ridge" not in second.forecasts


def test_no_forecasts_and_damaged_ones_are_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"verdict\.csv\.gz is not there; make verdict makes it"):
        store.read(tmp_path)
    store.write([kept()], RECORD, tmp_path)
    (tmp_path / store.TABLE).write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"verdict\.csv\.gz is damaged"):
        store.read(tmp_path)


def test_money_is_that_of_the_closes():
    own = judge(kept(skill=0.9)).kept
    (got,) = all_earnings([own])
    market = np.diff(own.last_price) / own.last_price[:-1]
    best = next(one for one in got.strategies if one.name == "har, sign, 1 day")
    by_hand = np.sign(own.forecasts["har"][:-1]) * market
    assert best.at_cost[0].mean == pytest.approx(252 * by_hand.mean())
    assert len(got.strategies) == 6
    assert got.holding.mean == pytest.approx(252 * market.mean())
    rows = money_table(got).rows
    assert rows[0][0] == "buy and hold"
    assert best.deflated > 0.95


def test_the_command_makes_the_page(written, tmp_path, monkeypatch, capsys):
    _, folder = written
    monkeypatch.setattr(store, "FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    main(["verdict", f"out={tmp_path / 'page'}"])
    assert "wrote" in capsys.readouterr().out
    assert (tmp_path / "page" / "verdict.md").is_file()


def test_forecasts_of_a_file_make_a_page_beside_them(written, tmp_path, capsys):
    _, folder = written
    for name in (store.TABLE, store.RECORD):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    main([str(tmp_path / store.TABLE)])
    assert (tmp_path / "verdict.md").is_file()


def test_a_page_that_is_not_to_be_written_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verdict", "format=none"])
    assert ended.value.code == 2
    assert "the verdict is a page with figures" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_of_the_docs_is_that_of_the_kept_forecasts(tmp_path):
    write_verdict(tmp_path)
    assert (tmp_path / "verdict.md").read_text() == (DOCS / "verdict.md").read_text()


def test_how_it_was_made_is_told_with_what_a_larger_size_takes():
    words = made_words(RECORD)
    assert words.startswith(
        "Size `quick`, by `python -m benchmarks.verdict --quick --write`: 2 blocks of 450 days for "
        "each series and question, 12 fits and trainings, 2 minutes of them one after the other, "
        "on 2 cores. A larger size exists: `make verdict`. What was chosen"
    )
    assert words.endswith("What each model is made by:\n\n- ridge: `model=ridge`")
    assert "on 2 cores. What was chosen" in made_words({**RECORD, "larger": None})


def test_years_are_told_with_their_questions_or_there_are_none():
    one = SimpleNamespace(kept=kept("volatility_5", days=2))
    assert _years_told({}) == "none"
    assert _years_told({2011: [one, one], 2012: [one]}) == (
        "2011 (S&P 500 volatility 5, S&P 500 volatility 5); 2012 (S&P 500 volatility 5)"
    )


def test_money_of_a_series_is_that_of_all_its_questions_beside_the_first_holding(monkeypatch):
    monkeypatch.setattr(page, "money_words", lambda strategies, holding: f"{strategies} {holding}")
    first, second, other = (
        SimpleNamespace(kept=kept(series=name, days=2), strategies=[number], holding=number)
        for number, name in enumerate(("sp500", "sp500", "nasdaq"))
    )
    assert page._money([first, second, other], "sp500") == "**Money, S&P 500:** [0, 1] 0"
    assert page._money([first], "nasdaq") == ""


def test_a_page_can_be_written_again_and_comes_first(tmp_path, monkeypatch):
    for name in ("gains_figure", "saved_figure", "coverage_figure"):
        monkeypatch.setattr(page, name, lambda judged: None)
    monkeypatch.setattr(page, "save", lambda figure, file: file)
    monkeypatch.setattr(page, "page", lambda *parts: "text")
    monkeypatch.setattr(store, "read", lambda folder: ([], RECORD))
    for _ in range(2):
        files = write_verdict(tmp_path / "new" / "docs", tmp_path).files
    assert [file.name for file in files] == ["verdict.md", "gains.png", "saved.png", "coverage.png"]


def test_questions_are_as_far_ahead_as_their_keys_say_and_the_docs_are_those_of_the_project():
    assert [one.horizon for one in store.QUESTIONS] == [int(q.key[-1]) for q in store.QUESTIONS]
    assert (store.ROOT / "pyproject.toml").is_file()


def test_forecasts_are_kept_in_a_new_folder_and_again(tmp_path):
    for _ in range(2):
        files = store.write([kept(days=3)], RECORD, tmp_path / "new" / "folder")
    assert [file.name for file in files] == [store.TABLE, store.RECORD]


def test_costs_take_what_is_traded():
    own = judge(kept(skill=0.9, days=300)).kept
    (got,) = all_earnings([own])
    position = np.sign(own.forecasts["har"][:-1])
    traded = np.abs(np.diff(position, prepend=0.0))
    gross = position * np.diff(own.last_price) / own.last_price[:-1]
    best = next(one for one in got.strategies if one.name == "har, sign, 1 day")
    for earned, cost in zip(best.at_cost, (0.0, 5e-4, 10e-4), strict=True):
        assert earned.mean == pytest.approx(252 * (gross - cost * traded).mean())
