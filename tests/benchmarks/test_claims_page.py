import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.claims import figures
from benchmarks.claims.__main__ import main
from benchmarks.claims.ledger import CLAIMS
from tests.benchmarks.fabricate_claims import DEAD_UNITS, everything, report, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("claims") / "runs", everything(2))


@pytest.fixture(scope="module")
def page(runs):
    call(runs, "--out", runs.parent / "out")
    return runs.parent / "out"


def call(*arguments):
    main([*map(str, arguments)])


@pytest.fixture
def unpainted(monkeypatch):
    """Leave the figures as they lie: what is told is tested without drawing them anew."""
    monkeypatch.setattr(figures, "draw_figures", lambda curves, cures, to: [*to.glob("*.png")])


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_runs_become_a_page_its_data_and_its_figures(page):
    assert set(contents(page)) == {
        *("claims.md", "runs.csv", "curves.json", "meta.json", "zeros.png", "cures.png"),
        *("pace.png", "weights.png", "retention.png", "shares.png", "losses.png"),
    }
    text = (page / "claims.md").read_text()
    assert all(f"### {claim.id}: {claim.title}" in text for claim in CLAIMS)
    assert "(claims/zeros.png)" in text
    assert "Provisional: it rests on 2 seeds, and 5 are needed." in text
    assert "nan" not in text.split()
    assert len((page / "claims" / "curves.json").read_text()) < 200_000


def test_every_link_of_the_ledger_leads_to_a_heading(page):
    text = (page / "claims.md").read_text()
    headings = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    slugs = {
        "".join(c for c in h.lower().replace(" ", "-") if c.isalnum() or c in "-_")
        for h in headings
    }
    links = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert len(links) == 17
    assert links <= slugs


def test_the_committed_page_and_the_readme_say_what_the_committed_runs_say(tmp_path, unpainted):
    shutil.copytree(ROOT / "docs" / "claims", tmp_path / "claims")
    call("--out", tmp_path)
    text = (tmp_path / "claims.md").read_text()
    assert text == (ROOT / "docs" / "claims.md").read_text()
    verdicts = text.partition("they stand at: **")[2].partition("**")[0]
    assert verdicts.startswith("1 confirmed, ")
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert verdicts in readme
    runs = f"{json.loads((tmp_path / 'claims' / 'meta.json').read_text())['runs']} runs"
    assert f"in {runs} on bars" in readme
    assert f"the 17 claims: {runs}" in (ROOT / "Makefile").read_text()


def test_the_page_is_rebuilt_from_its_files_without_torch(page):
    before = contents(page)
    (page / "claims.md").unlink()
    check = (
        "import sys; from benchmarks.claims.__main__ import main; main(['--out', sys.argv[1]]);"
        "assert not {'torch', 'lightning', 'hydra'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check, str(page)], check=True, capture_output=True)
    assert contents(page) == before


@pytest.mark.slow
def test_the_order_of_the_runs_does_not_matter(page, runs, tmp_path):
    folders = sorted(runs.iterdir(), reverse=True)
    call(*folders, "--out", tmp_path, "--json")
    assert contents(tmp_path) == contents(page)


def test_runs_that_did_not_finish_are_named_and_repetitions_counted(tmp_path, capsys, unpainted):
    same = [report(seed=0, environment={"started": f"2026-01-0{day}"}) for day in (1, 2)]
    same[1]["gradient_history"]["records"][-1]["zero_fraction"] = 0.5
    write(tmp_path / "runs", [*same, report(seed=1), {"status": "failed", "reason": "x"}])
    call(tmp_path / "runs", "--out", tmp_path)
    assert "1 run failed: run-003" in capsys.readouterr().out
    meta = json.loads((tmp_path / "claims" / "meta.json").read_text())
    assert (meta["runs"], meta["repeated"], meta["left_out"]) == (2, 1, {"failed": ["run-003"]})
    rows = (tmp_path / "claims" / "runs.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "run-001", "run-002"]
    assert "run-003" in (tmp_path / "claims.md").read_text()


def test_added_runs_join_the_earlier_ones_and_replace_their_repetitions(tmp_path, unpainted):
    first = [report(seed=seed) for seed in range(3)]
    write(tmp_path / "first", first)
    later = {"environment": {"started": "2026-02-03T00:00:00"}}
    again = [report(seed=2, zeros=0.5, **later), report(seed=2, clip=1.0, **later)]
    write(tmp_path / "later", again)
    call(tmp_path / "first", "--out", tmp_path)
    call(tmp_path / "later", "--out", tmp_path, "--add")
    rows = pd.read_csv(tmp_path / "claims" / "runs.csv")
    assert rows["seed"].tolist() == [0, 1, 2, 2]
    assert rows["zeros"].round(3).tolist() == [0.667, 0.667, 0.5, 0.667]
    meta = json.loads((tmp_path / "claims" / "meta.json").read_text())
    assert meta["runs"] == 4
    assert meta["repeated"] == 1
    assert meta["made"] == [
        {"day": "2026-01-01", "runs": 2, "seeds": [0, 1]},
        {"day": "2026-02-03", "runs": 2, "seeds": [2]},
    ]
    page = (tmp_path / "claims.md").read_text()
    assert "**When:** 2 on 2026-01-01, 2 seeds; 2 on 2026-02-03, 1 seed; by" in page
    assert "by 1 commit of the code. 1 run of one day made again on another: the last" in page
    assert "validation losses agree in all six digits." in page
    before = contents(tmp_path / "claims")
    call("--out", tmp_path)
    assert contents(tmp_path / "claims") == before


def test_runs_that_are_made_again_and_differ_are_told_by_how_much(tmp_path, unpainted):
    write(tmp_path / "first", [report(seed=seed, loss=0.5) for seed in range(3)])
    later = {"environment": {"started": "2026-02-03T00:00:00"}}
    write(tmp_path / "later", [report(seed=s, loss=0.5 * (1 - s / 100), **later) for s in (1, 2)])
    unfinished = [{"status": "failed", "run": "late"}]
    write(tmp_path / "broken", unfinished)
    call(tmp_path / "first", "--out", tmp_path)
    call(tmp_path / "later", tmp_path / "broken", "--out", tmp_path, "--add")
    page = (tmp_path / "claims.md").read_text()
    assert (
        "2 runs of one day made again on another: the last validation losses agree within 2.0%"
        in (page)
    )
    write(tmp_path / "again", [report(status="failed")])
    call(tmp_path / "later", tmp_path / "again", "--out", tmp_path, "--add")
    meta = json.loads((tmp_path / "claims" / "meta.json").read_text())
    assert meta["agreement"] == {"runs": 2, "largest": 0.02}, "read again is not made again"
    assert meta["repeated"] == 2
    assert len(meta["left_out"]["failed"]) == 2, "of both days"


def test_runs_that_are_read_again_are_no_repetitions(tmp_path, unpainted):
    write(tmp_path / "first", [report(seed=seed) for seed in range(3)])
    call(tmp_path / "first", "--out", tmp_path)
    before = contents(tmp_path / "claims")
    call(tmp_path / "first", "--out", tmp_path, "--add")
    assert contents(tmp_path / "claims") == before
    meta = json.loads((tmp_path / "claims" / "meta.json").read_text())
    assert (meta["runs"], meta["repeated"], meta["machines"][0]["runs"]) == (3, 0, 3)


def test_a_verdict_of_one_world_says_so_and_shares_stay_shares(tmp_path, unpainted):
    dead = {"schedule": "dead_inputs", "pooling": "learnable"}
    one_dies = [report(seed=seed, zeros=0.9 * (seed == 4), **dead) for seed in range(5)]
    write(tmp_path / "runs", one_dies)
    call(tmp_path / "runs", "--out", tmp_path)
    page = (tmp_path / "claims.md").read_text()
    section = page.partition("### C2:")[2].partition("### C3:")[0]
    assert "**Verdict: not reproduced.** On scenario alone." in section
    assert "| 18.0% (0% to 68.0%) |" in section  # 0.18 ± 2.776 x 0.18, and no share is below 0


def test_both_worlds_need_no_word_about_one(page):
    section = (page / "claims.md").read_text().partition("### C1:")[2].partition("### C2:")[0]
    assert "alone." not in section.partition("**Verdict")[2]


def test_what_took_zeros_away_is_told_by_what_else_it_did(tmp_path, unpainted):
    def alive(data, gain):
        runs = [report(data, "dead_inputs", s, loss=0.6 + s / 1e4) for s in range(3)]
        lower = {"zeros": 0.0, "distinct": 129}
        return runs + [
            report(data, "none", s, loss=0.6 + gain + (s % 2) / 1e4, **lower) for s in range(3)
        ]

    write(tmp_path / "runs", alive("scenario", -0.1) + alive("bars", 0.0))
    call(tmp_path / "runs", "--out", tmp_path)
    page = (tmp_path / "claims.md").read_text()
    assert (
        "features alive (scenario) took at least 10 points off and lowered the validation loss, "
        "features alive (S&P 500 bars) took as much off without a loss that is shown to fall, "
        "nothing took as much off and brought back neither directions nor a lower loss." in page
    )
    assert "of 2 such intervals some 1 would leave out 0 by chance alone" in page


def test_runs_added_to_nothing_are_one_line(tmp_path, capsys):
    write(tmp_path / "runs", [report()])
    with pytest.raises(SystemExit) as ended:
        call(tmp_path / "runs", "--out", tmp_path, "--add")
    assert ended.value.code == 2
    assert "runs.csv: name run folders to make it" in capsys.readouterr().err


def test_figures_without_runs_are_removed(tmp_path):
    write(tmp_path / "runs", [report(seed=seed) for seed in range(2)])
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "retention.png").write_bytes(b"of earlier runs")
    call(tmp_path / "runs", "--out", tmp_path)
    assert [file.name for file in (tmp_path / "claims").glob("*.png")] == ["zeros.png"]
    assert "retention.png" not in (tmp_path / "claims.md").read_text()


def test_the_terminal_shows_verdicts_and_json_holds_them(page, capsys, unpainted):
    call("--out", page)
    shown = capsys.readouterr().out
    assert "Cures and cosmetics" in " ".join(shown.split())
    assert "C17" in shown
    (line,) = (li for li in shown.splitlines() if "│ C7 " in li)  # into a pipe lines are whole
    assert "However the weights were forced" in line
    call("--out", page, "--json")
    found = json.loads(capsys.readouterr().out)
    assert [claim["id"] for claim in found["claims"]] == [f"C{n}" for n in range(1, 18)]
    assert found["cures"][0]["zeros"]["n"] == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "runs.csv").write_text("run,seed\na,b\n"), "runs.csv is damaged"),
        (lambda folder: (folder / "runs.csv").write_text(""), "runs.csv is damaged"),
        (
            lambda folder: (folder / "curves.json").write_text('{"zeros": '),
            "curves.json is damaged",
        ),
        (lambda folder: (folder / "curves.json").write_text("[]"), "curves.json is damaged"),
        (lambda folder: (folder / "meta.json").write_text("{}"), "meta.json is damaged"),
        (lambda folder: (folder / "meta.json").write_text("3"), "meta.json is damaged"),
        (lambda folder: (folder / "curves.json").unlink(), "no "),
    ],
)
def test_a_damaged_file_is_named_in_one_line(page, tmp_path, capsys, damage, message):
    for name in ("runs.csv", "curves.json", "meta.json"):
        (tmp_path / "claims").mkdir(exist_ok=True)
        (tmp_path / "claims" / name).write_bytes((page / "claims" / name).read_bytes())
    damage(tmp_path / "claims")
    with pytest.raises(SystemExit, match="2"):
        call("--out", tmp_path)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_no_runs_is_one_line(tmp_path, capsys):
    for arguments in ([tmp_path], [tmp_path / "nothing"]):
        with pytest.raises(SystemExit, match="2"):
            call(*arguments, "--out", tmp_path / "out")
        assert capsys.readouterr().err.count("\n") == 1
    write(tmp_path / "runs", [{"status": "failed"}])
    with pytest.raises(SystemExit, match="2"):
        call(tmp_path / "runs", "--out", tmp_path / "out")
    assert "no finished runs in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_units_that_were_named_before_the_rule_changed_are_told_with_their_day(tmp_path, unpainted):
    units = {"schedule": "dead_units", "zeros": 2 / 3, "columns": 0.0, "rows": 2 / 3}
    named = [report(seed=seed, findings=[DEAD_UNITS], **units) for seed in range(2)]
    calm = [report(seed=2, findings=[DEAD_UNITS | {"benign": True}], **units)]
    write(tmp_path / "runs", named + calm + [report(seed=seed) for seed in range(2)])
    call(tmp_path / "runs", "--out", tmp_path)
    page = (tmp_path / "claims.md").read_text()
    assert "dead_unit 66.4% (2 of 3), dead_unit, benign, 66.4% (1 of 3)" in page
    assert "the diagnosis of these runs' own day said (2026-01-01), by rules that have" in page


def test_units_that_are_benign_by_todays_rule_need_no_word_about_another(tmp_path, unpainted):
    units = {"schedule": "dead_units", "zeros": 2 / 3, "columns": 0.0, "rows": 2 / 3}
    calm = [report(seed=s, findings=[DEAD_UNITS | {"benign": True}], **units) for s in range(2)]
    write(tmp_path / "runs", calm + [report(seed=seed) for seed in range(2)])
    call(tmp_path / "runs", "--out", tmp_path)
    page = (tmp_path / "claims.md").read_text()
    assert "dead_unit, benign, 66.4% (2 of 2)" in page
    assert "own day" not in page
    assert "**Machine:** Linux with 2 cores; " in page
