import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

import src.reporting.report as reports
from src.reporting import load_runs, report_view, write_report
from src.reporting.text import TextTable
from tests.reporting.fabricate import fabricate

EVIL = "<script>alert('x')</script> | [bold]*x*[/]"


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    vals = {"mean none": 0.1, "mean layer": 0.11, "last none": 0.2, "last layer": 0.21}
    for group, val in vals.items():
        pooling, norm = group.split()
        for seed in range(2):
            rmse = 1.05 + seed / 10 + (pooling == "last") / 10
            fabricate(folder, pooling=pooling, norm=norm, val=val, seed=seed, rmse=rmse)
    fabricate(folder, pooling="max", norm="none", status="failed", reason=EVIL)
    return folder


def shown(report, width=100, every=True):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report_view(report, every))
    return console.export_text()


def test_every_file_is_written_and_says_the_same(runs, tmp_path):
    report = write_report(runs, tmp_path / "out")
    names = ["comparison.md", "comparison.csv", "runs.csv", "comparison.json", "comparison.html"]
    assert [file.name for file in report.files] == names
    assert sorted(names) == sorted(file.name for file in (tmp_path / "out").iterdir())
    verdict = "shown to be better than the next: val/loss 0.1000 over 2 seeds, test/rmse 1.100"
    for name in ("comparison.md", "comparison.json", "comparison.html"):
        assert verdict in (tmp_path / "out" / name).read_text()
    assert verdict in " ".join(shown(report).split())


def test_csv_holds_a_row_per_group_and_a_row_per_run(runs, tmp_path):
    write_report(runs, tmp_path, formats=["csv"])
    groups = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    assert len(groups) == 5
    assert (groups[0]["pooling"], groups[0]["norm"], groups[0]["rank"]) == ("mean", "none", "1")
    assert float(groups[0]["metric_mean"]) == pytest.approx(1.1)
    assert float(groups[2]["metric_difference_mean"]) == pytest.approx(0.1)
    assert len(list(csv.DictReader((tmp_path / "runs.csv").open()))) == 9


def test_json_holds_no_number_that_json_lacks(runs, tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    write_report(runs, tmp_path, formats=["json"])
    text = (tmp_path / "comparison.json").read_text()
    plain = json.loads(text, parse_constant=refuse)
    assert plain["comparisons"][0]["groups"][0]["metric"]["n"] == 2
    assert plain["comparisons"][0]["groups"][4]["rank"] is None
    assert len(plain["runs"]) == 9


def test_the_page_needs_nothing_but_itself_and_runs_nothing(runs, tmp_path):
    write_report(runs, tmp_path, formats=["html"])
    text = (tmp_path / "comparison.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    plain = re.sub(r'<a href="[\w./%-]+">', "", text.replace("xlink:", ""))  # to runs beside it
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import""", plain)
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        ElementTree.fromstring(figure)


def test_markdown_keeps_foreign_text_in_its_cell(runs, tmp_path):
    write_report(runs, tmp_path, formats=["md"])
    line = next(li for li in (tmp_path / "comparison.md").read_text().splitlines() if "alert" in li)
    assert "<script" not in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_the_terminal_shows_foreign_text_as_it_is_and_cuts_no_number(runs, tmp_path):
    text = shown(write_report(runs, tmp_path, formats=[]))
    assert "[bold]*x*[/]" in text
    narrow = shown(write_report(runs, tmp_path, formats=[]), width=72)
    assert "…" not in narrow
    table = [line.rstrip() for line in narrow.splitlines() if line.startswith("│")]
    assert all(line.endswith("│") for line in table)


def test_two_reports_of_the_same_runs_are_identical(runs, tmp_path):
    first = write_report(runs, tmp_path / "a")
    second = write_report(load_runs(runs), tmp_path / "b")
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_report_is_made_where_no_run_can_be_read(tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "report.json").write_text("{")
    report = write_report(tmp_path, tmp_path / "out")
    assert "nothing to compare" in shown(report)
    assert "nothing to compare" in (tmp_path / "out" / "comparison.html").read_text()


def test_different_test_sets_are_shown_apart(runs, tmp_path):
    fabricate(runs, data={"data": "b3", "test": {"first": "a", "last": "b", "windows": 7}})
    report = write_report(runs, tmp_path / "out")
    assert "2 different sets of dates" in shown(report)
    assert "<h2>b3, a to b, 7 windows</h2>" in (tmp_path / "out" / "comparison.html").read_text()


def test_long_names_give_way_to_places(tmp_path):
    for seed in range(2):
        for lr in (0.1, 0.2):
            long = {"optimizer": {"lr": lr}, "model": {"a_rather_long_name_for_an_option": lr * 7}}
            fabricate(tmp_path, seed=seed, val=lr, config=long, pooling=f"attention_{lr}")
    text = shown(write_report(tmp_path, tmp_path / "out"))
    assert "(#2)" in text


def test_without_all_a_terminal_shows_one_screen_with_the_answer(runs, tmp_path):
    for place in range(12):
        fabricate(runs, pooling=f"p{place}", val=0.6 + place / 100)
    report = write_report(runs, tmp_path / "out")
    screen, every = shown(report, every=False), shown(report)
    assert screen.count("\n") <= 45 < every.count("\n")
    assert "ranks first" in screen
    assert "groups more" in screen
    assert "--all" in screen


def test_a_run_in_the_page_leads_to_its_report_and_pictures(tmp_path):
    fabricate(tmp_path / "runs")
    (run,) = (path.parent for path in (tmp_path / "runs").rglob("report.json"))
    (run / "forecast.png").touch()
    write_report(tmp_path / "runs", tmp_path / "out", formats=["html"])
    text = (tmp_path / "out" / "comparison.html").read_text()
    for name in ("report.json", "forecast.png"):
        address = re.search(f'href="([^"]*{name})"', text)[1]
        assert (tmp_path / "out" / address).is_file()
    assert "story.png" not in text


def test_a_run_that_ended_before_its_data_is_counted_aside(tmp_path):
    fabricate(tmp_path / "a")
    fabricate(tmp_path / "b", status="failed", data=None)
    assert "1 run: 1 finished; besides, 1 that ended before" in shown(
        write_report(tmp_path, tmp_path / "out")
    )


def test_an_unknown_format_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="format must be one of md, csv, json, html, got 'pdf'"):
        write_report(runs, tmp_path, formats=["pdf"])


@pytest.fixture
def faked(monkeypatch):
    """Return what makes a report of a ranking of so many rows, without runs."""

    def made(rows, sets=1):
        table = TextTable("T", ("#",), tuple((f"row{n}",) for n in range(rows)), caption="Said.")
        told = [f"sentence {n}" for n in range(5)] + ["The confidence set"]
        monkeypatch.setattr(reports, "ranking", lambda comparison: table)
        monkeypatch.setattr(reports, "verdict", lambda comparison: told)
        runs = pd.DataFrame({"test_set": ["x"], "status": ["finished"], "reason": [None]})
        runs["run"] = "a"
        comparisons = tuple(SimpleNamespace(test_set=f"set {n}") for n in range(sets))
        return reports.Report(runs, comparisons)

    return made


@pytest.mark.parametrize(("rows", "more"), [(10, ""), (11, "1 group more. ")])
def test_a_screen_has_ten_groups_and_three_sentences_with_the_confidence_set(faked, rows, more):
    text = shown_view(reports.report_view(faked(rows)))
    assert ("row9" in text) is True
    assert "row10" not in text
    assert f"{more}Said." in " ".join(text.split())
    assert ("more" in text) == bool(more)
    said = [line for line in text.splitlines() if line.startswith("- ")]
    assert said == [*(f"- sentence {n}" for n in range(3)), "- The confidence set"]
    assert "without a result" not in text


def test_other_test_sets_have_a_sentence_on_a_screen(faked):
    text = shown_view(reports.report_view(faked(1, sets=3)))
    assert "On set 1: sentence 0" in text
    assert "On set 2: sentence 0" in text
    assert "On set 0" not in text
    assert "3 different sets of dates" in text


def shown_view(view):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    return console.export_text()


@pytest.mark.parametrize(
    ("runs", "title"),
    [
        (
            [("x", "finished"), ("x", "finished"), (None, "running")],
            "3 runs: 2 finished, 1 running",
        ),
        (
            [(None, "failed"), (None, "killed")],
            "0 runs; besides, 2 that ended before reading any data",
        ),
        ([("x", "killed")], "1 run: 1 killed"),
    ],
)
def test_a_title_counts_how_runs_ended_apart_from_those_that_never_began(runs, title):
    assert reports.Report(pd.DataFrame(runs, columns=["test_set", "status"]), ()).title == title


def test_a_report_is_written_beside_the_runs(tmp_path):
    for name in ("a/x", "a/y", "b/z"):
        (tmp_path / name).mkdir(parents=True)
    folder, x, y, z = (str(tmp_path / name) for name in ("a", "a/x", "a/y", "b/z"))
    assert reports._beside([folder], [x, y]) == tmp_path / "a"
    assert reports._beside([x], [x]) == tmp_path / "a"
    assert reports._beside([x, y], [x, y]) == tmp_path / "a"
    assert reports._beside([f"{folder}/*"], [x, y]) == tmp_path / "a"
    assert reports._beside([folder, str(tmp_path / "b")], [x, y, z]) == tmp_path


def test_files_have_no_column_of_numbers_and_folders_are_made(tmp_path):
    for seed in range(2):
        fabricate(tmp_path / "runs", pooling="mean", val=0.1, seed=seed)
        fabricate(tmp_path / "runs", pooling="last", val=0.2, seed=seed)
    out = tmp_path / "new" / "folder"
    write_report(tmp_path / "runs", out, formats=["csv", "json"])
    assert (out / "runs.csv").read_text().startswith("experiment,run,status,")
    head = (out / "comparison.csv").read_text().splitlines()[0].split(",")
    assert head[:4] == ["test_set", "criterion_is", "metric_is", "baseline"]
    assert {"metric_mean", "criterion_n", "metric_difference_p_value", "pooling"} <= set(head)
    assert not {"metric_p_value", "criterion_p_value"} & set(head)
    assert (out / "comparison.json").read_text().startswith('{\n  "comparisons": [\n    {')
