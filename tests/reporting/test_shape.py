"""A record that somebody sent is judged by its shape, and its texts steer no terminal."""

import copy
import json

import pytest

from src import report
from src.reporting import shape
from src.reporting.runs import load_runs
from src.terminal import Terminal
from tests.reporting.fabricate import fabricate

STEERING = "\x1b]0;owned\x07\x1b[31m"
WRONG = [
    ("seed", [1], "seed: a whole number is expected, got [1]"),
    ("seed", 1.5, "seed: a whole number is expected, got 1.5"),
    ("choices", "abc", 'choices: a mapping is expected, got "abc"'),
    ("choices.model", ["lstm"], 'choices.model: a text is expected, got ["lstm"]'),
    ("config", "abc", 'config: a mapping is expected, got "abc"'),
    ("config.optimizer", {"lr": 10**400}, "config.optimizer.lr: a number of so many digits"),
    ("test", [1], "test: a mapping is expected, got [1]"),
    ("test.model.rmse", "0.5", 'test.model.rmse: a number is expected, got "0.5"'),
    ("best.val_loss", True, "best.val_loss: a number is expected, got true"),
    ("data.test.windows", "many", 'data.test.windows: a whole number is expected, got "many"'),
    ("data.warnings", {"a": 1}, "data.warnings: a list is expected"),
    ("environment.started", 3, "environment.started: a text is expected, got 3"),
    ("diagnosis", {"findings": [3]}, "diagnosis.findings.0: a mapping is expected, got 3"),
    ("zero_grad_fraction", {"w.weight": "x"}, "zero_grad_fraction.w.weight: a number is expected"),
    ("alerts", 7, "alerts: a list is expected, got 7"),
]


def change(folder, key, value):
    file = folder / "report.json"
    report = json.loads(file.read_text())
    *parents, last = key.split(".")
    node = report
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    file.write_text(json.dumps(report))


@pytest.mark.parametrize(("key", "value", "reason"), WRONG, ids=[row[2] for row in WRONG])
def test_a_report_of_another_shape_is_unreadable_by_its_key(tmp_path, key, value, reason):
    fabricate(tmp_path / "runs", seed=0)
    change(fabricate(tmp_path / "runs", seed=1), key, value)
    runs = load_runs(tmp_path / "runs")
    assert list(runs["status"]) == ["finished", "unreadable"]
    assert runs["reason"][1].startswith(f"report.json: {reason}")


def test_null_and_nothing_are_of_any_shape(tmp_path):
    folder = fabricate(tmp_path / "runs")
    known = json.loads((folder / "report.json").read_text())
    for key in known:
        less = copy.deepcopy(known)
        del less[key]
        for content in (less, known | {key: None}):
            (folder / "report.json").write_text(json.dumps(content))
            assert "unreadable" not in set(load_runs(folder)["status"])


def test_what_is_nested_without_an_end_is_unreadable(tmp_path):
    folder = fabricate(tmp_path / "runs")
    for depth in (40, 100_000):
        (folder / "report.json").write_text(
            '{"config":' + '{"a":' * depth + "1" + "}" * depth + "}"
        )
        assert "nested" in load_runs(folder)["reason"][0]


def test_stored_texts_do_not_steer_the_terminal(tmp_path, capsys):
    for seed, key in enumerate(("reason", "choices.model", "data.data", "config.optimizer.name")):
        change(fabricate(tmp_path / "runs", seed=seed), key, f"{STEERING}[/red]")
    change(fabricate(tmp_path / "runs", seed=9), "status", f"{STEERING}[/red]")
    report.main([str(tmp_path / "runs")])
    written = "".join(file.read_text() for file in (tmp_path / "runs").glob("*.*"))
    for text in (capsys.readouterr().out, written):
        assert "owned" in text
        assert "\x1b" not in text
        assert "\x07" not in text


def test_a_terminal_shows_control_characters_as_their_escapes(capsys):
    Terminal(width=200).print(f"a{STEERING}\u202eb", markup=False)
    assert capsys.readouterr().out == "a\\x1b]0;owned\\x1b[31m\\u202eb\n"


def test_a_manifest_of_another_shape_is_one_line(tmp_path, capsys):
    for content, said in (
        ('{"jobs": 3}', "jobs: a list is expected, got 3"),
        ('{"jobs": [{"folder": 1}]}', "jobs.0.folder: a text is expected, got 1"),
        ('{"jobs": [null]}', "jobs.0: nothing is there"),
        ("[]", "a mapping is expected, got []"),
    ):
        (tmp_path / "sweep.json").write_text(content)
        with pytest.raises(SystemExit, match="2"):
            report.main([str(tmp_path)])
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def read(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    return shape.read_record(tmp_path / "record.json", shape.REPORT)


@pytest.mark.parametrize(
    ("key", "opened", "closed"), [("config", '{"a":', "}"), ("alerts", "[", "]")]
)
def test_a_record_is_nested_31_deep_and_no_deeper(tmp_path, key, opened, closed):
    def nested(depth):
        return f'{{"{key}": {opened * depth}1{closed * depth}}}'

    assert key in read(tmp_path, nested(31))
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        read(tmp_path, nested(32))


def test_a_number_has_three_hundred_digits_at_most(tmp_path):
    largest = 10**300
    text = '{{"seed": {0}, "best": {{"val_loss": {0}}}, "config": {{"a": {0}}}}}'
    assert read(tmp_path, text.format(largest))["seed"] == largest
    for one in ('{{"seed": {0}}}', '{{"best": {{"val_loss": {0}}}}}', '{{"config": {{"a": {0}}}}}'):
        with pytest.raises(ValueError, match="number"):
            read(tmp_path, one.format(largest + 1))


def test_nothing_in_a_list_is_a_value_only_where_any_is(tmp_path):
    assert read(tmp_path, '{"alerts": [null]}') == {"alerts": [None]}
    with pytest.raises(ValueError, match=r"data\.warnings\.0: nothing is there"):
        read(tmp_path, '{"data": {"warnings": [null]}}')


def test_texts_in_lists_steer_nothing_either(tmp_path):
    for text in ('"a\\u001b"', '"a\x9b"'):
        record = read(tmp_path, f'{{"data": {{"warnings": [{text}]}}, "seed": 1}}')
        (warning,) = record["data"]["warnings"]
        assert warning.isprintable()
        assert warning.startswith("a\\x")
        assert record["seed"] == 1


def test_a_value_of_sixty_letters_is_shown_whole():
    assert shape._shown("x" * 58) == '"' + "x" * 58 + '"'
    assert shape._shown("x" * 59) == '"' + "x" * 59 + "..."
