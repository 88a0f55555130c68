"""What a command shows of one run: every cell, of values that are known."""

from rich.console import Console

from src.reporting.run_tables import (
    checks_view,
    course_table,
    findings_view,
    gate_table,
    what_if_table,
)


def cells(table):
    """Return headings and rows of a table as texts."""
    columns = [list(column.cells) for column in table.columns]
    return [str(column.header) for column in table.columns], [
        list(row) for row in zip(*columns, strict=True)
    ]


def said(view):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(view)
    return [line.rstrip() for line in captured.get().splitlines()]


def finding(cause, benign=False, **more):
    plain = {"cause": cause, "benign": benign, "parameter": "a.weight", "module": "a"}
    plain |= {"fraction": 0.25, "confirmed": None, "indices": [], "remedy": ""}
    return plain | more


def test_findings_are_numbered_with_place_proof_names_and_remedy_and_benign_ones_come_last():
    names = [f"f{n}" for n in range(9)]
    diagnosis = {
        "findings": [
            finding("dead_input", confirmed=True, indices=names, remedy="Drop them."),
            finding("frozen", confirmed=False, parameter=None, indices=[1, 2]),
            finding("sparse_rows", benign=True, parameter=None, module=""),
        ]
    }
    assert said(findings_view(diagnosis)) == [
        "2 findings to act on",
        "1. dead_input in a.weight: 25.0% of its gradient (confirmed by intervention)",
        "   9: f0, f1, f2, f3, f4, f5, f6, f7, and 1 more",
        "   Drop them.",
        "2. frozen in a: 25.0% of its gradient (not confirmed by intervention)",
        "No alarm: zero by construction, or features too rare to tell from dead ones here",
        "- sparse_rows in model: 25.0% of its gradient",
    ]
    assert said(findings_view({"findings": []})) == ["Healthy: nothing to act on."]


def test_checks_are_counted_by_outcome_and_those_that_could_not_be_made_say_why():
    checks = [
        {"cause": "a", "outcome": "ruled out", "why": ""},
        {"cause": "b", "outcome": "ruled out", "why": ""},
        {"cause": "c", "outcome": "not checked", "why": "no mask"},
        {"cause": "d", "outcome": "failed", "why": "found"},
    ]
    assert list(checks_view({"checks": checks})) == [
        "Looked for 4 causes: 1 failed, 1 not checked, 2 ruled out.",
        "   c: not checked: no mask",
    ]
    assert list(checks_view({})) == []


def test_a_course_shows_a_dozen_steps_from_the_first_to_the_last():
    record = {"zero_fraction": 0.5, "rows": 0.25, "columns": 0.125, "scattered": 0.0}
    record |= {"distinct_columns": 3}
    records = [{"step": 1000 * n, **record} for n in range(100)]
    _, rows = cells(course_table({"parameter": "w", "records": records}))
    assert [row[0] for row in rows] == [f"{1000 * n:,}" for n in range(0, 100, 9)]
    assert rows[0][1:] == ["50.0%", "25.0%", "12.5%", "0.0%", "3"]
    few = {"parameter": "w", "records": records[:2]}
    assert [row[0] for row in cells(course_table(few))[1]] == ["0", "1,000"]


def test_options_are_shown_by_group_with_todays_marked_and_misfits_left_blank():
    fits = {"parameter": "w", "refused": "", "zero_fraction": 0.5, "dead_columns": 2}
    fits |= {"distinct_columns": 3, "columns": 5, "gradient_norm": 0.12345, "loss": 1.5}
    rows = [
        {"group": "norm", "option": "none", "current": True, **fits},
        {"group": "norm", "option": "x", "current": False, "refused": "no"},
        {"group": "pooling", "option": "mean", "current": False, **fits},
    ]
    table = what_if_table(rows)
    assert cells(table)[1] == [
        ["norm", "[bold]none *[/]", "50.0%", "2", "3 of 5", "0.123", "1.5"],
        ["", "x", "-", "-", "-", "-", "-"],
        ["pooling", "mean", "50.0%", "2", "3 of 5", "0.123", "1.5"],
    ]
    assert "distinct columns of w;" in str(table.caption)
    assert [row.end_section for row in table.rows] == [False, True, False]


def test_what_is_said_of_gates_stands_beside_what_was_measured():
    kept = {"rising": [0.8, 0.7, 0.9], "falling": [0.5, 0.4, 0.6], "difference": [0.3, 0.1, 0.5]}
    table = gate_table(
        {
            **{"cell": "lstm", "gate": "forget", "windows": 7, "trace_error": 1e-7},
            **{"keeping": [kept, kept], "kept": [{5: 0.9}, {5: 0.8}], "retention": {5: 0.25}},
            "parameters": {"rnn": 100, "lstm": 400},
        }
    )
    headings, rows = cells(table)
    assert headings == ["claim", "measured", "value [95% interval]"]
    assert rows == [
        ["80% kept on rising days", "layer 1, forget gate, rising days", "0.800 [0.700, 0.900]"],
        ["", "layer 1, forget gate, falling days", "0.500 [0.400, 0.600]"],
        ["", "layer 1, forget gate, difference", "0.3000 [0.1000, 0.5000]"],
        ["", "layer 2, forget gate, rising days", "0.800 [0.700, 0.900]"],
        ["", "layer 2, forget gate, falling days", "0.500 [0.400, 0.600]"],
        ["", "layer 2, forget gate, difference", "0.3000 [0.1000, 0.5000]"],
        [
            "95% kept after 5 days",
            "cell left, by layer; influence on forecast",
            "90.0%, 80.0%; 25.0%",
        ],
        [
            "LSTM = 4 x RNN",
            "parameters of layers of this size",
            "rnn 100 (1.00x)\nlstm 400 (4.00x)",
        ],
    ]


def test_eight_names_are_all_shown_and_stand_below_their_finding():
    names = [f"f{n}" for n in range(8)]
    view = findings_view({"findings": [finding("dead_input", indices=names, remedy="Drop.")]})
    assert said(view)[2] == "   8: f0, f1, f2, f3, f4, f5, f6, f7"
    for part in view.renderables[2:]:
        assert (part.top, part.right, part.bottom, part.left) == (0, 0, 0, 3)
        assert part.expand is False


def test_numbers_stand_at_the_right_and_are_never_folded():
    record = dict.fromkeys(("zero_fraction", "rows", "columns", "scattered"), 0.5)
    records = [{"step": 0, "distinct_columns": 3, **record}]
    for table in (course_table({"parameter": "w", "records": records}), what_if_table([])):
        assert all(column.no_wrap for column in table.columns)
        words = [c.justify for c in table.columns if str(c.header) in ("group", "option")]
        assert set(words) <= {"left"}
        others = [c.justify for c in table.columns if str(c.header) not in ("group", "option")]
        assert set(others) == {"right"}


def test_what_textbooks_claim_of_each_lag_is_shown_and_a_gru_has_a_hidden_state():
    kept = {name: [0.8, 0.7, 0.9] for name in ("rising", "falling", "difference")}
    lags = dict.fromkeys((5, 10, 20, 50), 0.5)
    answers = {"cell": "gru", "gate": "update", "windows": 7, "trace_error": 1e-7, "step": "hour"}
    answers |= {"keeping": [kept], "kept": [lags], "retention": lags, "parameters": {"rnn": 100}}
    _, rows = cells(gate_table(answers))
    assert [row[0] for row in rows[3:-1]] == [
        *("95% kept after 5 hours", "85% kept after 10 hours"),
        *("75% kept after 20 hours", "60% kept after 50 hours"),
    ]
    assert rows[3][1] == "hidden state left, by layer; influence on forecast"
