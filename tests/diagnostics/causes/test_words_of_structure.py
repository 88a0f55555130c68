"""What a look at the structure found, told: evidence, words and remedies, and what proves it."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from src.diagnostics.causes import CAUSES, blocked, dropout, leaks, samples, undefined, wiring
from src.diagnostics.causes.cause import Candidate
from src.diagnostics.symptoms.backward import Block, Node
from src.diagnostics.symptoms.calls import Broadcast, Masked, Single
from src.diagnostics.symptoms.dropout import ActiveDropout
from src.diagnostics.symptoms.influence import Constant, Ignored, PaddingRead
from src.diagnostics.symptoms.leaks import Collapsed, Leak
from src.diagnostics.symptoms.leaves import Cut, Stale, Unregistered
from src.diagnostics.symptoms.playback import Call
from src.diagnostics.symptoms.samples import Carried, Mixing
from src.diagnostics.symptoms.structure import Structure
from src.diagnostics.symptoms.symptoms import Symptoms
from tests.diagnostics.causes.by_hand import layer, symptoms_of

NAMES = (
    *("detached_loss", "fully_masked", "nonfinite_gradient", "carried_state", "degenerate_norm"),
    *("mixed_samples", "broadcast", "unregistered", "stale_optimizer", "zero_gradient"),
    *("future_leak", "padding_leak", "padding_read", "ignored_input", "collapsed_input"),
    *("constant_output", "active_dropout"),
)


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_stands_out_nothing_is_found(name: str) -> None:
    seen = symptoms_of(layer("a", 1.0), loss_values=[1.0])
    assert CAUSES[name].find(seen) == []


def found(name: str, **structure: Any) -> Candidate:
    """Return the one candidate of a cause in a structure."""
    seen = symptoms_of(layer("a", 1.0), loss_values=[1.0])
    seen.structure = Structure(**structure)
    (candidate,) = CAUSES[name].find(seen)
    return candidate


def mixing(**more: Any) -> Mixing:
    told = {
        "sample": 2,
        "samples": 5,
        "module": "rnn",
        "kind": "LSTM",
        "function": "softmax",
        "shape": (5, 4),
    }
    return Mixing(**{**told, "dim": None, "line": "net.py:3: x", "change": 0.5, **more})


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        (
            {"batch_first": False},
            "the LSTM works along the axis of the samples: give it batch_first=True, or transpose "
            "what goes in.",
        ),
        (
            {"batch_first": True},
            "the LSTM works along the axis of the samples: give it batch_first=False, or transpose "
            "what goes in.",
        ),
        (
            {"dim": 0},
            "softmax works along the axis of the samples: dim=0 of [5, 4] holds the batch; take "
            "another one.",
        ),
        (
            {"function": ""},
            "LSTM works along the axis of the samples: use transpose or permute, not view or "
            "reshape, to change the order of axes.",
        ),
    ],
)
def test_samples_that_mix_are_told_with_how_to_keep_them_apart(
    more: dict[str, Any], remedy: str
) -> None:
    candidate = found("mixed_samples", mixing=mixing(**more))
    assert candidate.remedy == remedy
    assert (candidate.module, candidate.fraction) == ("rnn", 1.0)
    told = {"samples": 5, "change": 0.5, "function": "softmax", "dim": None, "shape": [5, 4]}
    assert candidate.evidence == {**told, "batch_first": None, "line": "net.py:3: x", **more}


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize(("module", "name"), [("", "state"), ("rnn", "rnn.state")])
def test_state_that_is_carried_is_told_with_its_attribute(
    attached: bool, module: str, name: str
) -> None:
    carried = Carried(module, "state", "Net", 0.25, "odd", attached)
    candidate = found("carried_state", carried=carried)
    rest = ", or detach() it if batches follow each other." if attached else "."
    assert candidate.remedy == (
        f"Start every batch from a fresh state: set {name} to None before it{rest}"
    )
    assert (candidate.module, candidate.fraction) == (module, 1.0)
    told = {"attribute": name, "change": 0.25, "attached": attached, "error": "odd"}
    assert candidate.evidence == told


@pytest.mark.parametrize(("cured", "after"), [(True, 0.0), (False, 0.25)])
def test_state_is_proved_by_putting_it_back(cured: bool, after: float) -> None:
    carried = Carried("", "state", "Net", 0.25, cured=cured)
    symptoms = Symptoms(structure=Structure(carried=carried))
    experiment: Any = SimpleNamespace(symptoms=symptoms)
    claim = Candidate(evidence={"change": 0.25})
    told = {"before": 0.25, "after": after}
    assert samples.put_state_back(experiment, claim) == (cured or None, told)
    symptoms.structure = Structure()
    assert samples.put_state_back(experiment, claim)[0] is None


def test_shapes_that_broadcast_are_told_with_all_three() -> None:
    shapes = {"preds": (8, 1), "target": (8,), "result": (8, 8)}
    candidate = found("broadcast", broadcast=Broadcast("mse_loss", "net", **shapes, line="l"))
    assert candidate.remedy == (
        "mse_loss compares predictions [8, 1] with targets [8] as [8, 8]: bring both to one shape "
        "with squeeze or unsqueeze."
    )
    lists = {name: list(shape) for name, shape in shapes.items()}
    assert candidate.evidence == {"function": "mse_loss", **lists, "line": "l"}
    assert (candidate.module, candidate.fraction) == ("net", 1.0)


def test_tensors_nobody_registered_are_told_by_their_places_or_as_made_anew() -> None:
    names = ("layers.0", "layers.1", "layers.2", "layers.3")
    held = Unregistered(names, ((2, 3), (4,), (1,), (1,)), 12, "layers")
    candidate = found("unregistered", unregistered=held)
    assert candidate.remedy == (
        "Register layers.0, layers.1, layers.2: use nn.ModuleList, nn.ModuleDict or nn.Parameter "
        "in __init__."
    )
    assert (candidate.module, candidate.fraction, candidate.indices) == ("layers", 1.0, names)
    assert candidate.evidence == {
        "tensors": list(names),
        "shapes": [[2, 3], [4], [1], [1]],
        "entries": 12,
        "made_anew": False,
    }
    anew = found("unregistered", unregistered=Unregistered((), ((2, 3),), 6, "", made_anew=True))
    assert anew.remedy.startswith("Make the layer in __init__: one made in forward starts anew")


@pytest.mark.parametrize(("names", "missing"), [(("other",), True), (("weight", "other"), False)])
def test_what_parameters_lists_is_registered(names: tuple[str, ...], missing: bool) -> None:
    experiment: Any = SimpleNamespace(model=nn.Linear(2, 1))
    claim = Candidate(indices=names, evidence={"entries": 6})
    assert wiring.leave_unregistered(experiment, claim) == (missing, {"before": 6, "after": 2})


def test_an_optimiser_of_replaced_parameters_is_told_with_the_first_of_them() -> None:
    candidate = found("stale_optimizer", stale=Stale(("net.head.weight", "net.head.bias"), 2, 9))
    assert (candidate.module, candidate.parameter) == ("net.head", "net.head.weight")
    assert candidate.fraction == 1.0
    assert candidate.evidence == {
        "parameters": ["net.head.weight", "net.head.bias"],
        "entries": 9,
        "held_by_optimizer": 2,
    }
    assert candidate.remedy.startswith("Make the optimiser after the last change of the model")


class Stepping:
    """An experiment whose copy has two weights, of which a step moves some."""

    def __init__(self, moved: list[str]) -> None:
        self.moved, self.model = moved, nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)})

    def copy_all(self) -> Any:
        return self.model, []

    def step(self, model: nn.Module, optimizers: Any) -> None:
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.add_(1.0 if name in self.moved else 0.0)


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [(["b.weight", "b.bias"], True), (["a.bias", "b.bias"], False), ([], True)],
)
@pytest.mark.parametrize("cause", ["stale_optimizer", "not_optimized"])
def test_what_no_optimiser_holds_stays_where_it_was(
    cause: str, moved: list[str], verdict: bool
) -> None:
    claim = Candidate(evidence={"parameters": ["a.weight", "a.bias"]})
    experiment: Any = Stepping(moved)
    prove = CAUSES[cause].prove
    assert prove is not None
    others = sum(name.startswith("b") for name in moved)
    count = len(moved) if cause == "stale_optimizer" else others
    assert prove(experiment, claim) == (verdict, {"before": 2, "after": count})


@pytest.mark.parametrize(
    ("cut", "remedy"),
    [
        (
            Cut("detach", "net", "l", leaf=False),
            "Keep the graph up to the loss: detach() cuts it off.",
        ),
        (
            Cut("", "", "", leaf=False),
            "Keep the graph up to the loss: detach(), item(), no_grad() or argmax() cuts it off.",
        ),
        (
            Cut("tensor", "", "l", leaf=True),
            "Return the loss that was computed, not a new tensor: tensor() cuts it off.",
        ),
    ],
)
def test_a_loss_cut_off_is_told_with_what_cuts_it(cut: Cut, remedy: str) -> None:
    candidate = found("detached_loss", cut=cut)
    assert candidate.remedy == remedy
    assert (candidate.module, candidate.fraction) == (cut.module, 1.0)
    assert candidate.evidence == {"function": cut.function, "leaf": cut.leaf, "line": cut.line}


@pytest.mark.parametrize(
    ("grad", "after", "verdict"), [(0.0, 2.0, True), (0.0, 1.0, None), (0.5, 2.0, None)]
)
def test_a_loss_that_follows_the_weights_without_a_gradient_is_cut_off(
    grad: float, after: float, verdict: bool | None
) -> None:
    def replay(model: nn.Module) -> Any:
        assert model.weight.item() == pytest.approx(0.1)
        return SimpleNamespace(loss=after)

    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    baseline = SimpleNamespace(loss=1.0, grads={"weight": torch.tensor([0.0, grad])})
    experiment: Any = SimpleNamespace(copy=lambda: model, replay=replay, baseline=baseline)
    told = {"before": 1.0, "after": after}
    assert wiring.shift_all(experiment, Candidate()) == (verdict, told)


def test_inputs_without_influence_are_told_by_name_and_steps_by_place() -> None:
    lost = Ignored(1, (8, 4), 1, (1, 3), steps=False, line="net.py:2: x[:, ::2]", module="net")
    seen = symptoms_of(feature_names=("open", "high", "low", "close"))
    steps = Ignored(0, (8, 4, 5), 1, (0, 1, 2), steps=True, chosen=True)
    seen.structure = Structure(ignored=[lost, steps])
    one, other = wiring.find_ignored_input(seen)
    assert (one.module, one.indices, one.fraction) == ("net", ("high", "close"), 0.5)
    assert (one.benign, other.benign) == (False, True)
    assert one.remedy == "2 of 4 features never reach the output: look at `net.py:2: x[:, ::2]`."
    assert one.evidence == {
        "kind": "features",
        "without_influence": 2,
        "of": 4,
        "position": 1,
        "axis": 1,
        "entries": [1, 3],
        "line": "net.py:2: x[:, ::2]",
    }
    assert (other.indices, other.fraction) == ((0, 1, 2), 0.75)
    assert other.remedy == "3 of 4 steps never reach the output: look at what picks them."
    ignored = CAUSES["ignored_input"]
    assert ignored.standing(one) is ignored
    assert ignored.standing(other).name == "ignored_input.steps"


@pytest.mark.parametrize(("after", "verdict"), [(2.0, True), (2.00001, True), (2.0001, None)])
def test_noise_in_what_is_ignored_changes_no_loss(after: float, verdict: bool | None) -> None:
    batch = (torch.zeros(3, 4), torch.zeros(3, 4))

    def replay(given: Any) -> Any:
        assert bool((given[0] == 0).all())
        assert (given[1] != 0).any(0).tolist() == [False, True, False, True]
        return SimpleNamespace(loss=after)

    baseline = SimpleNamespace(loss=2.0)
    experiment: Any = SimpleNamespace(batches=[batch], baseline=baseline, replay=replay)
    claim = Candidate(evidence={"position": 1, "axis": 1, "entries": [1, 3]})
    told = {"before": 2.0, "after": after}
    assert wiring.change_ignored(experiment, claim) == (verdict, told)


def leak(hides: str, change: float = 0.5) -> Leak:
    return Leak("attention", "masked_fill", hides, "encoder", "l", change)


@pytest.mark.parametrize(
    ("cause", "hides", "remedy"),
    [
        ("future_leak", "future", "Hide what comes later: a boolean attention mask is True above"),
        ("padding_leak", "padding", "Leave the padded steps out wherever steps are put together"),
    ],
)
def test_a_mask_that_does_not_hold_is_told_with_what_it_hides(
    cause: str, hides: str, remedy: str
) -> None:
    candidate = found(cause, leaks=[leak("future"), leak("padding")])
    assert candidate.remedy.startswith(remedy)
    assert (candidate.module, candidate.fraction) == ("encoder", 1.0)
    told = {"mask_in": "attention", "function": "masked_fill", "change": 0.5, "line": "l"}
    assert candidate.evidence == told
    other = {"future": "padding", "padding": "future"}[hides]
    seen = Symptoms(structure=Structure(leaks=[leak(other)]))
    assert CAUSES[cause].find(seen) == []


@pytest.mark.parametrize(("change", "verdict"), [(1.1e-4, True), (1e-4, False)])
def test_a_leak_is_more_than_rounding(change: float, verdict: bool) -> None:
    experiment: Any = None
    claim = Candidate(evidence={"change": change})
    told = {"before": 0.0, "after": change}
    assert leaks.exchange_hidden(experiment, claim) == (verdict, told)


def test_an_output_read_off_the_padding_is_told_with_how_many_rows() -> None:
    candidate = found("padding_read", padding=PaddingRead(6, 8, 1e-3, 0.25))
    assert candidate.fraction == 0.75
    assert candidate.evidence == {
        "padded_rows": 6,
        "rows": 8,
        "padded_steps": 0.25,
        "change": 1e-3,
    }
    assert candidate.remedy.endswith("the last step is padding in 6 of 8 rows.")
    seen = Symptoms(structure=Structure(padding=PaddingRead(6, 8, 1.1e-3, 0.25)))
    assert leaks.find_padding_read(seen) == []
    experiment: Any = None
    assert leaks.exchange_real(experiment, candidate) == (True, {"before": 1.0, "after": 1e-3})
    more = Candidate(evidence={"change": 1.1e-3})
    assert leaks.exchange_real(experiment, more)[0] is False


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        ("dropout", "training=self.training"),
        ("scaled_dot_product_attention", "dropout_p=p if self.training else 0.0"),
    ],
)
def test_dropout_that_goes_on_is_told_with_its_rate(function: str, argument: str) -> None:
    candidate = found("active_dropout", dropout=ActiveDropout(function, "net", 0.25, "l"))
    assert candidate.remedy == f"{function} drops 25% in evaluation mode, too: give it {argument}."
    assert (candidate.module, candidate.fraction) == ("net", 0.25)
    assert candidate.evidence == {"function": function, "rate": 0.25, "line": "l"}


class Noisy(nn.Module):
    """Returns 1 and a little noise, of this size in evaluation mode."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return 1 + (1.0 if self.training else self.size) * torch.rand(())


@pytest.mark.parametrize(("size", "verdict"), [(0.1, True), (1e-5, None), (0.0, None)])
def test_dropout_is_seen_by_two_seeds_in_evaluation_mode(size: float, verdict: bool | None) -> None:
    model = Noisy(size)
    experiment: Any = SimpleNamespace(model=model, batches=[1.0], loss_fn=lambda m, b: m(b))
    confirmed, told = dropout.evaluate_twice(experiment, Candidate())
    assert confirmed is verdict
    assert model.training
    assert told["before"] == pytest.approx(1, abs=size)
    assert (told["before"] != told["after"]) is (size > 0)


def node(kind: str, call: Call | None = None, entries: int = 8) -> Node:
    return Node(kind, call, True, True, True, 2, entries, [], [])


def test_an_operation_without_a_slope_is_told_with_what_to_do_about_it() -> None:
    call = Call("sqrt", "a", 1, (), {}, (), "net.py:9: x.sqrt()")
    candidate = found("nonfinite_gradient", nonfinite=node("Sqrt", call))
    assert (candidate.module, candidate.parameter, candidate.fraction) == ("a", "a.weight", 0.25)
    assert candidate.evidence == {
        "operation": "sqrt",
        "function": "sqrt",
        "nonfinite": 2,
        "entries": 8,
        "line": "net.py:9: x.sqrt()",
    }
    assert candidate.remedy == (
        "sqrt makes the NaN on the way back. Add a small number under the root, sqrt(x + 1e-8): "
        "its slope at 0 is infinite."
    )
    unknown = found("nonfinite_gradient", nonfinite=node("Erfinv", entries=0))
    assert (unknown.module, unknown.fraction) == ("", 2.0)
    assert (unknown.evidence["function"], unknown.evidence["line"]) == ("erfinv", "")
    assert unknown.remedy.endswith("Keep its argument away from where it has no slope.")
    nameless = node("Sqrt", call._replace(function=""))
    assert found("nonfinite_gradient", nonfinite=nameless).evidence["function"] == "sqrt"


def test_rows_without_a_key_explain_a_gradient_that_is_no_number() -> None:
    masked = Masked(2, 8, "softmax", "a", "l")
    structure = Structure(nonfinite=node("Softmax"), masked=masked)
    assert undefined.find_nonfinite_gradient(Symptoms(structure=structure)) == []
    candidate = found("fully_masked", masked=masked)
    assert (candidate.module, candidate.fraction) == ("a", 0.25)
    assert candidate.evidence == {"rows": 2, "of": 8, "function": "softmax", "line": "l"}
    assert candidate.remedy.startswith("2 of 8 rows have every key masked, and a softmax over")


class Rewriting:
    """An experiment that hands calls to a rewriting, and tells what it made of them."""

    def __init__(
        self, *calls: tuple[Any, ...], norms: tuple[float, float] = (math.nan, 1.0)
    ) -> None:
        structure = Structure(odd_batch=3)
        self.symptoms, self.model = Symptoms(structure=structure), "as found"
        self.calls, self.norms, self.returned = calls, list(norms), list[Any]()

    def replay(self, model: Any, mode: Any = None, batch: int = 0) -> Any:
        assert (model, batch) == ("as found", 3)
        for name, function, *arguments in self.calls if mode else ():
            self.returned.append(mode.rewrite(name, function, tuple(arguments), {}))
        return SimpleNamespace(norm=self.norms[mode is not None])


def same(*arguments: Any) -> Any:
    return arguments[0] if len(arguments) == 1 else arguments


def test_arguments_are_kept_a_millionth_from_zero() -> None:
    x = torch.tensor([0.0, 9e-7, -9e-7, 1e-5, -2.0])
    whole = torch.tensor([0, 1])
    calls = (("sqrt", same, x), ("_sqrt", same, 2.0), ("sqrt", same, whole), ("log", same, x))
    experiment: Any = Rewriting(*calls)
    claim = Candidate(evidence={"function": "sqrt"})
    verdict, told = undefined.keep_from_zero(experiment, claim)
    assert verdict is True
    assert math.isnan(told["before"])
    assert told["after"] == 1.0
    shifted, number, integers, other = experiment.returned
    assert shifted.tolist() == pytest.approx([1e-6, 1.9e-6, 1e-7, 1e-5, -2.0], rel=1e-3)
    assert number == 2.0
    assert integers is whole
    assert other is NotImplemented
    still: Any = Rewriting(norms=(math.nan, math.inf))
    assert undefined.keep_from_zero(still, claim)[0] is None


def block(kind: str, **more: Any) -> Block:
    told: dict[str, Any] = {"function": kind.lower(), "module": "net", "before": "a", "entries": 6}
    told |= {"silent": ("a.weight",), "everything": False, "line": "l"}
    return Block(kind, **{**told, **more})


def blocking(*blocks: Block, zero: bool = True, losses: tuple[float, ...] = (1.0,)) -> Symptoms:
    """Return symptoms of one layer whose gradient is zero throughout, or not."""
    seen = symptoms_of(layer("a", 1.0), loss_values=list(losses))
    weight = seen.parameters["a.weight"]
    weight.grads, weight.is_zero = [torch.ones(4, 4)], torch.full((4, 4), zero)
    seen.structure = Structure(blocks=list(blocks))
    return seen


@pytest.mark.parametrize(
    ("shown", "why", "remedy"),
    [
        (block("Round"), "part", "round, behind a passes no gradient: round after training, or "),
        (block("Round", everything=True), "everything", "round, behind a passes no gradient: "),
        (block("Relu", everything=True), "activation", "relu, behind a passes no gradient: use "),
        (block("Erf"), "part", "erf, behind a passes no gradient: use an operation that lets a "),
        (block("Sign", before=""), "part", "sign passes no gradient: use tanh, or a straight-"),
        (block("Floor", function=""), "part", "floor, behind a passes no gradient: floor after "),
    ],
)
def test_an_operation_that_blocks_is_told_with_what_lies_behind(
    shown: Block, why: str, remedy: str
) -> None:
    (candidate,) = blocked.find_zero_gradient(blocking(shown))
    assert candidate.remedy.startswith(remedy)
    assert (candidate.module, candidate.fraction) == (shown.before or "net", 1.0)
    assert candidate.evidence == {
        "operation": shown.kind.lower(),
        "caller": "net",
        "why": why,
        "silent_parameters": ["a.weight"],
        "entries": 6,
        "line": "l",
    }
    standing = CAUSES["zero_gradient"].standing(candidate).name
    assert (standing == "zero_gradient.activation") is (why == "activation")


@pytest.mark.parametrize(
    ("seen", "operations"),
    [
        (blocking(block("Round"), losses=(0.0, 1e-13)), None),  # nothing is left to learn
        (blocking(block("Round"), losses=(0.0, 1e-11)), ["round"]),
        (blocking(block("Round", gated=True), zero=False), None),
        (blocking(block("Addmm"), zero=False), None),  # other causes look after these
        (blocking(block("Relu"), zero=False), None),  # a part of the units, then
        (blocking(block("Round"), zero=False), None),  # another batch gets through
        (blocking(), [""]),
        (blocking(zero=False), None),
    ],
)
def test_what_blocks_counts_if_it_does_in_every_batch_and_no_other_cause_knows(
    seen: Symptoms, operations: list[str] | None
) -> None:
    candidates = blocked.find_zero_gradient(seen)
    assert [c.evidence["operation"] for c in candidates] == (operations or [])


def test_where_all_gradients_are_zero_and_nobody_knows_why_that_is_said() -> None:
    (candidate,) = blocked.find_zero_gradient(blocking())
    assert candidate.evidence == {"operation": "", "why": "everything"}
    assert candidate.fraction == 1.0
    assert candidate.remedy == (
        "Every gradient is exactly zero: look at what is done before the loss."
    )
    experiment: Any = None
    assert blocked.pass_straight_through(experiment, candidate) == (None, {})
    silent = blocking()
    silent.parameters["a.weight"].grads = []
    assert blocked.find_zero_gradient(silent) == [], "none was asked for"


class Straight:
    """An experiment in which so many parameters hear of the loss before and after."""

    def __init__(self, after: int, calls: bool = True, zero: bool = False) -> None:
        self.symptoms, self.calls = blocking(zero=zero), calls
        self.baseline = SimpleNamespace(grads=self.heard(1))
        self.after = after

    def heard(self, count: int) -> dict[str, Tensor]:
        return {name: torch.tensor([0.0, float(n < count)]) for n, name in enumerate("abc")}

    def replay(self, mode: Any) -> Any:
        if self.calls:
            x = torch.tensor([0.4, 1.6], requires_grad=True)
            result = mode.rewrite("round", torch.round, (x,), {})
            (slope,) = torch.autograd.grad(result.sum(), x)
            assert slope.tolist() == [1.0, 1.0]
            assert result.tolist() == pytest.approx([0.0, 2.0], abs=1e-6)
        for name, arguments in (("floor", (torch.ones(2),)), ("round", ()), ("round", (1.0,))):
            assert mode.rewrite(name, torch.round, arguments, {}) is NotImplemented
        assert mode.rewrite("round", torch.sum, (torch.ones(2),), {}) is NotImplemented
        return SimpleNamespace(grads=self.heard(self.after))


@pytest.mark.parametrize(
    ("after", "options", "verdict"),
    [
        (2, {}, True),
        (1, {}, False),
        (0, {}, False),
        (0, {"zero": True}, None),  # something else blocks as well
        (2, {"zero": True}, True),
        (2, {"calls": False}, None),
    ],
)
def test_a_gradient_let_through_must_be_heard_of_by_more(
    after: int, options: dict[str, bool], verdict: bool | None
) -> None:
    experiment: Any = Straight(after, **options)
    claim = Candidate(evidence={"operation": "round", "silent_parameters": ["a", "b", "c", "none"]})
    told = {"before": 1, "after": after}
    assert blocked.pass_straight_through(experiment, claim) == (verdict, told)


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        ("scaled_dot_product_attention", "Attention over one key returns its value whatever"),
        (
            "log_softmax",
            "log_softmax over dim 1 of [8, 1], of size 1, is 1 always: take the dimension that "
            "holds what is to be compared.",
        ),
        (
            "layer_norm",
            "layer_norm over a single entry of [8, 1] returns its bias whatever comes in: "
            "normalise over more entries, or leave it out.",
        ),
    ],
)
def test_what_works_over_one_entry_is_told_with_what_it_comes_to(
    function: str, remedy: str
) -> None:
    candidate = found("degenerate_norm", singles=[Single(function, "a", (8, 1), 1, "l")])
    assert candidate.remedy.startswith(remedy)
    assert (candidate.module, candidate.fraction, candidate.benign) == ("a", 1.0, False)
    told = {"function": function, "shape": [8, 1], "dim": 1, "size": 1, "line": "l"}
    assert candidate.evidence == told
    single = Single(function, "a", (8, 1), 1, "l", by_design=True)
    designed = found("degenerate_norm", singles=[single])
    assert designed.benign
    assert designed.remedy == "Nothing to repair: there is one of a kind."


@pytest.mark.parametrize(("after", "verdict"), [(2.0, True), (1.0, False)])
def test_without_the_norm_gradients_come_alive(after: float, verdict: bool) -> None:
    def replay(mode: Any) -> Any:
        x = torch.ones(8, 1)
        assert torch.equal(mode.rewrite("softmax", None, (x,), {}), x)
        assert mode.rewrite("softmax", None, (torch.ones(8, 2),), {}) is NotImplemented
        assert mode.rewrite("relu", None, (x,), {}) is NotImplemented
        return SimpleNamespace(norm=after)

    experiment: Any = SimpleNamespace(baseline=SimpleNamespace(norm=1.0), replay=replay)
    claim = Candidate(evidence={"function": "softmax", "shape": [8, 1]})
    told = {"before": 1.0, "after": after}
    assert blocked.leave_norm_out(experiment, claim) == (verdict, told)
    attention = Candidate(evidence={"function": "scaled_dot_product_attention", "shape": [8, 1]})
    assert blocked.leave_norm_out(experiment, attention) == (True, {})


def test_a_collapse_is_told_with_the_line_that_makes_it() -> None:
    seen = Collapsed("a", 0.5, "mean", "net", "net.py:7: x.mean()")
    candidate = found("collapsed_input", collapsed=seen)
    assert (candidate.module, candidate.parameter, candidate.fraction) == ("a", "a.weight", 1.0)
    assert candidate.evidence == {
        "size": 0.5,
        "function": "mean",
        "caller": "net",
        "line": "net.py:7: x.mean()",
    }
    assert candidate.remedy == (
        "mean makes all samples and steps the same before this module: look at "
        "`net.py:7: x.mean()`."
    )


@pytest.mark.parametrize("zero_head", [False, True])
def test_an_output_that_stays_is_told_unless_a_head_starts_at_zero(zero_head: bool) -> None:
    seen = symptoms_of(layer("a", 1.0), layer("b", 1.0))
    seen.structure = Structure(constant=Constant("net", (8, 1), 1e-7, 0.5))
    if zero_head:
        seen.parameters["b.weight"].weight = torch.zeros(4, 4)
    candidates = blocked.find_constant_output(seen)
    assert len(candidates) == (not zero_head)
    for candidate in candidates:
        assert (candidate.module, candidate.fraction) == ("net", 1.0)
        assert candidate.evidence == {"shape": [8, 1], "spread": 1e-7, "value": 0.5}
        assert candidate.remedy.startswith("Follow one sample through the model")
