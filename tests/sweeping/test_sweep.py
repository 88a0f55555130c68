"""What a sweep says and with which code it ends, without running any job."""

import io
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from rich.console import Console

import src.sweeping.sweep as sweeping
from src.runs import stopping
from src.sweeping.manifest import Job, Manifest, Plan
from src.terminal import Terminal


def plan_of(*statuses, total=None, **options):
    jobs = [
        Job(index, f"seed={index}", [], [], "", status=status, **options)
        for index, status in enumerate(statuses)
    ]
    return Plan([], [job.name for job in jobs], "", {}, total or len(jobs), jobs)


def screen(width=40, **options):
    """Return a terminal that is narrower than the path of any folder."""
    return Terminal(file=io.StringIO(), width=width, no_color=False, **options)


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Run a sweep whose jobs ended in certain ways; return its code and the lines it shows."""
    monkeypatch.setattr(stopping, "received", None)
    compared = []
    monkeypatch.setattr(sweeping, "_compare", lambda folder, console: compared.append(folder))

    def _ended(*statuses, work=lambda: None, compare=False, walk=False, total=None, console=None):
        manifest = Manifest.create(tmp_path, plan_of(*statuses, total=total))
        monkeypatch.setattr(sweeping, "_sweep", lambda *_: work())
        evaluation = {"refit_every": 252} if walk else {}
        settings = OmegaConf.create({"evaluation": evaluation, "sweep": {"compare": compare}})
        asked = SimpleNamespace(settings=settings, configs=["of each job"])
        console = console or screen()
        code = sweeping._run(asked, manifest, "train", console)
        return code, console.file.getvalue().splitlines()

    _ended.compared = compared
    return _ended


HINT = "the same command with"


def test_a_sweep_whose_jobs_all_finished_ends_with_0_and_says_where_it_is(ended, tmp_path):
    code, lines = ended("finished", "finished")
    assert code == 0
    assert lines[0] == f"2 jobs: 2 finished; sweep folder: {tmp_path}"
    assert lines[-1] == f"sweep folder: {tmp_path}"
    assert not any(line.startswith(HINT) for line in lines)
    assert ended.compared == []


@pytest.mark.parametrize(
    ("statuses", "total"), [(("finished", "failed"), 2), (("finished", "finished"), 3)]
)
def test_a_sweep_that_is_not_complete_ends_with_1_and_says_how_to_go_on(ended, statuses, total):
    code, lines = ended(*statuses, total=total)
    assert code == 1
    assert any(line.startswith(HINT) for line in lines)


def test_the_last_line_is_plain_also_in_colour(ended, tmp_path):
    console = screen(force_terminal=True, color_system="standard")
    _, lines = ended("finished", console=console)
    assert lines[-1] == f"sweep folder: {tmp_path}"


def test_an_error_of_the_sweeper_is_a_line_and_what_finished_is_shown(ended, capsys):
    def work():
        raise ValueError("the search ended: no trial\x1b")

    code, lines = ended("finished", "waiting", work=work)
    assert code == 1
    assert capsys.readouterr().err == "error: the search ended: no trial\\x1b\n"
    assert any("2 jobs: 1 finished, 1 waiting" in line for line in lines[1:])


@pytest.mark.parametrize(
    ("stop", "received", "code"),
    [(KeyboardInterrupt, None, 130), (SystemExit, 15, 143), (SystemExit, 2, 130)],
)
def test_a_stopped_sweep_ends_with_the_signals_code_and_compares_nothing(
    ended, monkeypatch, stop, received, code
):
    interrupted = []
    monkeypatch.setattr(Manifest, "interrupt", lambda self, reason: interrupted.append(reason))
    monkeypatch.setattr(sweeping, "combine_folds", lambda *_: pytest.fail("put together"))

    def work():
        stopping.received = received
        raise stop

    assert ended("finished", "running", work=work, compare=True, walk=True)[0] == code
    assert interrupted == ["SIGTERM" if code == 143 else "SIGINT"]
    assert ended.compared == []


def test_the_runs_are_compared_where_that_is_asked_for(ended, tmp_path):
    ended("finished", "failed", compare=True)
    assert ended.compared == [tmp_path]


def test_of_a_walk_each_models_folds_are_shown_and_its_intervals_where_it_has_some(
    ended, tmp_path, monkeypatch
):
    reports = [{"run": "lstm-seed0", "intervals": "of an lstm"}, {"run": "drift-seed0"}]
    combined = []
    monkeypatch.setattr(sweeping, "combine_folds", lambda *given: combined.append(given) or reports)
    monkeypatch.setattr(sweeping, "fold_table", lambda report: report["run"])
    monkeypatch.setattr(sweeping, "rich_table", lambda name: f"folds of {name}")
    monkeypatch.setattr(sweeping, "interval_table", lambda found: f"intervals {found}")
    _, lines = ended("finished", walk=True)
    assert lines[-6:-1] == [
        "folds of lstm-seed0",
        "intervals of an lstm",
        f"run folder: {tmp_path / 'lstm-seed0'}",
        "folds of drift-seed0",
        f"run folder: {tmp_path / 'drift-seed0'}",
    ]
    ((_, configs),) = combined
    assert configs == ["of each job"]
    ended("finished")
    assert len(combined) == 1, "where nothing walks there are no folds"


@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "color_system": "standard"}])
def test_a_comparison_names_its_page_in_one_line(tmp_path, monkeypatch, options):
    files = [tmp_path / "report.md", tmp_path / "report.html", tmp_path / "runs.csv"]
    given = []

    def write_report(*folders):
        given.append(folders)
        return SimpleNamespace(files=files)

    monkeypatch.setattr("src.reporting.write_report", write_report)
    monkeypatch.setattr("src.reporting.report_view", lambda report: "the view")
    console = screen(**options)
    sweeping._compare(tmp_path, console)
    lines = console.file.getvalue().splitlines()
    assert lines == ["the view", f"report: {tmp_path / 'report.html'}"]
    assert given == [(tmp_path, tmp_path)]


def test_a_row_of_the_table_breaks_names_and_reasons_but_no_number_or_status():
    long = "because of what was said before "
    facts = {"objective": 1.23456e-5, "duration_s": 123456.71, "reason": 2 * long}
    plan = plan_of("interrupted", **facts)
    plan.jobs[0].name = "model.encoder.layers.number=12 model.encoder.hidden_size=512"
    console = Console(file=io.StringIO(), width=60)
    console.print(sweeping.status_table(plan))
    shown = console.file.getvalue()
    assert all(word in shown for word in ("interrupted", "1.2346e-05", "123456.7"))
    assert max(map(len, shown.splitlines())) <= 60


def test_a_job_of_which_nothing_is_known_yet_has_empty_cells():
    console = Console(file=io.StringIO(), width=80)
    console.print(sweeping.status_table(plan_of("waiting")))
    cells = [cell.strip() for cell in console.file.getvalue().splitlines()[-2].split("│")[1:-1]]
    assert cells == ["0", "seed=0", "waiting", "", "", ""]


def test_one_job_is_called_a_job():
    assert sweeping.summary(plan_of("finished")) == "1 job: 1 finished"
    assert sweeping.summary(plan_of("finished", "killed")) == "2 jobs: 1 finished, 1 killed"


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [({}, []), ({"cpus_per_task": 4}, ["++hydra.job.env_set.OMP_NUM_THREADS=4"])],
)
def test_submitits_jobs_get_a_thread_for_each_processor(launcher, threads):
    assert sweeping._threads(OmegaConf.create({"hydra": {"launcher": launcher}})) == threads


@pytest.fixture
def checked(monkeypatch):
    """Check configs whose data have certain numbers of folds; return what was built.

    Of equal values there is one config, as of jobs that differ in the seed only.
    """
    built = []

    def build_datamodule(config):
        built.append("data")
        return SimpleNamespace(num_folds=config.data.folds)

    def build_module(config, datamodule):
        built.append(config.seed)
        if config.size < 1:
            raise ValueError(f"size must be at least 1, got {config.size}")

    monkeypatch.setattr("src.runs.build.build_datamodule", build_datamodule)
    monkeypatch.setattr("src.runs.build.build_module", build_module)

    def _checked(*values, jobs=True):
        known, default = {}, {"size": 1, "data": {"folds": None}, "trainer": {}}
        for seed, value in enumerate(values):
            known.setdefault(str(value), OmegaConf.create({"seed": seed, **default, **value}))
        plan = plan_of(*["waiting"] * len(values)) if jobs else plan_of(total=9)
        configs = [known[str(value)] for value in values]
        sweeping._check_values(SimpleNamespace(configs=configs, plan=plan))
        return built

    return _checked


def test_what_differs_in_the_seed_alone_is_built_once(checked):
    assert checked({}, {}, {"size": 2}, {}) == ["data", 0, 2]


def test_data_are_built_again_where_what_they_are_made_of_changes(checked):
    other = {"data": {"folds": None, "window": 5}}
    scheduled = other | {"schedule": {"scale": 0.5}}
    walking = scheduled | {"evaluation": {"fold": 1}}
    assert checked({}, other, scheduled, scheduled | {"size": 2}, walking, {"size": 3}) == [
        *("data", 0, "data", 1, "data", 2, 3, "data", 4, "data", 5)
    ]


def test_a_bad_value_is_told_with_the_job_or_as_a_searchs_first_values(checked):
    with pytest.raises(ValueError, match=r"^job 1 \(seed=1\): size must be at least 1, got 0$"):
        checked({}, {"size": 0})
    with pytest.raises(ValueError, match=r"^job 0 \(first values\): size must be"):
        checked({"size": 0}, jobs=False)


def test_a_walk_is_one_of_data_of_one_length(checked):
    checked({"data": {"folds": 2}}, {"data": {"folds": 2}, "size": 2})
    with pytest.raises(ValueError, match="the jobs' data have 2 and 3 folds"):
        checked({"data": {"folds": 3}}, {"data": {"folds": 2}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resume": "run"}, "resume is for one run"),
        ({"trainer": {"strategy": "ddp"}}, "trainer.strategy=ddp starts .* use ddp_spawn"),
        ({"trainer": {"strategy": "fsdp"}}, "trainer.strategy=fsdp starts"),
        ({"trainer": {"strategy": "ddp_spawn"}}, None),
        ({"trainer": {"strategy": "auto"}}, None),
        ({"trainer": {}}, None),
    ],
)
def test_what_would_start_the_sweep_again_is_refused(checked, values, message):
    if message is None:
        checked(values)
    else:
        with pytest.raises(ValueError, match=message):
            checked(values)
