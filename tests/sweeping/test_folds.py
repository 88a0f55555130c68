"""A walk-forward evaluation: a job for each fold, and one run folder of all they forecast."""

import csv
import json

import numpy as np
import pytest
import scipy
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from src.config import CONFIG_DIR
from src.reporting import load_runs
from src.reporting.fold_table import fold_table
from src.runs.evaluation import score_run
from src.runs.opening import open_run
from src.sweeping.folds import combine_folds, with_folds
from src.sweeping.manifest import Job, Manifest, Plan
from src.train import main
from tests.conftest import TINY, report_of

WALK = [
    *("data=prices", "evaluation=walk_forward", "evaluation.refit_every=1200", "model=drift"),
    *("trainer=cpu", "logger=none", "callbacks=basic", "sweep.compare=false"),
]


@pytest.fixture
def walked(tmp_path):
    """Walk through the bars; return the sweep's folder and its manifest."""

    def _walked(*overrides):
        with pytest.raises(SystemExit) as ended:
            main(["-m", f"log_dir={tmp_path}", *WALK, *overrides])
        assert ended.value.code == 0
        folder = max(tmp_path.glob("sweeps/*"), key=lambda path: path.stat().st_mtime_ns)
        return folder, json.loads((folder / "sweep.json").read_text())

    return _walked


def rows_of(folder):
    with (folder / "forecasts.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_fold_is_a_job_and_all_forecasts_stand_in_one_run_folder(walked):
    folder, plan = walked()
    assert [job["varied"] for job in plan["jobs"]] == [["evaluation.fold=0"], ["evaluation.fold=1"]]
    runs = [folder / job["folder"] for job in plan["jobs"]]
    whole = folder / "drift-seed0"
    rows = rows_of(whole)
    assert rows == [row for run in runs for row in rows_of(run)]
    dates = [row["date"] for row in rows]
    assert dates == sorted(set(dates))
    assert len(rows) == 2515  # of 5,031 bars the second half
    report = report_of(whole)
    errors = [float(row["predicted_price"]) - float(row["price"]) for row in rows]
    assert report["test"]["model"]["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert [fold["fold"] for fold in report["folds"]] == [0, 1]
    assert report["data"]["test"] == {"first": dates[0], "last": dates[-1], "windows": 2515}
    ratios = [report_of(run)["test"]["ratio"]["rmse"] for run in runs]
    over = report["over_folds"]["ratio"]
    assert over["mean"] == pytest.approx(np.mean(ratios))
    assert over["p_value"] == pytest.approx(scipy.stats.ttest_1samp(ratios, 1.0).pvalue)
    assert report["config"]["evaluation"]["fold"] is None
    table = fold_table(report)
    assert [row[:2] for row in table.rows] == [("0", dates[0]), ("1", rows_of(runs[1])[0]["date"])]
    assert "over 2 folds: mean" in table.caption


def test_a_report_shows_what_was_put_together_and_no_fold_by_itself(walked, tmp_path):
    folder, _ = walked("model=drift,naive")
    for place in (folder, tmp_path):
        assert sorted(load_runs(place)["run"]) == ["drift-seed0", "naive-seed0"]


def test_resuming_runs_the_folds_that_are_left_and_gives_the_same(walked):
    folder, plan = walked()
    before = (folder / "drift-seed0" / "forecasts.csv").read_bytes()
    first = folder / plan["jobs"][0]["folder"] / "report.json"
    told = first.stat().st_mtime_ns
    plan["jobs"][1] |= {"status": "waiting", "folder": None}
    (folder / "sweep.json").write_text(json.dumps(plan))
    (folder / "drift-seed0" / "forecasts.csv").unlink()
    again, plan = walked("sweep.resume=true")
    assert again == folder
    assert first.stat().st_mtime_ns == told
    assert (folder / "drift-seed0" / "forecasts.csv").read_bytes() == before


def test_a_fold_opens_again_on_its_own_part(walked, composed):
    folder, plan = walked()
    run = folder / plan["jobs"][1]["folder"]
    config, _ = composed("trainer=cpu", "logger=none")
    assert score_run(str(run), "test", config)["model"] == report_of(run)["test"]["model"]
    assert open_run(run).datamodule.describe()["train"]["windows"] > 2000
    with pytest.raises(
        ValueError, match=rf"put together of folds.* the latest is {run.resolve()}$"
    ):
        open_run(folder / "drift-seed0").checkpoint_path  # noqa: B018


def test_without_m_a_walk_is_a_sweep_too(tmp_path):
    main([f"log_dir={tmp_path}", *[item for item in WALK if not item.startswith("sweep.")]])
    assert list(tmp_path.glob("sweeps/*/drift-seed0/forecasts.csv"))


def test_a_network_walks_as_a_baseline_does_and_its_intervals_are_judged_over_all_years(walked):
    small = ("model=lstm", "pooling=last", "model.hidden_size=4", "norm=none", "output=quantile")
    folder, _ = walked(*small, "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
    whole = folder / "lstm-last-quantile-seed0"
    report, rows = report_of(whole), rows_of(whole)
    judged = report["intervals"]["own"]["intervals"]["0.8"]

    def inside(chosen):
        held = [float(r["q0.1"]) <= float(r["price"]) <= float(r["q0.9"]) for r in chosen]
        return pytest.approx(np.mean(held), abs=1e-3)

    assert judged["coverage"] == inside(rows)
    # The second fold begins within a year.
    split = report["folds"][1]["test"]["first"][:4]
    assert judged["by_year"][split] == inside([r for r in rows if r["date"][:4] == split])
    assert set(report["intervals"]["conformal"]) == {"0.5", "0.8", "0.95"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=scenario"], "evaluation=walk_forward needs prices"),
        (["evaluation.test=0.999"], "windows in its"),
        (["evaluation.window=rolling"], "length is for window=rolling"),
        (["evaluation.fold=7"], "evaluation.fold must be from 0 to 1, got 7"),
    ],
)
def test_what_cannot_work_is_one_line_and_writes_nothing(tmp_path, capfd, overrides, message):
    with pytest.raises(SystemExit) as ended:
        main(["-m", f"log_dir={tmp_path}", *TINY, *WALK, *overrides])
    assert ended.value.code == 2
    assert message in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "folds"),
    [
        ([*WALK, "evaluation.refit_every=3000"], ["evaluation.fold=0"]),
        ([*WALK, "evaluation.refit_every=1200"], ["evaluation.fold=0,1"]),
        ([*WALK, "evaluation.fold=1"], []),
        (["data=prices"], []),
    ],
    ids=["one block", "two blocks", "chosen", "no walk"],
)
def test_a_walk_gets_a_job_for_each_of_its_blocks_unless_one_is_chosen(asked, folds):
    command = ["seed=0,1", *asked]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        assert with_folds("train", command) == [*command, *folds]


def test_the_folds_of_a_model_are_put_together_in_time_once_all_are_finished(tmp_path, monkeypatch):
    ends = {
        "drift": [("finished", "b"), ("finished", "a")],
        "ridge": [("finished", "c"), ("failed", "d")],
        "naive": [("finished", "e"), ("finished", None)],
    }
    jobs, configs = [], []
    for model, folds in ends.items():
        for fold, (status, folder) in zip((1, 0), folds, strict=True):
            said = [f"model={model}", f"evaluation.fold={fold}"]
            jobs.append(Job(len(jobs), model, said, said, "", status=status, folder=folder))
            configs.append(OmegaConf.create({"evaluation": {"fold": fold}}))
    manifest = Manifest.create(tmp_path, Plan([], [], "", {}, len(jobs), jobs))
    monkeypatch.setattr("src.runs.walk_forward.combine", lambda *given: given)
    (given,) = combine_folds(manifest, configs)
    assert given == ([tmp_path / "a", tmp_path / "b"], tmp_path, ["model=drift"])
